r"""Normalising flows: posteriors and priors that are a Gaussian pushed through invertible steps."""

__all__ = ["KINDS", "FlowPosterior", "FlowPrior"]

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution, Independent, Normal, Transform

from vaekit.distributions.divergences import find_formula
from vaekit.distributions.planar import Planar, keeps_validation
from vaekit.distributions.posteriors import Posterior
from vaekit.distributions.pushed import FlowDistribution, GatedTransform
from vaekit.errors import RequestError, nearest

with keeps_validation():
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform
    from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform


def _planar(latent_dim: int, context: int, number: int, hidden: Sequence[int]) -> nn.Module:
    return Planar(latent_dim, context)


def _autoregressive(
    latent_dim: int,
    context: int,
    number: int,
    hidden: Sequence[int],
    *,
    univariate: Callable[..., Transform],
    shapes: Sequence[tuple[int, ...]] = ((), ()),
    passes: int | None = None,
) -> nn.Module:
    # zuko gives each hidden unit to one latent unit, in order: where there are fewer, the last ones have none, and
    # the densities of those after them ignore them without a word.
    if min(hidden, default=0) < latent_dim:
        raise RequestError(
            f"hidden layers of the flow have {tuple(hidden)} units for {latent_dim} latent ones; expected one layer or "
            f"more, each of at least {latent_dim}, so that every latent unit is seen: pass wider ones"
        )
    order = torch.arange(latent_dim)
    step: nn.Module = MaskedAutoregressiveTransform(
        latent_dim,
        context,
        passes=passes,
        order=order.flip(0) if number % 2 else order,
        univariate=univariate,
        shapes=shapes,
        hidden_features=tuple(hidden),
        activation=nn.ELU,
    )
    with torch.no_grad():  # all univariate maps here are the identity at 0; exactly 0 would let no gradient through
        if hasattr(step, "hyper"):
            last = cast(nn.Linear, cast(nn.Sequential, step.hyper)[-1])
            last.weight.mul_(0.01)
            last.bias.mul_(0.01)
        else:  # one unit and no features: there is nothing to depend on
            for parameter in step.parameters():
                parameter.mul_(0.01)
    return step


_BINS = 8

KINDS: dict[str, Callable[..., nn.Module]] = {
    "planar": _planar,
    "iaf": partial(_autoregressive, univariate=GatedTransform),
    "maf": partial(_autoregressive, univariate=MonotonicAffineTransform),
    "spline": partial(_autoregressive, univariate=MonotonicRQSTransform, shapes=((_BINS,), (_BINS,), (_BINS - 1,))),
    "coupling": partial(_autoregressive, univariate=MonotonicAffineTransform, passes=2),
}
r"""The steps of a flow, by name: each makes a module from `(latent_dim, context, number, hidden)`."""


