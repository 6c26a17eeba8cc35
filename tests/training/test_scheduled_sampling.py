r"""A training with scheduled sampling that was stopped and resumed is the one that never stopped, to the bit."""

import signal

import numpy as np
import pytest
import torch

from vaekit import recipes
from vaekit.data import Dataset, Split
from vaekit.distributions import RecurrentLikelihood
from vaekit.errors import Interrupted
from vaekit.models import seeded
from vaekit.plan import DataSpec
from vaekit.training import fit


def tunes(n, seed):
    x = np.ones((n, 32), np.uint8)
    x[:, ::4] = np.random.default_rng(seed).integers(30, 50, (n, 1)) + np.arange(8)
    return x


def plan_for(data, seed=0):
    with seeded(seed):
        return recipes.get("music-vae-2bar")(
            DataSpec.of(data),
            hidden=6,
            decoder_hidden=8,
            latent_dim=3,
            epochs=4,
            batch_size=20,
            sampling=2.0,
            updates=0,
        )


def test_a_stop_costs_nothing_and_the_count_of_batches_goes_on(tmp_path, monkeypatch):
    splits = {"train": Split(tunes(60, 0)), "validation": Split(tunes(20, 1)), "test": Split(tunes(20, 2))}
    data = Dataset("tunes", **splits, levels=90, suggested="categorical")
    whole = fit(plan_for(data), data, directory=tmp_path / "whole", progress=False)
    assert whole.history["validation_elbo"][-1] > whole.history["validation_elbo"][0]
    original = RecurrentLikelihood.forward

    def stopping(self, parameters):
        if self.training and int(self.batches) == 4:  # the fifth batch, the second of the second epoch
            signal.raise_signal(signal.SIGINT)
        return original(self, parameters)

    monkeypatch.setattr(RecurrentLikelihood, "forward", stopping)
    with pytest.raises(Interrupted):
        fit(plan_for(data), data, directory=tmp_path / "parts", progress=False)
    monkeypatch.undo()
    torch.manual_seed(9)
    resumed = fit(plan_for(data, 5), data, directory=tmp_path / "parts", resume=True, progress=False)
    one, other = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert int(one["decoder.head.batches"]) == whole.facts["steps"] == 12
    assert whole.history["validation_elbo"] == resumed.history["validation_elbo"]
