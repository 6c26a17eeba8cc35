r"""What tests of data share."""

from collections.abc import Callable

import pytest

from vaekit.data import memory


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder of one's own, which does not exist yet."""
    folder = tmp_path_factory.mktemp("cache") / "vaekit"
    monkeypatch.setenv("VAEKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def with_memory(monkeypatch) -> Callable[[int | None], None]:
    """Say how much memory there is, in bytes."""
    return lambda available: monkeypatch.setattr(memory, "BUDGET", available)
