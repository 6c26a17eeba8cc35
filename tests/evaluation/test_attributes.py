r"""Codes that hold attributes, codes that hold none, and principal components beside them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from vaekit.data import Split
from vaekit.data.transforms import Identity
from vaekit.distributions import StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation.attributes import attribute_metrics
from vaekit.models import VAE
from vaekit.networks import OneHot

NAMES = ("first", "second", "never")


class Columns(nn.Module):
    """Codes that are some columns of x."""

    def __init__(self, *columns):
        super().__init__()
        self.columns = columns

    def forward(self, x, context=None):
        z = x[:, list(self.columns)]
        return Independent(Normal(z, torch.full_like(z, 0.1)), 1)


def model(*columns, context=None):
    return VAE(Columns(*columns), Columns(0), StandardNormal(len(columns)), context=context)


def split(n, seed):
    """The signs of the first two of ten columns are attributes; the others are louder, and mean nothing."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 10)).astype(np.float32)
    x[:, 2:] *= 10
    has = np.stack([x[:, 0] > 0, x[:, 1] > 0, np.zeros(n)], 1).astype(np.float32)
    return Split(x, context=has)


SPLITS = (split(600, 0), split(200, 1), split(400, 2))


def test_attributes_are_read_from_a_code_that_holds_them():
    done = []
    found = attribute_metrics(model(0, 1), SPLITS, NAMES, Identity(), advance=done.append)
    assert found["attribute_accuracy"] > 0.95
    assert found["attribute_balanced_accuracy"] > 0.95
    assert found["attribute_accuracy_pca"] < 0.6  # the two largest directions are others
    assert found["attributes"] == 2  # nobody has the third
    assert sum(done) == 1200
    assert set(found["attribute_accuracy_by_attribute"]) == {"first", "second"}
    assert found["attribute_accuracy"] == pytest.approx(
        np.mean(list(found["attribute_accuracy_by_attribute"].values())), abs=1e-4
    )


def test_nothing_is_read_from_a_code_that_holds_none():
    found = attribute_metrics(model(5, 6), SPLITS, NAMES, Identity())
    assert 0.4 < found["attribute_balanced_accuracy"] < 0.6
    half = attribute_metrics(model(0, 6), SPLITS, NAMES, Identity())["attribute_accuracy_by_attribute"]
    assert half["first"] > 0.95 > 0.6 > half["second"]


def test_a_rare_attribute_flatters_accuracy_and_not_balanced_accuracy():
    rare = []
    for part in (split(1000, 3), split(500, 4), split(1000, 5)):
        rare.append(Split(part.x, context=(part.x[:, :1] > 1.65).astype(np.float32)))
    found = attribute_metrics(model(7, 8), tuple(rare), ("rare",), Identity())
    assert found["attribute_accuracy"] == pytest.approx(found["attribute_accuracy_guess"], abs=0.02)
    assert found["attribute_accuracy_guess"] > 0.9
    assert found["attribute_balanced_accuracy"] < 0.6


def test_what_cannot_be_read_is_refused():
    with pytest.raises(RequestError, match="is told"):
        attribute_metrics(model(0, context=OneHot(3)), SPLITS, NAMES, Identity())
    with pytest.raises(RequestError, match="no attributes"):
        attribute_metrics(model(0), tuple(Split(part.x) for part in SPLITS), NAMES, Identity())
    none = tuple(Split(part.x, context=np.zeros((len(part), 1), np.float32)) for part in SPLITS)
    with pytest.raises(RequestError, match="no attribute has 5"):
        attribute_metrics(model(0), none, ("never",), Identity())
