r"""Priors that are fitted to codes after the training, and not learned with the model."""

__all__ = ["FittedPrior", "FullMixturePrior", "HeldOut", "fit_numbers", "full_mixture"]

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from torch.linalg import cholesky

from vaekit.distributions.full_gaussian import FullNormal, find_full_formulas
from vaekit.errors import RequestError

HeldOut = tuple[Tensor, Tensor | None]  # codes that a prior is not fitted to, and their contexts

_BLOCK = 1000  # codes whose density is evaluated at once


class FittedPrior(Protocol):
    r"""A prior that `vaekit.stages.ExPostDensity` fits to codes when the training is over."""

    def __call__(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), or p(z | c) for contexts with one row an example, as the model's parts get them."""
        ...

    def fit(
        self,
        codes: Tensor,
        seed: int = 0,
        *,
        context: Tensor | None = None,
        held_out: HeldOut | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> dict[str, float]:
        r"""Fit it to codes, in place, and return numbers worth keeping, as `fit_numbers` gives them.

        What comes of it depends on the arguments alone, and the caller's random state stays as it was.

        Arguments:
            codes: What to fit, one code an example, shape `(n, ...)`.
            seed: Of every random draw.
            context: What a conditional prior is told of each example, one row a code; others do not look at it.
            held_out: Codes and contexts that are not fitted, to choose by and to report on.
            advance: Called now and then with the share of the work that is done, from 0 to 1.
        """
        ...


def fit_numbers(
    prior: FittedPrior, codes: Tensor, context: Tensor | None = None, held_out: HeldOut | None = None
) -> dict[str, float]:
    r"""Return what a fitted prior makes of codes: their mean :math:`-\log p(z \mid c)`, in nats per example.

    Arguments:
        prior: The prior.
        codes: What it was fitted to, shape `(n, ...)`.
        context: Of each of them.
        held_out: Codes and contexts that it was not fitted to.

    Returns:
        "nll", and "held_out_nll" if there are such codes.

    Example:
        >>> from vaekit.distributions import StandardNormal
        >>> {name: round(value, 3) for name, value in fit_numbers(StandardNormal(2), torch.zeros(5, 2)).items()}
        {'nll': 1.838}
    """
    parts = {"nll": (codes, context)} | ({} if held_out is None else {"held_out_nll": held_out})
    return {name: _nll(prior, *part) for name, part in parts.items()}


@torch.no_grad()
def _nll(prior: FittedPrior, codes: Tensor, context: Tensor | None) -> float:
    total = 0.0
    for start in range(0, len(codes), _BLOCK):
        rows = slice(start, start + _BLOCK)
        total -= float(prior(None if context is None else context[rows]).log_prob(codes[rows]).double().sum())
    return total / len(codes)


def full_mixture(weights: Tensor, means: Tensor, factors: Tensor) -> Distribution:
    r"""Return a mixture of Gaussians with full covariances, :math:`\sum_k \pi_k \mathcal N(\mu_k, L_k L_k^\top)`.

    A mixture of one component is returned as the Gaussian it is, whose divergences are known in closed form.

    Arguments:
        weights: Shape `(components,)`, of sum 1.
        means: Shape `(components, latent_dim)`.
        factors: The Cholesky factors L, lower triangular, shape `(components, latent_dim, latent_dim)`.

    Example:
        >>> p = full_mixture(torch.tensor([0.5, 0.5]), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1, 1))
        >>> p.mean, p.variance
        (tensor([0.]), tensor([2.]))
    """
    if len(weights) == 1:
        return FullNormal(means[0], scale_tril=factors[0], validate_args=False)
    components = FullNormal(means, scale_tril=factors, validate_args=False)
    return MixtureSameFamily(Categorical(weights, validate_args=False), components, validate_args=False)


class FullMixturePrior(nn.Module):
    r"""A mixture of Gaussians with full covariances, fitted by expectation maximisation and not by gradients.

    Until it is fitted all components are :math:`\mathcal N(0, I)`. What is fitted are buffers, whose shapes are known
    before, so that a saved model is rebuilt and its weights loaded as for any other.

    References:
        From variational to deterministic autoencoders (Ghosh et al., 2020), section 4, for ex-post density estimation.

    Arguments:
        latent_dim: Size of z.
        components: Number of components; with 1 it is the Gaussian.

    Raises:
        RequestError: If a size is less than 1.

    Example:
        >>> prior = FullMixturePrior(2, components=3)
        >>> sorted(prior.fit(torch.randn(100, 2, generator=torch.Generator().manual_seed(0))))
        ['nll']
        >>> prior().sample((5,)).shape, sorted(prior.state_dict())
        (torch.Size([5, 2]), ['factors', 'means', 'weights'])
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, latent_dim: int, components: int = 10) -> None:
        super().__init__()
        find_full_formulas()
        for name, size in (("latent_dim", latent_dim), ("components", components)):
            if size < 1:
                raise RequestError(f"{name} is {size}; expected at least 1: pass 1 or more")
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, latent_dim))
        self.register_buffer("factors", torch.eye(latent_dim).repeat(components, 1, 1))

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return full_mixture(self.weights, self.means, self.factors)

    def fit(
        self,
        codes: Tensor,
        seed: int = 0,
        *,
        context: Tensor | None = None,
        held_out: HeldOut | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> dict[str, float]:
        r"""Fit the mixture to codes, shape `(n, latent_dim)`, by scikit-learn's `GaussianMixture`.

        Arguments:
            codes: What to fit.
            seed: Of its start.
            context: Not looked at: the density is of all codes together.
            held_out: Codes to report on.
            advance: Not called: expectation maximisation does not know how far it is.

        Returns:
            "nll" and "held_out_nll", in nats per example.

        Raises:
            RequestError: If there are fewer codes than components, or one is not finite.
        """
        from sklearn.mixture import GaussianMixture  # slow to import

        components = len(self.weights)
        if len(codes) < max(2, components):
            raise RequestError(
                f"there are {len(codes)} codes for a mixture of {components} components; expected as many at least: "
                "train on more examples, or fit fewer components"
            )
        if not bool(codes.isfinite().all()):
            raise RequestError("some codes are not finite; expected numbers: lower --learning-rate, or pass --clip 1")
        mixture = GaussianMixture(components, max_iter=500, random_state=seed).fit(codes.double().cpu().numpy())
        self.weights.copy_(torch.from_numpy(mixture.weights_))
        self.means.copy_(torch.from_numpy(mixture.means_))
        self.factors.copy_(cholesky(torch.from_numpy(mixture.covariances_)))
        return fit_numbers(self, codes, held_out=held_out)
