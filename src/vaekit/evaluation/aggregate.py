r"""The aggregate posterior, and what the rate is spent on: information about x, and the mismatch with the prior."""

__all__ = ["AggregatePosterior", "aggregate_metrics"]

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.errors import RequestError
from vaekit.evaluation.likelihood import mean_and_error
from vaekit.evaluation.posterior import evaluating, random_rows
from vaekit.models import VAE
from vaekit.models.base import seed_of, seeded

_LOG_ROOT = math.log(2 * math.pi) / 2
_CELLS = 2**18  # (draw, component, unit) triples at once: a megabyte, which stays in the cache


class AggregatePosterior:
    r"""The mixture of the posteriors of n examples, :math:`q(z) = \frac1n \sum_i q(z \mid x_i)`, exactly.

    Every example is a component. Estimates from a minibatch, which must guess what the other components would add,
    are biased by nats; this is not, and is quick all the same: between diagonal Gaussians the joint densities are
    two matrix products.

    Everything is on the CPU. Joint densities are in double precision where the posteriors are Gaussian, for the
    products cancel.

    References:
        ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman and Johnson, 2016).

    Arguments:
        posteriors: Posteriors with `batch_shape (n_i,)` and `event_shape (latent_dim,)`; all rows are components.

    Raises:
        RequestError: If there is none, they have no density, or every density takes a pass through the model.

    Example:
        >>> q = Independent(Normal(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1)), 1)
        >>> aggregate = AggregatePosterior([q])
        >>> density = aggregate.log_prob(torch.zeros(1, 1)).exp()
        >>> bool(torch.isclose(density, Normal(0.0, 1.0).log_prob(torch.ones(1)).double().exp()))
        True
    """

    def __init__(self, posteriors: Sequence[Distribution]) -> None:
        if not posteriors:
            raise RequestError("there are no posteriors to aggregate; expected at least 1 example: pass more data")
        for q in posteriors:
            if not getattr(q, "has_density", True):
                raise RequestError(
                    "a point posterior has no density, and so no aggregate posterior and no rate to take apart: "
                    "use a posterior with a density, such as DiagonalGaussian"
                )
            if getattr(q, "interleaved", False):
                raise RequestError(
                    "the posterior is inferred step by step with what is drawn, so that the density of a code under "
                    "that of another example takes a pass through the model, and the mixture one for each pair: leave "
                    "aggregate out for this model"
                )
        self.parts = [_double(q) for q in posteriors]
        self.size = sum(q.batch_shape[0] for q in self.parts)

    @property
    def factorises(self) -> bool:
        """Whether the marginal of each unit is known."""
        return all(_marginal(q) is not None for q in self.parts)

    def log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log q(z)` in nats, shape `(m,)`, for z of shape `(m, latent_dim)`."""
        parts = torch.stack([_joint(q, z) for q in self.parts])
        return parts.logsumexp(0) - math.log(self.size)

    def marginal_log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log q(z_j)` of each unit in nats, shape `(m, latent_dim)`, for z of that shape.

        Raises:
            NotImplementedError: If the posteriors' marginals are not known.
        """
        results = []
        for q in self.parts:
            if (marginal := _marginal(q)) is None:
                raise NotImplementedError(f"the marginals of {q} are not known")
            results.append(_over_components(marginal, z))
        return torch.stack(results).logsumexp(0) - math.log(self.size)


def _factors(p: Distribution) -> Distribution | None:
    """The distributions of the units, where they are independent."""
    if not isinstance(p, Independent) or p.reinterpreted_batch_ndims != 1 or p.base_dist.event_shape:
        return None
    return cast(Distribution, p.base_dist)


def _marginal(q: Distribution) -> Distribution | None:
    if isinstance(q, MultivariateNormal):
        return Normal(q.mean, q.stddev, validate_args=False)
    return _factors(q)


def _double(p: Distribution) -> Distribution:
    """A Gaussian in double precision on the CPU; another distribution as it is."""
    base = _factors(p)
    if isinstance(base, Normal):
        return Independent(Normal(base.loc.cpu().double(), base.scale.cpu().double(), validate_args=False), 1)
    if isinstance(p, MultivariateNormal):
        return MultivariateNormal(p.loc.cpu().double(), scale_tril=p.scale_tril.cpu().double(), validate_args=False)
    return p


def _log_prob(p: Distribution, z: Tensor) -> Tensor:
    """Log-density of doubles z on the CPU under a distribution of any type and place."""
    try:
        like = p.mean
    except NotImplementedError:  # as of a flow
        with seeded(0):
            like = p.sample()
    return p.log_prob(z.to(like)).cpu().double()


def _joint(q: Distribution, z: Tensor) -> Tensor:
    """Log of the sum over q's components of their densities at z, shape `(m,)`."""
    base, z = _factors(q), z.cpu().double()
    if not isinstance(base, Normal):
        blocks = z.split(max(1, _CELLS // (q.batch_shape[0] * z.shape[1])))
        return torch.cat([_log_prob(q, rows[:, None]).logsumexp(1) for rows in blocks])
    # -(z - mean)^2 / 2 scale^2, multiplied out
    precision = base.scale.square().reciprocal()
    linear, quadratic = (base.loc * precision).T, precision.T / 2
    constant = (base.loc.square() * precision / 2 + base.scale.log() + _LOG_ROOT).sum(1)
    blocks = z.split(max(1, 4 * _CELLS // len(constant)))
    return torch.cat([(rows @ linear - rows.square() @ quadratic - constant).logsumexp(1) for rows in blocks])


def _over_components(marginal: Distribution, z: Tensor) -> Tensor:
    """Log of the sum over components of each unit's density at z, shape `(m, latent_dim)`."""
    z = z.cpu().double()
    blocks = z.split(max(1, _CELLS // marginal.batch_shape.numel()))
    if not isinstance(marginal, Normal):
        return torch.cat([_log_prob(marginal, rows[:, None]).logsumexp(1) for rows in blocks])
    # Single precision does here: differences are taken before anything is squared, so that nothing cancels.
    mean, scale = (parameter.T.float().contiguous()[:, None] for parameter in (marginal.mean, marginal.stddev))
    weight, height = math.sqrt(0.5) / scale, -(scale.log() + _LOG_ROOT)
    results = []
    for rows in blocks:
        cells = rows.T.float()[:, :, None] - mean  # (unit, draw, component)
        results.append(cells.mul_(weight).square_().neg_().add_(height).logsumexp(2).T.double())
    return torch.cat(results)


@torch.no_grad()
def aggregate_metrics(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    components: int = 10_000,
    draws: int = 2000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return what the rate is spent on: information about x, and the mismatch of codes and prior, in nats.

    With the aggregate posterior :math:`q(z) = \frac1n \sum_i q(z \mid x_i)`,

    .. math::
        \underbrace{\mathbb E_x \mathrm{KL}(q(z \mid x) \,\|\, p(z))}_{\text{aggregate KL, the mean rate}}
        = \underbrace{I_q(x; z)}_{\text{mutual information}}
        + \underbrace{\mathrm{KL}(q(z) \,\|\, \textstyle\prod_j q(z_j))}_{\text{total correlation}}
        + \underbrace{\textstyle\sum_j \mathrm{KL}(q(z_j) \,\|\, p(z_j))}_{\text{dimension-wise KL}}

    where the last two sum to the marginal KL, :math:`\mathrm{KL}(q(z) \,\|\, p(z))`. All are means over the same
    draws :math:`z \sim q(z \mid x_i)`, so that the identity holds for the estimates themselves.

    The information is that between z and *which of the n examples it came from*: it is at most :math:`\log n`.
    An estimate at that limit says that codes of different examples do not overlap, and no more: the information
    about x among all possible x lies between it and the rate, and what is missing counts as total correlation or
    as dimension-wise KL. Numbers of different n are not comparable.

    References:
        ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman and Johnson, 2016).
        Isolating sources of disentanglement in variational autoencoders (Chen et al., 2018), equation 2.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        components: How many examples make the mixture: at random, or all where there are no more.
        draws: How many z to average over, spread evenly over the components.
        seed: Of the transform's draws, the posterior's and the choices of examples.
        device: Where to encode.
        advance: Called with the number of draws done.

    Returns:
        `aggregate_kl`, `mutual_information` and `marginal_kl`, each with its `_se`, the standard error over draws
        for the components at hand; `mutual_information_limit`, :math:`\log n`; `components` and `draws`;
        `total_correlation`, where the marginals of the posterior are known; and `dimension_kl`, with a list of its
        terms, `unit_dimension_kl`, where the prior factorises too.

    Raises:
        RequestError: If the posterior has no density, there is no example, or `components` or `draws` is too small.

    Example:
        >>> import numpy as np
        >>> from vaekit.data.transforms import Identity
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> encoder = Conditional(torch.nn.Linear(3, 4), DiagonalGaussian(2))
        >>> decoder = Conditional(torch.nn.Linear(2, 3), Gaussian((3,)))
        >>> x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        >>> m = aggregate_metrics(VAE(encoder, decoder, StandardNormal(2)), x, Identity())
        >>> parts = m["mutual_information"] + m["total_correlation"] + m["dimension_kl"]
        >>> abs(parts - m["aggregate_kl"]) < 1e-9, m["mutual_information"] < m["mutual_information_limit"]
        (True, True)
    """
    if components < 1 or draws < 2:
        raise RequestError(
            f"components is {components} and draws {draws}; expected at least 1 component and 2 draws: "
            "pass components=10_000 and draws=2000"
        )
    chosen = random_rows(len(x), components, seed)
    x, context = x[chosen], None if context is None else context[chosen]
    with evaluating(model):
        aggregate = AggregatePosterior(
            [model.encode(block, given) for block, given in pairs(x, transform, context, seed, device)]
        )
        prior = _double(model.prior())
    n = aggregate.size
    z, own = _draw(aggregate, draws, seed)
    unit_prior = _factors(prior) if aggregate.factorises else None
    columns: dict[str, list[Tensor]] = {name: [] for name in ("aggregate_kl", "mutual_information", "marginal_kl")}
    units = []
    for rows, inside in zip(z.split(100), own.split(100), strict=True):
        mixture, outside = aggregate.log_prob(rows), _log_prob(prior, rows)
        columns["aggregate_kl"].append(inside - outside)
        columns["mutual_information"].append(inside - mixture)
        columns["marginal_kl"].append(mixture - outside)
        if aggregate.factorises:
            marginals = aggregate.marginal_log_prob(rows)
            columns.setdefault("total_correlation", []).append(mixture - marginals.sum(1))
            if unit_prior is not None:
                units.append(marginals - _log_prob(unit_prior, rows))
                columns.setdefault("dimension_kl", []).append(units[-1].sum(1))
        if advance is not None:
            advance(len(rows))
    result: dict[str, Any] = {}
    for name, values in columns.items():
        result[name], result[f"{name}_se"] = mean_and_error(torch.cat(values))
    if units:
        result["unit_dimension_kl"] = [round(value, 4) + 0.0 for value in torch.cat(units).mean(0).tolist()]  # no -0.0
    return result | {
        "mutual_information_limit": math.log(n),
        "components": n,
        "draws": draws,
        "protocol": _protocol(n, draws, seed, result["mutual_information"]),
    }


def _protocol(n: int, draws: int, seed: int, information: float) -> str:
    limit = f"at most log {n:,} = {math.log(n):.2f}"
    if information > math.log(n) - math.log(2):  # a code is taken for fewer than two examples
        limit += ", and at that limit: it describes these examples, and so does what is beside it"
    return (
        f"q(z) is the exact mixture of the posteriors of {n:,} examples; {draws:,} draws of z from it, seed {seed}; "
        f"mutual information is with the number of the example, {limit}; nats, ± is one standard error over draws"
    )


def _draw(aggregate: AggregatePosterior, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws of z, as evenly over the components as can be, and their densities under their own components."""
    n = aggregate.size
    rounds = -(-draws // n)
    z, own = [], []
    for number, q in enumerate(aggregate.parts):
        with seeded(seed_of(seed, number)):
            part = q.sample((rounds,)).cpu().double()
        z.append(part)
        own.append(_log_prob(q, part))
    whole = (rounds - 1) * n
    last = torch.from_numpy(random_rows(n, draws - whole, seed))
    chosen = torch.cat([torch.arange(whole), whole + last])
    return torch.cat(z, 1).flatten(0, 1)[chosen], torch.cat(own, 1).flatten()[chosen]
