r"""The reconstructions of two runs in one report."""

import numpy as np
import pytest

import vaekit
from vaekit.errors import RequestError
from vaekit.report.text import FIGURES

BRIEF = {"metrics": "reconstruction", "nll_samples": 0, "progress": False}


def test_another_run_is_shown_beside_this_one(run_copy, finished_run, tmp_path, tiny):
    other = vaekit.train("autoencoder", "digits", out=tmp_path / "other", **tiny)
    assert FIGURES["beside"].heading not in (run_copy / "report.html").read_text(encoding="utf-8")
    vaekit.evaluate(run_copy, beside=other.directory, **BRIEF)
    picture = (run_copy / "figures" / "beside.png").read_bytes()
    assert FIGURES["beside"].heading in (run_copy / "report.html").read_text(encoding="utf-8")
    # It stays when the run is measured again, and is another picture beside another run.
    vaekit.evaluate(run_copy, **BRIEF)
    assert (run_copy / "figures" / "beside.png").read_bytes() == picture
    assert FIGURES["beside"].heading in (run_copy / "report.html").read_text(encoding="utf-8")
    vaekit.evaluate(run_copy, beside=finished_run, **BRIEF)
    assert (run_copy / "figures" / "beside.png").read_bytes() != picture


def test_runs_on_other_data_are_not_put_beside_each_other(run_copy, tmp_path, tiny, listing):
    vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    other = vaekit.train("vae", vectors, out=tmp_path / "other", **tiny)
    before = listing(run_copy)
    with pytest.raises(RequestError, match=r"shape \(3,\); expected \(1, 8, 8\)"):
        vaekit.evaluate(run_copy, beside=other, **BRIEF)
    with pytest.raises(RequestError, match="none"):
        vaekit.evaluate(run_copy, beside=tmp_path / "none", **BRIEF)
    assert listing(run_copy) == before