def _steps(kind: str, latent_dim: int, context: int, transforms: int, hidden: Sequence[int] | None) -> nn.ModuleList:
    if latent_dim < 1:
        raise RequestError(f"latent_dim is {latent_dim}; a latent space has at least 1 dimension: pass 1 or more")
    if kind not in KINDS:
        raise RequestError(f"unknown flow {kind!r}; expected one of {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    if transforms < 1:
        raise RequestError(f"transforms is {transforms}; expected at least 1 step of the flow: pass 1 or more")
    if context < 0:
        raise RequestError(f"the flow's context has size {context}; expected 0, for none, or more: pass 64, say")
    if hidden is None:
        hidden = 2 * (max(64, 2 * latent_dim),)
    return nn.ModuleList(KINDS[kind](latent_dim, context, number, hidden) for number in range(transforms))


class FlowPosterior(Posterior):
    r"""A diagonal Gaussian pushed through a flow that depends on the data, :math:`z = f_T \circ \dots \circ f_1(z_0)`.

    .. math::
        z_0 \sim \mathcal N(\mu, \operatorname{diag} \sigma^2), \qquad
        \log q(z \mid x) = \log q(z_0 \mid x) - \sum_{t=1}^T \log \left| \det \frac{\partial f_t}{\partial z_{t-1}}
        \right|

    The network gives :math:`(\mu, \log \sigma, h)`; the features h are an input of every step. A draw and its density
    cost one pass, by `rsample_and_log_prob`. The density of any other z wants the inverse, which takes `latent_dim`
    passes a step, two for coupling, and a root for planar. There is no closed form of the rate, nor of the mean:
    `mean`, the deterministic code, is :math:`\mu` pushed through the flow. The flow starts near the identity.

    The kinds:

    - `planar`: :math:`z + \hat u \tanh(w^\top z + b)` with u, w and b a linear function of h (amortised), always
      invertible; `hidden` is not used;
    - `iaf`: the gated update of inverse autoregressive flow, from masked networks of z and h; the order of the units
      is reversed between steps;
    - `maf`: the same with a shift and a scale, as masked autoregressive flow has it, but run from noise to z;
    - `spline`: the same with monotonic rational-quadratic splines of 8 bins. They act on
      :math:`(z_0 - \mu) / \sigma`, within 5 standard deviations, and are the identity beyond (linear tails):
      of a narrow posterior, z itself would be in one bin;
    - `coupling`: shift and scale of one half of z, given the other.

    References:
        Variational inference with normalizing flows (Rezende and Mohamed, 2015).
        Improving variational inference with inverse autoregressive flow (Kingma et al., 2016).
        Masked autoregressive flow for density estimation (Papamakarios et al., 2017).
        Neural spline flows (Durkan et al., 2019).
        Density estimation using Real NVP (Dinh et al., 2017).

    Arguments:
        latent_dim: Size of z.
        kind: One of `KINDS`.
        transforms: Number of steps, T.
        hidden: Widths of the hidden layers of each step's network, each at least `latent_dim`; by default two layers
            of `max(64, 2 * latent_dim)`.
        context_features: Size of h; 0 for a flow that is the same for all data.

    Raises:
        RequestError: If the kind is unknown, or a size is too small.

    Example:
        >>> posterior = FlowPosterior(2, "iaf", transforms=3)
        >>> q = posterior(torch.zeros(5, *posterior.parameter_shape))
        >>> z, log_q = q.rsample_and_log_prob((4,))
        >>> q.mean.shape, z.shape, log_q.shape
        (torch.Size([5, 2]), torch.Size([4, 5, 2]), torch.Size([4, 5]))
    """

    def __init__(
        self,
        latent_dim: int,
        kind: str = "iaf",
        transforms: int = 4,
        hidden: Sequence[int] | None = None,
        *,
        context_features: int = 64,
    ) -> None:
        super().__init__(latent_dim)
        self.steps = _steps(kind, latent_dim, context_features, transforms, hidden)
        self.kind, self.context_features = kind, context_features

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Two numbers a latent unit, and the features."""
        return (2 * self.latent_dim + self.context_features,)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters, shape `(n, *parameter_shape)`, as a distribution over z, shape `(n, latent_dim)`."""
        # In single precision at least: half has no digits for densities.
        exact = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        mean, log_scale, h = exact.split((self.latent_dim, self.latent_dim, self.context_features), dim=-1)
        scale = log_scale.exp()
        steps = [step(h if self.context_features else None) for step in self.steps]
        if self.kind == "spline":  # the same as the steps between whitening by the base and its undoing
            steps.append(AffineTransform(mean, scale, event_dim=1))
            mean, scale = torch.zeros_like(mean), torch.ones_like(scale)
        base = Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)
        return FlowDistribution(base, steps)


class FlowPrior(nn.Module):
    r"""A learned prior, :math:`\log p(z \mid c) = \log \mathcal N(f(z); 0, I) + \log |\det \partial f / \partial z|`.

    f runs from z to noise, so the density, which training wants, takes one pass; drawing takes `latent_dim` passes a
    step, two for coupling, and a root for planar. The kinds are those of `FlowPosterior`, the direction is the other:
    `maf` is masked autoregressive flow as published. Splines act on each unit of z in [-5, 5]. It starts near
    :math:`\mathcal N(0, I)`.

    References:
        Masked autoregressive flow for density estimation (Papamakarios et al., 2017).
        Variational lossy autoencoder (Chen et al., 2017), for a flow as prior.

    Arguments:
        latent_dim: Size of z.
        kind: One of `KINDS`.
        transforms: Number of steps.
        hidden: Widths of the hidden layers of each step's network, each at least `latent_dim`; by default two layers
            of `max(64, 2 * latent_dim)`.
        context_dim: Size of a context vector that the prior depends on; 0 for none.

    Raises:
        RequestError: If the kind is unknown, a size is too small, or `forward` is given no context that fits.

    Example:
        >>> prior = FlowPrior(2, "maf", transforms=3)
        >>> p = prior()
        >>> p.batch_shape, p.sample((4,)).shape, p.log_prob(torch.zeros(3, 5, 2)).shape
        (torch.Size([]), torch.Size([4, 2]), torch.Size([3, 5]))
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        kind: str = "maf",
        transforms: int = 4,
        hidden: Sequence[int] | None = None,
        *,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        self.steps = _steps(kind, latent_dim, context_dim, transforms, hidden)
        self.context_dim = context_dim
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context, or p(z|c) with batch shape `(n,)` if there is a `context_dim`."""
        loc, scale = self.loc, self.scale
        if not self.context_dim:
            context = None
        else:
            if context is None or context.flatten(1).shape[1] != self.context_dim:
                given = "none" if context is None else f"one of shape {tuple(context.shape)}"
                raise RequestError(
                    f"the prior was given a context: {given}; expected (batch, {self.context_dim}): pass the context "
                    "the model was built for"
                )
            context = context.flatten(1)
            loc, scale = loc.expand(len(context), -1), scale.expand(len(context), -1)
        base = Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
        return FlowDistribution(base, [step(context) for step in self.steps], fast="density")


# These pairs have none, which has to be found too.
_normal: Distribution = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
_flow = FlowDistribution(_normal, [])
for _q, _p in ((_flow, _normal), (_normal, _flow), (_flow, _flow)):
    find_formula(_q, _p)
