r"""The rate: what a code costs, whole and unit by unit."""

__all__ = ["closed_rate", "sampled_rate"]

from torch import Tensor
from torch.distributions import Distribution, Independent

from vaekit.distributions.divergences import kl_divergence


def closed_rate(q: Distribution, p: Distribution) -> tuple[Tensor, Tensor | None]:
    r"""Return :math:`\mathrm{KL}(q \,\|\, p)` in closed form, in nats, shape `(n,)`, and its parts.

    Arguments:
        q: The posterior, with `batch_shape (n,)`.
        p: The prior.

    Returns:
        The rate, and its share of each unit, shape `(n, d)`, or None where the two do not both factorise.

    Raises:
        NotImplementedError: If no closed form is known for the pair.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> q = Independent(Normal(torch.tensor([[0.0, 1.0]]), torch.ones(1, 2)), 1)
        >>> closed_rate(q, Independent(Normal(torch.zeros(2), torch.ones(2)), 1))
        (tensor([0.5000]), tensor([[0.0000, 0.5000]]))
    """
    if isinstance(q, Independent) and isinstance(p, Independent) and _factorised(q, p):
        parts = kl_divergence(q.base_dist, p.base_dist)
        return parts.sum(-1), parts
    return kl_divergence(q, p), None


def sampled_rate(
    q: Distribution, p: Distribution, z: Tensor, log_q: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    r"""Return :math:`\log q(z) - \log p(z)` at draws z, in nats, shape `(k, n)`, and its parts.

    Arguments:
        q: The posterior, with `batch_shape (n,)`.
        p: The prior.
        z: Draws, shape `(k, n, latent_dim)`.
        log_q: :math:`\log q(z)`, shape `(k, n)`, where it is known already.

    Returns:
        The rate; and its share of each unit, shape `(k, n, d)`, or of each layer where posterior and prior have the
        same ones (`parts`), or None where it is of one piece.
    """
    if isinstance(q, Independent) and isinstance(p, Independent) and _factorised(q, p):
        parts = q.base_dist.log_prob(z) - p.base_dist.log_prob(z)
        return parts.sum(-1), parts
    ours, theirs = getattr(q, "parts", None), getattr(p, "parts", None)
    if ours is not None and theirs is not None:
        parts = ours(z) - theirs(z)
        return parts.sum(-1), parts
    return (q.log_prob(z) if log_q is None else log_q) - p.log_prob(z), None


def _factorised(q: Independent[Distribution], p: Independent[Distribution]) -> bool:
    return (
        q.reinterpreted_batch_ndims == p.reinterpreted_batch_ndims == 1
        and not q.base_dist.event_shape
        and not p.base_dist.event_shape
    )
