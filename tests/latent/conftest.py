r"""A model whose codes can be read from what it decodes."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.models import VAE


@pytest.fixture
def identity() -> Callable[..., VAE]:
    """Return a model of the plane, or of d dimensions, that codes x as x and decodes z as z."""

    def build(d: int = 2, prior: nn.Module | None = None) -> VAE:
        posterior, likelihood = DiagonalGaussian(d), Gaussian((d,), variance=1.0)
        inner, outer = nn.Linear(d, 2 * d), nn.Linear(d, d)
        with torch.no_grad():
            inner.weight.zero_()[:d] += torch.eye(d)
            inner.bias.zero_()
            outer.weight.copy_(torch.eye(d))
            outer.bias.zero_()
        return VAE(Conditional(inner, posterior), Conditional(outer, likelihood), prior or StandardNormal(d)).eval()

    return build
