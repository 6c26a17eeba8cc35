r"""The total correlation of the aggregate posterior, estimated from a batch."""

__all__ = ["Aggregation", "aggregate_log_prob", "total_correlation"]

import math
from typing import Literal, cast

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaekit.errors import RequestError, nearest

Aggregation = Literal["stratified", "weighted"]


def aggregate_log_prob(
    q: Distribution, z: Tensor, dataset_size: int, estimator: Aggregation = "stratified"
) -> tuple[Tensor, Tensor]:
    r"""Return estimates of :math:`\log q(z)` and of each :math:`\log q(z_j)`, from the posteriors of a batch.

    The aggregate posterior :math:`q(z) = \frac1N \sum_x q(z \mid x)` is a mixture over all N examples of the data
    set, of which a batch of B is known: drawn without replacement, with the example :math:`x_i` that z was drawn from
    among them. It is the one component that is there for certain, which is why the batch's plain mean will not do.

    .. math::
        \hat q_\text{stratified}(z) = \frac1N q(z \mid x_i) + \frac{N - 1}{N} \frac{1}{B - 1} \sum_{m \ne i}
        q(z \mid x_m), \qquad
        \hat q_\text{weighted}(z) = \frac{1}{N B} \sum_m q(z \mid x_m)

    The mean of the stratified estimate over batches is :math:`q(z)`, and from a batch of all N it is exact. The paper
    gives the others unequal weights, :math:`\frac1M` for all but one, for which :math:`\frac{N - M}{N M}` is left, with
    :math:`M = B - 1`; this is the mean over which of them is the one, with the same expectation and less noise.

    The weighted estimate is too small by far: by a factor of N from a batch of all N. It does for a gradient, not for
    a number: what is made of it, such as a total correlation over D units, is off by :math:`(D - 1) \log N` there.

    A batch of one says nothing of the other examples; then both estimates are :math:`q(z \mid x_i) / N`.

    References:
        Isolating sources of disentanglement in variational autoencoders (Chen et al., 2018), section 4.1 and
        appendix C.

    Arguments:
        q: Posteriors of the batch, with `batch_shape (n,)`.
        z: Draws of them in order, shape `(..., n, d)`.
        dataset_size: Number of examples of the data set, N.
        estimator: "stratified" or "weighted".

    Returns:
        Log-densities in nats, of the code, shape `(..., n)`, and of each of its units, shape `(..., n, d)`.

    Raises:
        RequestError: If the posterior's marginals are not known, the estimator is not, or N is less than 1.

    Example:
        >>> q = Independent(Normal(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1)), 1)
        >>> joint, units = aggregate_log_prob(q, torch.zeros(2, 1), dataset_size=2)
        >>> bool(torch.allclose(joint, Normal(0.0, 1.0).log_prob(torch.ones(2))))
        True
    """
    n, size = z.shape[-2], dataset_size
    if size < 1:
        raise RequestError(f"dataset_size is {size}; expected the number of training examples: pass at least 1")
    if estimator not in ("stratified", "weighted"):
        hint = nearest(str(estimator), ("stratified", "weighted"))
        raise RequestError(f"unknown estimator {estimator!r}; expected 'stratified' or 'weighted'.{hint}")
    units = _marginals(q).log_prob(z.unsqueeze(-2))  # (..., draw, component, unit)
    joint = units.sum(-1) if isinstance(q, Independent) else q.log_prob(z.unsqueeze(-2))
    if estimator == "weighted":
        weights = torch.full_like(joint[..., :1, :], -math.log(size * n))
    else:
        others = math.log(max(size - 1, 1) / (size * max(n - 1, 1)))
        own = torch.eye(n, dtype=joint.dtype, device=joint.device)
        weights = others + own * (-math.log(size) - others)
    return (joint + weights).logsumexp(-1), (units + weights.unsqueeze(-1)).logsumexp(-2)


def total_correlation(q: Distribution, z: Tensor, dataset_size: int, estimator: Aggregation = "stratified") -> Tensor:
    r"""Return :math:`\log q(z) - \sum_j \log q(z_j)` at draws, in nats, shape `(..., n)`.

    Its mean estimates the total correlation of the aggregate posterior,
    :math:`\mathrm{KL}(q(z) \,\|\, \prod_j q(z_j))`.

    References:
        Isolating sources of disentanglement in variational autoencoders (Chen et al., 2018).

    Arguments:
        q: Posteriors of the batch, with `batch_shape (n,)`.
        z: Draws of them in order, shape `(..., n, d)`.
        dataset_size: Number of examples of the data set.
        estimator: "stratified" or "weighted"; see `aggregate_log_prob`.

    Raises:
        RequestError: As `aggregate_log_prob`.

    Example:
        >>> q = Independent(Normal(torch.randn(5, 1), torch.ones(5, 1)), 1)
        >>> total_correlation(q, q.sample(), dataset_size=5)  # of one unit there is none
        tensor([0., 0., 0., 0., 0.])
    """
    joint, units = aggregate_log_prob(q, z, dataset_size, estimator)
    return joint - units.sum(-1)


def _marginals(q: Distribution) -> Distribution:
    """The distributions of single units, with `batch_shape (n, d)`."""
    if isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1 and not q.base_dist.event_shape:
        return cast(Distribution, q.base_dist)
    if isinstance(q, MultivariateNormal):
        return Normal(q.mean, q.stddev, validate_args=False)
    raise RequestError(
        f"the units of a posterior of type {type(q).__name__} have no known distributions of their own, and so no "
        "estimate of their total correlation: use a posterior such as DiagonalGaussian"
    )
