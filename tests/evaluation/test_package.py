r"""What `vaekit.evaluation` offers by name, and what that costs those who do not ask for it."""

import inspect
import subprocess
import sys

import pytest

import vaekit
from vaekit import comparison, evaluation


@pytest.mark.parametrize("name", evaluation.__all__)
def test_what_is_exported_is_there_and_says_what_it_is(name):
    found = getattr(evaluation, name)
    assert not inspect.ismodule(found)
    if callable(found):
        assert found.__doc__
        assert found.__name__ == name
        assert found.__module__.startswith("vaekit.evaluation.")


def test_compare_is_at_the_top():
    assert vaekit.compare is comparison.compare
    assert {"compare", "evaluate", "evaluation", "comparison"} <= set(dir(vaekit))
    with pytest.raises(AttributeError, match="no attribute 'frechet_distances'"):
        evaluation.frechet_distances  # noqa: B018


def test_what_not_everyone_needs_is_imported_when_it_is_used():
    heavy = ["sklearn", "scipy", "torchmetrics", "vaekit.evaluation.features", "vaekit.evaluation.disentanglement"]
    code = f"import sys, vaekit.evaluation; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
