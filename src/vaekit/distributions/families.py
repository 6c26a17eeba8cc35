r"""Posteriors, and the priors that go with them, by name."""

__all__ = ["POSTERIORS", "posterior", "prior_for"]

import inspect
from typing import Any

from torch import nn

from vaekit.distributions.posteriors import DiagonalGaussian, FullGaussian, Laplace, Logistic, Posterior, StudentT
from vaekit.distributions.restricted_posteriors import Dirichlet, Gamma, GumbelSoftmax, Kumaraswamy, LogNormal
from vaekit.errors import RequestError, nearest

POSTERIORS: dict[str, type[Posterior]] = {
    "gaussian": DiagonalGaussian,
    "full-gaussian": FullGaussian,
    "laplace": Laplace,
    "student-t": StudentT,
    "logistic": Logistic,
    "kumaraswamy": Kumaraswamy,
    "gumbel-softmax": GumbelSoftmax,
    "log-normal": LogNormal,
    "gamma": Gamma,
    "dirichlet": Dirichlet,
}


def posterior(name: str, latent_dim: int, **options: Any) -> Posterior:
    r"""Return a posterior head by name.

    Arguments:
        name: On the real space "gaussian", "full-gaussian", "laplace", "student-t" or "logistic"; on the positive
            numbers "log-normal" or "gamma"; on the unit cube "kumaraswamy"; on the simplex "dirichlet" or
            "gumbel-softmax".
        latent_dim: Size of z.
        options: What the head takes beside: `df` of "student-t", `categories` and `temperature` of "gumbel-softmax".

    Raises:
        RequestError: If there is none of that name, or it does not take an option.

    Example:
        >>> posterior("gumbel-softmax", 20, categories=10).parameter_shape
        (20,)
    """
    if name not in POSTERIORS:
        known = ", ".join(POSTERIORS)
        raise RequestError(f"unknown posterior {name!r}; expected one of {known}.{nearest(name, POSTERIORS)}")
    head = POSTERIORS[name]
    takes = list(inspect.signature(head).parameters)[1:]
    for option in options:
        if option not in takes:
            known = f"one of {', '.join(takes)}" if takes else "none"
            raise RequestError(
                f"posterior {name!r} has no option {option!r}; expected {known}.{nearest(option, takes)}"
            )
    return head(latent_dim, **options)


def prior_for(name: str, latent_dim: int, **options: Any) -> nn.Module:
    r"""Return the simplest prior on the space of a posterior: the standard normal, the uniform, or their like.

    Arguments:
        name: Name of the posterior; see `posterior`.
        latent_dim: Size of z.
        options: The posterior's options.

    Raises:
        RequestError: If there is none of that name, or it does not take an option.

    Example:
        >>> import torch
        >>> prior_for("kumaraswamy", 2)().log_prob(torch.tensor([0.1, 0.9]))
        tensor(0.)
    """
    return posterior(name, latent_dim, **options).default_prior()
