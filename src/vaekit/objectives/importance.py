r"""The importance-weighted bound."""

__all__ = ["ImportanceWeighted"]

import math
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.objectives.annealed import Annealed
from vaekit.objectives.base import Infers, Loss, choice, draws, showing_latents


class ImportanceWeighted(Annealed):
    r"""The importance-weighted bound, which tightens as the number of draws k grows.

    .. math::
        \mathcal L_k(x) = \mathbb E \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)} ,
        \qquad \mathcal L_1 = \text{ELBO} \le \mathcal L_k \le \log p(x)

    Its gradient weighs each draw by its share :math:`\tilde w_i = w_i / \sum_j w_j`: most weight on the *best* draw.
    For the encoder's parameters :math:`\phi` this estimate is the noisier the more draws there are. The doubly
    reparameterised one has the same expectation, less variance, and reaches :math:`\phi` through the draws alone:

    .. math::
        \nabla_\phi \mathcal L_k = \mathbb E \sum_{i=1}^k \tilde w_i^2 \, \frac{\partial \log w_i}{\partial z_i}
        \frac{\partial z_i}{\partial \phi}

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016).
        Doubly reparameterized gradient estimators for Monte Carlo objectives (Tucker et al., 2019), equation 8.

    Arguments:
        samples: Draws of z for each example, k above.
        gradient: "standard", or "doubly-reparameterised" for the second estimate, which asks the posterior for the
            density of a draw twice more: of little account, except for a flow that is slow to invert.

    Raises:
        RequestError: If `samples` is less than 1, or the gradient unknown; in use, if the doubly reparameterised
            gradient is asked of a model that does not show its draws.

    Example:
        >>> ImportanceWeighted(samples=50).monitor
        'bound'
    """

    monitor = "bound"

    def __init__(self, samples: int = 50, gradient: Literal["standard", "doubly-reparameterised"] = "standard") -> None:
        super().__init__()
        self.samples = draws(samples)
        self.gradient = choice("gradient", gradient, ("standard", "doubly-reparameterised"))

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the terms; `bound` is the bound itself, the others are those of the plain ELBO."""
        if self.gradient == "standard":
            distortion, rate, _ = model.infer(x, context, self.samples)
            weights = -(distortion + rate)
        else:
            (distortion, rate, _), z, q, prior = showing_latents(model).latents(x, context, self.samples)
            weights = prior.log_prob(z) - _path_log_prob(q, z) - distortion
            _weigh_gradient(z, weights.detach().softmax(0))
        bound = torch.logsumexp(weights, dim=0) - math.log(self.samples)
        distortion, rate = distortion.mean(0), rate.mean(0)
        terms = {"bound": bound, "elbo": -(distortion + rate), "rate": rate, "distortion": distortion}
        return Loss(-bound.mean(), terms)


def _path_log_prob(q: Distribution, z: Tensor) -> Tensor:
    """The log-density of draws, with a gradient through z alone: that through the parameters of q is taken off."""
    score = q.log_prob(z.detach())
    return q.log_prob(z) - score + score.detach()


def _weigh_gradient(z: Tensor, shares: Tensor) -> None:
    """Multiply what arrives at draws of shape `(k, n, d)` in the backward pass by their shares, shape `(k, n)`."""
    if z.requires_grad:
        z.register_hook(lambda gradient: gradient * shares.unsqueeze(-1))
