r"""The share of symbols that come back, on models whose guesses are known."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import Dataset, Split
from vaekit.data.transforms import Identity
from vaekit.distributions import AutoregressiveSequence, Bernoulli, Conditional, DiagonalGaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import accuracy_metrics, evaluate_model, families
from vaekit.evaluation.families import Subject, takes_hours
from vaekit.models import VAE
from vaekit.networks import MLP

LEVELS, STEPS = 90, 8


class Successor(nn.Module):
    """Guesses that a symbol is the one before it plus 1, and the first one 40, surely or as likely as not."""

    def __init__(self, levels=LEVELS, sure=50.0):
        super().__init__()
        self.levels, self.sure = levels, sure

    def forward(self, before, code, state=None):
        first = torch.zeros_like(before).index_fill_(2, torch.tensor([40]), 1.0)
        guess = torch.where(before.sum(2, keepdim=True) > 0, before.roll(1, 2), first)
        return self.sure * guess, None


class Codeless(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, z, context=None):
        return AutoregressiveSequence(self.network, z.unsqueeze(1), STEPS)


def model_of(network):
    torch.manual_seed(0)
    posterior = DiagonalGaussian(2)
    return VAE(
        Conditional(MLP((STEPS,), posterior.parameter_shape, (4,)), posterior), Codeless(network), StandardNormal(2)
    )


# Of the first, all comes back. Of the second, the fourth symbol is none that follows, and those after it follow it.
# The third has notes in three places: 40 is guessed, 1 follows 0, and 50 follows nothing.
X = np.array(
    [
        [40, 41, 42, 43, 44, 45, 46, 47],
        [40, 41, 42, 60, 61, 62, 63, 64],
        [40, 41, 0, 1, 50, 1, 1, 1],
    ],
    np.uint8,
)


def test_shares_are_those_of_a_case_that_is_counted_by_hand():
    done = []
    found = accuracy_metrics(model_of(Successor()), X, Identity(), advance=done.append)
    assert done == [3]
    forced, free = [1, 7 / 8, 3 / 8], [1, 3 / 8, 2 / 8]
    assert found["teacher_forced"] == pytest.approx(np.mean(forced))
    assert found["free_running"] == pytest.approx(np.mean(free))
    assert found["free_running_se"] == pytest.approx(np.std(free, ddof=1) / math.sqrt(3))
    assert found["sampled"] == found["free_running"]  # it is sure
    assert found["chance"] == pytest.approx(np.mean([0, 0, 4 / 8]))  # 1 is the most common
    assert found["notes"] == 8 + 8 + 3
    assert found["notes_teacher_forced"] == pytest.approx(np.mean([1, 7 / 8, 2 / 3]))
    assert found["notes_free_running"] == pytest.approx(np.mean([1, 3 / 8, 2 / 3]))


def test_notes_are_told_bar_by_bar(monkeypatch):
    monkeypatch.setattr("vaekit.evaluation.accuracy.STEPS_PER_BAR", 4)
    found = accuracy_metrics(model_of(Successor()), X, Identity())
    assert found["bars_free_running"] == pytest.approx([(4 + 3 + 2) / 10, 4 / 9])
    assert found["bars_teacher_forced"] == pytest.approx([9 / 10, (4 + 4) / 9])
    monkeypatch.setattr("vaekit.evaluation.accuracy.STEPS_PER_BAR", 5)  # the last bar is what is left
    assert len(accuracy_metrics(model_of(Successor()), X[2:], Identity())["bars_sampled"]) == 2
    rests = np.ones((2, STEPS), np.uint8)
    rests[0, 0] = 40
    assert accuracy_metrics(model_of(Successor()), rests, Identity())["bars_free_running"] == [1.0, None]


def test_what_is_drawn_comes_back_as_often_as_it_is_probable():
    x = np.tile(X[:1], (1000, 1))
    # Each guess has the odds e to 89: free-running draws go astray and rarely come back.
    network = Successor(sure=math.log(89))
    found = accuracy_metrics(model_of(network), x, Identity())
    assert found["teacher_forced"] == found["free_running"] == 1
    right = [0.5]
    for _ in range(STEPS - 1):  # astray by a, it comes back by a draw of one symbol in 178
        right.append(right[-1] * 0.5 + (1 - right[-1]) / 178)
    assert found["sampled"] == pytest.approx(np.mean(right), abs=5 * found["sampled_se"])
    assert found["sampled_se"] < 0.01
    cold = accuracy_metrics(model_of(network), x, Identity(), temperature=0.0)
    assert cold["sampled"] == 1
    assert found == accuracy_metrics(model_of(network), x, Identity())
    assert found["sampled"] != accuracy_metrics(model_of(network), x, Identity(), seed=1)["sampled"]


def test_listing_every_example_twice_changes_no_share():
    once, twice = (accuracy_metrics(model_of(Successor()), x, Identity()) for x in (X, np.concatenate([X, X])))
    for name in ("teacher_forced", "free_running", "chance", "notes_teacher_forced"):
        assert once[name] == twice[name]
    assert twice["notes"] == 2 * once["notes"]


def test_rests_alone_have_no_share_of_notes():
    found = accuracy_metrics(model_of(Successor()), np.ones((2, STEPS), np.uint8), Identity())
    assert found["notes"] == 0
    assert "notes_free_running" not in found
    assert found["chance"] == 1


def test_other_symbols_have_no_notes():
    found = accuracy_metrics(model_of(Successor(levels=64)), X % 64, Identity())
    assert not any("notes" in name or "bars" in name for name in found if name != "protocol")
    assert "notes" not in found["protocol"]


def test_metrics_of_numbers_do_not_apply_to_symbols_and_say_so():
    splits = {"train": Split(X), "validation": Split(X), "test": Split(X)}
    data = Dataset("tunes", **splits, levels=LEVELS, suggested="categorical")
    model = model_of(Successor())
    for family in ("reconstruction", "generation"):
        with pytest.raises(RequestError, match="examples are symbols, whose numbers are names"):
            evaluate_model(model, data, Identity(), metrics=[family], samples=())
    found = evaluate_model(
        model, data, Identity(), metrics=["accuracy", "likelihood", "code-use"], samples=(4,)
    ).metrics
    assert found["accuracy"]["teacher_forced"] == 0.75
    assert found["code_use"]["code_gain"] == 0  # the decoder does not look at the code
    assert found["rate"] > 0
    assert math.isfinite(found["nll"])


def test_what_takes_hours_is_measured_only_by_name(monkeypatch):
    splits = {"train": Split(X), "validation": Split(X), "test": Split(X)}
    data = Dataset("tunes", **splits, levels=LEVELS, suggested="categorical")
    subject = Subject(model_of(Successor()), data, X, Identity())
    assert "ask for annealed by name, with few examples" in takes_hours("annealed", subject)
    assert takes_hours("likelihood", subject) == ""
    numbers = Dataset("numbers", **splits, levels=LEVELS, suggested="gaussian")
    assert takes_hours("annealed", Subject(model_of(Successor()), numbers, X, Identity())) == ""
    found = evaluate_model(subject.model, data, Identity(), metrics=["all"], samples=(4,)).metrics
    assert {"annealed", "amortisation", "reconstruction", "generation"} <= set(found["left_out"])
    assert {"accuracy", "code_use", "aggregate"} <= set(found)
    brief = functools.partial(families.annealed_metrics, temperatures=2, steps=1, chains=2)
    monkeypatch.setattr(families, "annealed_metrics", brief)
    monkeypatch.setattr(families, "SIMULATED", 2)
    asked = evaluate_model(subject.model, data, Identity(), metrics=["annealed"], samples=(4,), annealed=1).metrics
    assert math.isfinite(asked["annealed"]["nll_ais"])


def test_a_model_of_numbers_has_no_symbols_to_count():
    posterior, likelihood = DiagonalGaussian(2), Bernoulli((STEPS,))
    encoder = Conditional(MLP((STEPS,), posterior.parameter_shape, (4,)), posterior)
    model = VAE(encoder, Conditional(MLP((2,), likelihood.parameter_shape, (4,)), likelihood), StandardNormal(2))
    with pytest.raises(RequestError, match="gives _IndependentBits and no sequence of symbols"):
        accuracy_metrics(model, X % 2, Identity())
    with pytest.raises(RequestError, match="temperature is -1"):
        accuracy_metrics(model_of(Successor()), X, Identity(), temperature=-1)
