r"""What `vaekit evaluate` refuses: status 2, one line with the reason, and nothing written."""

import pytest
from torch.distributions import Independent

from vaekit.cli import main
from vaekit.distributions import Bernoulli

pytestmark = pytest.mark.usefixtures("no_report")


class NoDensity(Independent):
    """What a perceptual distance looks like: it has a log_prob, and it is no density."""

    has_density = False


@pytest.fixture
def perceptual(monkeypatch):
    forward = Bernoulli.forward
    monkeypatch.setattr(
        Bernoulli, "forward", lambda self, p: NoDensity(forward(self, p).base_dist, len(self.event_shape))
    )


def refused(capsys, run, *options):
    assert main(["evaluate", str(run), "--no-progress", *options]) == 2
    out, err = capsys.readouterr()
    assert not out
    (line,) = err.strip().splitlines()
    return line


@pytest.mark.usefixtures("perceptual")
@pytest.mark.parametrize("metrics", ["likelihood", "annealed"])
def test_what_is_no_density_has_no_nll(capsys, run_copy, listing, metrics):
    before = listing(run_copy)
    line = refused(capsys, run_copy, "--metrics", metrics, "--nll-samples", "5", "--annealed", "2")
    assert "the likelihood, NoDensity, is not a density, so there is no likelihood to estimate" in line
    assert "nll_samples 0" in line
    assert listing(run_copy) == before


@pytest.mark.usefixtures("perceptual")
def test_what_is_no_density_has_a_distortion(run_copy):
    assert main(["evaluate", str(run_copy), "--metrics", "likelihood", "--nll-samples", "0", "--no-progress"]) == 0


def test_too_few_examples_for_a_covariance(capsys, run_copy, listing):
    before = listing(run_copy)
    line = refused(capsys, run_copy, "--metrics", "generation", "--limit", "64")
    assert "there are 64 examples in each set and 128 mnist features; expected at least 129" in line
    assert listing(run_copy) == before


def test_data_without_factors_are_not_disentangled(capsys, run_copy, listing):
    before = listing(run_copy)
    line = refused(capsys, run_copy, "--metrics", "likelihood,disentanglement", "--nll-samples", "0")
    assert "digits has no known factors of variation; expected data made from factors, as sprites" in line
    assert listing(run_copy) == before


def test_a_size_of_disentanglement_that_there_is_not(capsys, run_copy):
    assert "published" in refused(capsys, run_copy, "--disentanglement", "full")
