r"""A model that draws what it is told, one that does not listen, and one whose code holds the class as well."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from vaekit.data import Split
from vaekit.data.transforms import Scale
from vaekit.distributions import StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import conditioning_metrics
from vaekit.evaluation.features import FeatureNet
from vaekit.models import VAE
from vaekit.networks import OneHot

FLAT = FeatureNet("pixels", 16, nn.Flatten())


def images(classes, brightness):
    """4×4 images with the row of their class lit."""
    x = torch.zeros(len(classes), 1, 4, 4)
    for row, label in enumerate(classes):
        x[row, 0, int(label)] = float(brightness[row])
    return x


class Encoder(nn.Module):
    """z is the brightness, and the class too."""

    def forward(self, x, context):
        rows = x.sum((1, 3))
        z = torch.stack([rows.max(1).values / 4, rows.argmax(1).float()], 1)
        return Independent(Normal(z, torch.full_like(z, 0.1)), 1)


class Decoder(nn.Module):
    """Draws the class of the context, of the code, or always the first."""

    def __init__(self, listens_to):
        super().__init__()
        self.listens_to = listens_to

    def forward(self, z, context):
        told, coded = context.argmax(1), z[:, 1].round().clamp(0, 3).long()
        label = {"context": told, "code": coded, "nothing": torch.zeros_like(told)}[self.listens_to]
        x = images(label, z[:, 0].abs().clamp(0.3, 1))
        return Independent(Normal(x, torch.ones_like(x)), 3)


def model(listens_to):
    return VAE(Encoder(), Decoder(listens_to), StandardNormal(2), context=OneHot(4))


def split(n, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, n)
    return Split((images(labels, random.uniform(0.3, 1, n)).numpy() * 255).astype(np.uint8), labels)


@pytest.mark.parametrize(
    ("listens_to", "drawn", "moved"), [("context", 1.0, 1.0), ("nothing", 0.25, 0.25), ("code", None, 0.0)]
)
def test_what_is_drawn_is_read(listens_to, drawn, moved):
    done = []
    test = split(400, 1)
    found = conditioning_metrics(model(listens_to), split(600, 0), test, Scale(256), features=FLAT, advance=done.append)
    assert found["class_agreement_real"] == 1
    if drawn is not None:
        share = drawn if drawn == 1 else (test.labels == 0).mean()
        assert found["class_agreement"] == pytest.approx(share)
        assert found["class_agreement_by_class"] == [1.0, *3 * [float(drawn == 1)]]
    assert found["transfer_agreement"] == pytest.approx(moved, abs=0.07 if 0 < moved < 1 else 0)
    assert sum(done) == 3 * 400
    se = (found["class_agreement"] * (1 - found["class_agreement"]) / 400) ** 0.5
    assert found["class_agreement_se"] == pytest.approx(se)
    assert "600 training examples" in found["protocol"]


def test_the_same_seed_draws_the_same(monkeypatch):
    first, second, other = (
        conditioning_metrics(model("code"), split(200, 0), split(100, 1), Scale(256), features=FLAT, seed=seed)
        for seed in (3, 3, 4)
    )
    assert first == second
    assert first["class_agreement"] != other["class_agreement"]


def test_what_cannot_be_read_is_refused():
    bare = VAE(Encoder(), Decoder("context"), StandardNormal(2))
    with pytest.raises(RequestError, match="not conditional on classes"):
        conditioning_metrics(bare, split(20, 0), split(20, 1), Scale(256), features=FLAT)
    with pytest.raises(RequestError, match="no labels to read"):
        conditioning_metrics(model("code"), Split(split(20, 0).x), split(20, 1), Scale(256), features=FLAT)
