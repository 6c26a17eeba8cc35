import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from vaekit.data import from_arrays, load_dataset
from vaekit.data.factors import FactorArrays
from vaekit.data.sprites import load_sprites
from vaekit.data.transforms import Identity, Scale
from vaekit.distributions import Bernoulli, Conditional, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation.disentanglement import (
    BRIEF,
    METRICS,
    Thinned,
    beta_vae_score,
    disentanglement_metrics,
    factor_vae_score,
    mig_score,
    modularity_score,
    sap_score,
)
from vaekit.models import VAE

GRID = np.stack(np.meshgrid(np.arange(5), np.arange(6), np.arange(4), indexing="ij"), -1).reshape(-1, 3)
DATA = FactorArrays(GRID.astype(np.float32), GRID, ("hue", "size", "place"))
SMALL = {"train": 200, "evaluation": 100, "batch": 16, "repeats": 2}
QUICK = {"metrics": ("beta-vae", "factor-vae", "mig"), **SMALL}


class Known(nn.Module):
    """An encoder whose posterior means are the data, through dropout that must be off, and far from its draws."""

    def __init__(self, mixing=None):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("mixing", torch.eye(3) if mixing is None else torch.tensor(mixing))

    def forward(self, x, context=None):
        mean = self.dropout((x - 2) @ self.mixing)
        return Independent(Normal(mean, torch.full_like(mean, 3.0)), 1)


MIXING = [[1.0, 0.8, 0.0], [0.0, 1.0, 0.8], [-0.8, 0.0, 1.0]]


def known(mixing=None):
    return VAE(Known(mixing), Conditional(nn.Linear(3, 3), Gaussian((3,), variance=1.0)), StandardNormal(3))


def test_a_perfect_model_has_perfect_scores_and_they_can_be_written_down():
    metrics = disentanglement_metrics(known(), DATA, Identity(), **SMALL)
    for name in ("beta_vae", "factor_vae", "mig", "dci_disentanglement", "dci_completeness", "dci_informativeness"):
        assert 0.9 <= metrics[name] <= 1
        assert 0 <= metrics[f"{name}_se"] < 0.05
    assert metrics["sap"] > 0.9
    assert metrics["modularity"] > 0.9
    assert (metrics["latent_dim"], metrics["factors"], metrics["seed"]) == (3, ["hue", "size", "place"], 0)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_the_protocol_in_words():
    said = disentanglement_metrics(known(), DATA, Identity(), seed=4, **SMALL)["protocol"]
    for part in (
        "FactorArrays, factors hue, size, place (5 × 6 × 4), drawn from all combinations",
        "posterior means",
        "values as stored",
        "200 points to learn from, 100 to score on",
        "β-VAE 16 pairs a point",
        "FactorVAE 16 examples a vote",
        "MIG 20 bins",
        "mean of 2 draws from seed 4",
    ):
        assert part in said
    few = disentanglement_metrics(known(), DATA, Identity(), metrics=("mig",), bins=7, **SMALL)
    assert "MIG 7 bins" in few["protocol"]
    assert "DCI" not in few["protocol"]
    assert not [name for name in few if name.startswith(("dci", "beta", "factor_vae", "sap", "modularity"))]


def test_the_numbers_are_those_of_each_metric_with_the_same_arguments():
    def encode(x):
        return (x - 2) @ np.float32(MIXING)

    # Codes that are not perfect, so that every example that is drawn counts.
    found = disentanglement_metrics(known(MIXING), DATA, Identity(), bins=3, seed=2, **SMALL)
    drawn = {"repeats": 2, "seed": 2}
    learned = {"train": 200, "evaluation": 100, **drawn}
    each = (
        beta_vae_score(encode, DATA, pairs=16, **learned),
        factor_vae_score(encode, DATA, batch=16, scale=200, **learned),
        mig_score(encode, DATA, train=200, bins=3, **drawn),
        sap_score(encode, DATA, **learned),
        modularity_score(encode, DATA, train=200, bins=3, **drawn),
    )
    for scores in each:
        for name, value in scores.items():
            assert found[name] == pytest.approx(value, abs=1e-6)
    assert found["factor_vae"] < 0.95
    plain = disentanglement_metrics(
        known(MIXING), DATA, Identity(), seed=2, metrics=("sap",), continuous=False, **SMALL
    )
    assert plain["sap"] == pytest.approx(sap_score(encode, DATA, continuous=False, **learned)["sap"], abs=1e-6)
    assert "SAP by linear SVM" in plain["protocol"]
    assert "SAP by squared correlation" in found["protocol"]


def test_the_same_seed_gives_the_same_numbers_and_the_mode_comes_back():
    model = known()
    model.train()
    first = disentanglement_metrics(model, DATA, Identity(), **QUICK)
    assert model.encoder.dropout.training
    torch.rand(3)
    assert disentanglement_metrics(model, DATA, Identity(), **QUICK) == first
    assert disentanglement_metrics(model, DATA, Identity(), seed=1, **QUICK) != first


