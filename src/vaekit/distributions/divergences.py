r"""Kullback-Leibler divergences in closed form."""

__all__ = ["find_formula", "find_formulas", "kl_divergence"]

import contextlib

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, register_kl
from torch.distributions import kl_divergence as _registered


def kl_divergence(q: Distribution, p: Distribution) -> Tensor:
    r"""Return :math:`\mathrm{KL}(q \,\|\, p) = \mathbb E_q[\log q - \log p]` in nats, shape `batch_shape`.

    The closed form is looked up in PyTorch's registry, to which this module adds the Gaussian pairs with one
    diagonal and one full covariance, so that every pair of Gaussians has one:

    .. math::
        \mathrm{KL} = \tfrac12 \left( \operatorname{tr} \Sigma_p^{-1} \Sigma_q
            + (\mu_p - \mu_q)^\top \Sigma_p^{-1} (\mu_p - \mu_q) - d + \log \frac{|\Sigma_p|}{|\Sigma_q|} \right).

    Raises:
        NotImplementedError: If no closed form is known for the pair.

    Example:
        >>> q = Independent(Normal(torch.ones(3), torch.ones(3)), 1)
        >>> p = MultivariateNormal(torch.zeros(3), torch.eye(3))
        >>> kl_divergence(q, p)
        tensor(1.5000)
    """
    result: Tensor = _registered(q, p)
    return result


def _normal(diagonal: Independent[Distribution]) -> Normal:
    normal = diagonal.base_dist
    if not isinstance(normal, Normal) or diagonal.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(f"no closed-form KL divergence for {diagonal}")
    return normal


def _full(diagonal: Independent[Distribution]) -> MultivariateNormal:
    normal = _normal(diagonal)
    return MultivariateNormal(normal.loc, scale_tril=torch.diag_embed(normal.scale), validate_args=False)


def _kl_diagonal_full(q: Independent[Distribution], p: MultivariateNormal) -> Tensor:
    return kl_divergence(_full(q), p)


def _kl_full_diagonal(q: MultivariateNormal, p: Independent[Distribution]) -> Tensor:
    # Not by way of `_full`: with p diagonal nothing has to be solved, and PyTorch's own cannot be compiled.
    normal = _normal(p)
    factor = q.scale_tril
    spread = (factor / normal.scale.unsqueeze(-1)).square().sum((-2, -1))
    shift = ((q.loc - normal.loc) / normal.scale).square().sum(-1)
    logs = normal.scale.log().sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return (spread + shift - q.event_shape[0]) / 2 + logs


register_kl(Independent, MultivariateNormal)(_kl_diagonal_full)
register_kl(MultivariateNormal, Independent)(_kl_full_diagonal)

_found: list[tuple[Distribution, Distribution]] = []


def find_formula(q: Distribution, p: Distribution) -> None:
    r"""Have PyTorch find the divergence of two types now, or that there is none, and not in a compiled step.

    It finds a formula by a search that torch.compile cannot trace, and then remembers it, until another is registered.
    A module that registers one therefore calls this afterwards, which finds all the others again.

    Arguments:
        q: A distribution of the first type.
        p: One of the second.
    """
    _found.append((q, p))
    find_formulas()


def find_formulas() -> None:
    r"""Find again the formulas of all pairs that `find_formula` was given, after a library has registered its own."""
    for q, p in _found:
        with contextlib.suppress(NotImplementedError):
            _registered(q, p)


_diagonal: Independent[Distribution] = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
find_formula(_diagonal, _diagonal)
