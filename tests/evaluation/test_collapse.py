import math
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from vaekit.cli import main
from vaekit.data.transforms import Binarise, Identity
from vaekit.distributions import Conditional, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation.collapse import code_use_metrics, diagnose
from vaekit.models import VAE

HEALTHY = {
    "elbo": -94.3,
    "rate": 27.2,
    "distortion": 67.1,
    "active_units": 28,
    "latent_dim": 50,
    "unit_rates": [27.2 / 28] * 28 + [0.0003] * 22,
    "unit_active": [True] * 28 + [False] * 22,
    "code_gain": 130.0,
    "code_gain_se": 1.0,
    "train_elbo": -92.5,
    "validation_elbo": -94.3,
    "ess": 60.0,
    "ess_low": 0.01,
    "nll_samples": 5000,
    "amortisation_gap": 2.6,
}
COLLAPSED = {"rate": 0.03, "code_gain": 0.0, "validation_elbo": -92.6, "amortisation_gap": 0.1}
ILL = {  # what is changed, and what is then said
    "collapsed": (COLLAPSED | {"active_units": 0}, "collapsed: the rate is 0.03 nats and none of"),
    "collapsed by rate alone": (COLLAPSED, "collapsed: the rate is 0.03 nats, so"),
    "no unit": ({"active_units": 0}, "No unit is active"),
    "few units": ({"active_units": 3}, "Only 3 of 50 units are active"),
    "many inactive": ({"active_units": 20}, "30 of 50 units are inactive"),
    "idle": ({"unit_rates": [25.2 / 28] * 28 + [0.1] * 22}, "inactive cost 2.20 of the 27.20 nats"),
    "ignored": ({"code_gain": 0.05, "code_gain_se": 0.1}, "costs 27.20 nats, and is worth 0.05"),
    "overfit": ({"train_elbo": -80.0}, "overfits: the bound is 14.30 nats lower"),
    "encoder": ({"amortisation_gap": 8.0}, "The encoder is 8.00 nats"),
    "weights": ({"ess_low": 0.3}, "60.0 count in effect, so the NLL is likely too high. For 30% of the examples"),
    "first look": ({"ess_low": 0.3, "nll_samples": 100}, "The NLL of 100 importance samples is likely too high"),
    "weights of all": ({"ess": 2.3, "ess_low": None}, "importance samples 2.3 count in effect"),
}


def test_nothing_is_said_of_a_healthy_model():
    assert diagnose(HEALTHY) == []
    assert diagnose({}) == []


@pytest.mark.parametrize("name", ILL)
def test_each_ill_is_told_and_nothing_else(name):
    change, words = ILL[name]
    warnings = diagnose(HEALTHY | change)
    assert len(warnings) == 1
    assert words in warnings[0]
    assert "--" in warnings[0]
    assert warnings[0].endswith(".")


@pytest.mark.parametrize("name", ILL)
def test_families_may_be_nested(name):
    change, _ = ILL[name]
    whole = HEALTHY | change
    keys = list(whole)
    nested = {key: whole[key] for key in keys[:5]} | {"family": {key: whole[key] for key in keys[5:]}}
    assert diagnose(nested) == diagnose(whole)


def test_a_first_look_at_the_nll_is_warned_of_in_a_line():
    (first,), (estimate,) = (diagnose(HEALTHY | {"ess_low": 0.3, "nll_samples": k}) for k in (100, 1000))
    assert len(first) < 100 < len(estimate)


def test_several_ills_are_all_told():
    ill = {"active_units": 3, "train_elbo": -80.0, "ess_low": 0.3}
    assert len(diagnose(HEALTHY | ill)) == 3


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_numbers_that_are_not_there_say_nothing(missing):
    assert diagnose(dict.fromkeys(HEALTHY, missing)) == []
    change, words = ILL["overfit"]
    (warning,) = diagnose(
        HEALTHY | change | {"ess": missing, "ess_low": missing, "code_gain": missing, "latent_dim": missing}
    )
    assert words in warning


