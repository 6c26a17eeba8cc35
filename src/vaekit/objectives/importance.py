r"""The importance-weighted bound."""

__all__ = ["ImportanceWeighted"]

import math

import torch
from torch import Tensor, nn

from vaekit.objectives.base import Infers, Loss, draws


class ImportanceWeighted(nn.Module):
    r"""The importance-weighted bound, which tightens as the number of draws k grows.

    .. math::
        \mathcal L_k(x) = \mathbb E \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)} ,
        \qquad \mathcal L_1 = \text{ELBO} \le \mathcal L_k \le \log p(x)

    Its gradient weighs each draw by its share :math:`w_i / \sum_j w_j`: most weight on the *best* draw.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016).

    Arguments:
        samples: Draws of z for each example, k above.

    Raises:
        RequestError: If `samples` is less than 1.

    Example:
        >>> ImportanceWeighted(samples=50).monitor
        'bound'
    """

    monitor = "bound"
    settled = 0.0

    def __init__(self, samples: int = 50) -> None:
        super().__init__()
        self.samples = draws(samples)

    def advance(self, epoch: float) -> None:
        """Nothing is annealed."""

    def weights(self) -> dict[str, float]:
        """Nothing is annealed."""
        return {}

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the terms; `bound` is the bound itself, the others are those of the plain ELBO."""
        distortion, rate, _ = model.infer(x, context, self.samples)
        bound = torch.logsumexp(-(distortion + rate), dim=0) - math.log(self.samples)
        distortion, rate = distortion.mean(0), rate.mean(0)
        terms = {"bound": bound, "elbo": -(distortion + rate), "rate": rate, "distortion": distortion}
        return Loss(-bound.mean(), terms)