def test_progress_counts_every_example_once():
    done = []
    disentanglement_metrics(known(), DATA, Identity(), metrics=("factor-vae",), advance=done.append, **SMALL)
    assert sum(done) == len(GRID)


def test_wrong_requests():
    plain = from_arrays(GRID.astype(np.float32), name="points")
    with pytest.raises(RequestError, match="points has no known factors of variation"):
        disentanglement_metrics(known(), plain, Identity())
    with pytest.raises(RequestError, match="mnist has no known factors of variation"):
        disentanglement_metrics(known(), load_dataset("mnist"), Identity())
    with pytest.raises(RequestError, match=r"metric is 'MIG'; expected one of beta-vae, .*Did you mean 'mig'"):
        disentanglement_metrics(known(), DATA, Identity(), metrics=("MIG",))
    with pytest.raises(RequestError, match="train is 0"):
        disentanglement_metrics(known(), DATA, Identity(), metrics=(), train=0)


class Moments(nn.Module):
    """An encoder that computes where a sprite is and how large, and mixes them if told to."""

    def __init__(self, mixing):
        super().__init__()
        self.register_buffer("mixing", torch.tensor(mixing))

    def forward(self, x, context=None):
        mass = x[:, 0]
        area = mass.sum((1, 2))
        place = torch.arange(64.0)
        column = (mass.sum(1) @ place) / area
        row = (mass.sum(2) @ place) / area
        mean = torch.stack([(column - 31.5) / 9, (row - 31.5) / 9, (area.sqrt() - 12) / 4], 1) @ self.mixing
        return Independent(Normal(mean, torch.ones_like(mean)), 1)


def moments(mixing):
    decoder = Conditional(nn.Sequential(nn.Linear(3, 4096), nn.Unflatten(1, (1, 64, 64))), Bernoulli((1, 64, 64)))
    return VAE(Moments(mixing), decoder, StandardNormal(3))


def test_sprites_by_their_moments():
    straight = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    turned = [[0.7, 0.7, 0.0], [-0.5, 0.5, 0.7], [0.5, -0.5, 0.7]]
    data = load_sprites()
    options = {"metrics": ("factor-vae", "mig"), "train": 600, "evaluation": 200, "batch": 16, "repeats": 1}
    good, bad = (disentanglement_metrics(moments(m), data, Scale(2), **options) for m in (straight, turned))
    # The codes are the two positions and something of scale and shape; orientation leaves no trace.
    assert good["factors"] == ["shape", "scale", "orientation", "position_x", "position_y"]
    assert 0.55 < good["factor_vae"] < 0.85
    assert 0.35 < good["mig"] < 0.7
    for name in ("factor_vae", "mig"):
        assert bad[name] < good[name] - 0.1
    assert (
        "sprites, factors shape, scale, orientation, position_x, position_y (3 × 6 × 40 × 32 × 32)" in good["protocol"]
    )
    assert "bits as stored" in good["protocol"]


def test_a_brief_measurement_says_so_and_sees_a_part_of_the_grid():
    straight = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    done = []
    options = {"metrics": ("mig", "factor-vae"), "repeats": 1, "batch": 8, "advance": done.append}
    brief = disentanglement_metrics(moments(straight), load_sprites(), Scale(2), **BRIEF, **options)
    assert sum(done) <= 3 * 6 * 10 * 8 * 8
    assert "(3 × 6 × 10 × 8 × 8 of 3 × 6 × 40 × 32 × 32 classes, evenly spaced)" in brief["protocol"]
    assert "1,000 points to learn from, 500 to score on, not as scores are published" in brief["protocol"]
    assert 0.35 < brief["mig"] < 0.75


def test_the_size_of_published_scores_is_named():
    options = {"metrics": ("mig",), "repeats": 1}
    assert "as in the shared comparison" in disentanglement_metrics(known(), DATA, Identity(), **options)["protocol"]
    for other in ({"bins": 10}, {"train": 9000}, {"combinations": 60}):
        assert (
            "not as scores are published"
            in disentanglement_metrics(known(), DATA, Identity(), **options, **other)["protocol"]
        )


def test_a_thinned_grid_keeps_the_range_of_its_factors():
    few = Thinned(DATA, 30)
    assert few.factor_sizes == (3, 3, 2)
    whole = few.images(np.indices(few.factor_sizes).reshape(3, -1).T)
    assert len(np.unique(whole, axis=0)) == len(whole)
    for column, size in zip(whole.T, DATA.factor_sizes, strict=True):
        classes = np.unique(column)
        assert classes[0] == 0
        assert np.ptp(np.diff([*classes, size])) <= 1  # evenly spaced, around the ring
    drawn = few.sample_factors(2000, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == len(whole)
    assert Thinned(DATA, 120).factor_sizes == DATA.factor_sizes
    with pytest.raises(RequestError, match="combinations is 7; expected at least 8"):
        Thinned(DATA, 7)


def test_all_metrics_have_a_name():
    assert len(set(METRICS)) == 6