def test_thresholds_follow_the_rate():
    # The same overfitting of 4 nats, of a code of 27 nats and of one of 5.
    gap = {"train_elbo": -90.3}
    assert diagnose(HEALTHY | gap) == []
    small = {"rate": 5.0, "unit_rates": [5 / 28] * 28 + [0.0] * 22, "amortisation_gap": 0.5}
    assert "overfits" in diagnose(HEALTHY | small | gap)[0]


def test_the_options_named_exist(capsys):
    text = " ".join(warning for change, _ in ILL.values() for warning in diagnose(HEALTHY | change))
    named = set(re.findall(r"--[a-z][a-z-]*", text))
    assert {"--warmup", "--beta", "--latent-dim"} <= named
    for words in (["train", "vae", "--help"], ["evaluate", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
    known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    assert named <= known


class Encoder(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, context=None):
        mean = self.dropout(x)
        return Independent(Normal(mean, torch.full_like(mean, self.scale)), 1)


def model(weight, scale=1e-3, variance=0.5):
    decoder = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        decoder.weight.copy_(weight * torch.eye(2))
    return VAE(Encoder(scale), Conditional(decoder, Gaussian((2,), variance=variance)), StandardNormal(2))


X = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)


def test_the_gain_of_codes_that_hold_x():
    # z = x decodes to N(x, v): with its own code an example is at distance 0 and with another's at x - x', so that
    # the gain is the mean of |x - x'|^2 / 2 v, which is |variance of x| / v.
    m = code_use_metrics(model(1.0), X, Identity(), images=3000)
    assert m["code_gain"] == pytest.approx(2 / 0.5, abs=4 * m["code_gain_se"])
    assert m["code_gain_se"] < 0.2
    best = math.log(2 * math.pi * 0.5)
    assert m["shuffled_distortion"] == pytest.approx(best + m["code_gain"], abs=1e-3)


def test_there_is_no_gain_where_the_decoder_ignores_z():
    m = code_use_metrics(model(0.0, scale=0.1), X, Identity())
    assert m["code_gain"] == 0.0
    rate = 0.5 * (1 + 0.01 - 1) * 2 - 2 * math.log(0.1)
    (warning,) = diagnose({"rate": rate} | m)
    assert "The decoder makes little of z" in warning


def test_codes_are_drawn():
    # Noise of variance s^2 in the code comes on top of the distance, in own codes as in others'.
    s, v = 1.0, 0.5
    m = code_use_metrics(model(1.0, scale=s, variance=v), X, Identity(), images=3000)
    expected = math.log(2 * math.pi * v) + (2 + 2 + 2 * s**2) / (2 * v)
    assert m["shuffled_distortion_se"] < 0.2
    assert m["shuffled_distortion"] == pytest.approx(expected, abs=4 * m["shuffled_distortion_se"])
    assert m["code_gain"] == pytest.approx(2 / v, abs=4 * m["code_gain_se"])


@pytest.mark.parametrize("seed", range(5))
def test_nobody_gets_their_own_code(seed):
    # Of two, each gets the other's, at squared distance 2.
    m = code_use_metrics(model(1.0, scale=1e-6), np.float32([[0, 0], [1, 1]]), Identity(), seed=seed)
    assert m["code_gain"] == pytest.approx(2 / (2 * 0.5), rel=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_the_gain_is_deterministic_and_leaves_everything_as_it_was(training):
    vae = model(1.0).train(training)
    x = np.random.default_rng(0).integers(0, 256, (1500, 2), dtype=np.uint8)
    state = torch.get_rng_state()
    done = []
    first = code_use_metrics(vae, x, Binarise(256), images=1200, advance=done.append)
    assert first == code_use_metrics(vae, x, Binarise(256), images=1200)
    assert first != code_use_metrics(vae, x, Binarise(256), images=1200, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.encoder.dropout.training == training
    assert sum(done) == 1200
    assert "1,200 examples" in first["protocol"]


def test_one_example_has_no_other():
    for x, images in ((X[:1], 10), (X, 1), (X[:0], 10)):
        with pytest.raises(RequestError, match="expected at least 2"):
            code_use_metrics(model(1.0), x, Identity(), images=images)
