r"""The geometric path from a density that can be drawn from to the posterior that is wanted."""

__all__ = ["GeometricPath", "Start", "check_parts", "temperature_ladder"]

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vaekit.errors import RequestError
from vaekit.evaluation.hamiltonian import Point
from vaekit.evaluation.likelihood import check_density
from vaekit.models import VAE

Start = Literal["posterior", "prior"]


def temperature_ladder(temperatures: int, slope: float = 4.0) -> list[float]:
    r"""Return :math:`0 = \beta_0 < \dots < \beta_T = 1`, closer to each other near both ends.

    .. math::
        \beta_t \propto \sigma\left(s \left(\tfrac{2 t}{T} - 1\right)\right) - \sigma(-s)

    At the ends a small step of :math:`\beta` changes the density most: near 0 because draws of the start may be
    hopeless as explanations of x, near 1 because the chains have then to settle.

    References:
        On the quantitative analysis of decoder-based generative models (Wu et al., 2017), section 4.1.

    Arguments:
        temperatures: Number of steps, T.
        slope: s, how much closer at the ends.

    Example:
        >>> [round(beta, 3) for beta in temperature_ladder(4)]
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    ladder = torch.linspace(-slope, slope, temperatures + 1, dtype=torch.float64).sigmoid()
    betas: list[float] = ((ladder - ladder[0]) / (ladder[-1] - ladder[0])).tolist()
    return betas


def check_parts(model: nn.Module) -> None:
    r"""Refuse what has no decoder and prior that can be asked at any z.

    Raises:
        RequestError: If `model` is no module, or `decode` or `prior` is missing.
    """
    if not isinstance(model, nn.Module):
        raise RequestError(
            f"model is a {type(model).__name__}; expected a vaekit.models.VAE: vaekit.load(run) gives one"
        )
    for part in ("decode", "latent"):
        if not callable(getattr(model, part, None)):
            raise RequestError(
                f"{type(model).__name__} has no `{part}`; annealing needs p(z) and p(x|z) at any z: "
                "use the importance-weighted bound (nll_samples) for this model"
            )


def _check_continuous(prior: Distribution) -> None:
    try:
        support: Any = prior.support
    except (NotImplementedError, AttributeError):  # a distribution of the user's own that does not say
        return
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if not isinstance(support, type(constraints.real)):
        raise RequestError(
            f"the prior, {type(prior).__name__}, lives on {support}; annealing follows gradients through all of the "
            "real space: use the importance-weighted bound (nll_samples) for this model"
        )


class GeometricPath:
    r"""The densities :math:`f_\beta(z) = s(z)^{1 - \beta} \, p(x, z)^\beta` between a start s and the posterior.

    From the prior, :math:`s = p(z)`, this is :math:`p(z) p(x \mid z)^\beta`. Every start is normalised, so the
    normaliser at :math:`\beta = 1` is :math:`p(x)`, and a path from it to 0 crosses nothing but densities.

    The encoder and the prior are called once, without gradients; a call of the path calls the decoder once.

    Arguments:
        model: The model, in evaluation mode.
        x: Data, shape `(n, *data_shape)`.
        context: Context, shape `(n, ...)`.
        start: "posterior" to start from :math:`q(z \mid x)`, "prior" to start from :math:`p(z)`.
        chains: How many z there are for each example.

    Raises:
        RequestError: If the model has no decoder or no prior of its own, a distribution has no density, or z is not
            real.
    """

    def __init__(self, model: VAE, x: Tensor, context: Tensor | None, start: Start, chains: int) -> None:
        check_parts(model)
        self.chains, self.n = chains, len(x)
        self._decode = model.decode
        with torch.no_grad():
            self.prior: Distribution = model.latent(context)
            self.start = self.prior if start == "prior" else model.encode(x, context)
        check_density("the prior", self.prior)
        _check_continuous(self.prior)
        if not getattr(self.start, "has_density", True):
            raise RequestError(
                f"the posterior, {type(self.start).__name__}, has no density, so no path starts there: "
                'pass start="prior", which needs the decoder and the prior alone'
            )
        self._x = x.expand(chains, *x.shape).flatten(0, 1)
        self._context = None if context is None else context.expand(chains, *context.shape).flatten(0, 1)

    def draw(self) -> Tensor:
        r"""Draw z from the start, shape `(chains, n, *event)`."""
        return self.start.sample((self.chains,) if self.start.batch_shape else (self.chains, self.n)).detach()

    def scale(self) -> Tensor:
        r"""Return the width of the start in every direction, in which step sizes are counted; 1 where it has none."""
        try:
            width = self.start.stddev.detach()
        except (NotImplementedError, AttributeError):
            return torch.ones((), device=self._x.device)
        return torch.where(width.isfinite() & (width > 0), width, 1.0)

    def __call__(self, z: Tensor) -> Point:
        r"""Return the two terms of the path and their gradients at z, shape `(chains, n, *event)`.

        Where z is no longer finite, because a trajectory ran off, the density is zero.
        """
        event = tuple(range(2, z.dim()))
        finite = z.isfinite().all(event, keepdim=True) if event else z.isfinite()
        with torch.enable_grad():
            inside = torch.where(finite, z.detach(), 0.0).requires_grad_()
            start = self.start.log_prob(inside)
            p = self._decode(inside.flatten(0, 1), self._context)
            check_density("the likelihood", p)
            end = p.log_prob(self._x).view(start.shape)
            if self.start is not self.prior:
                end = end + self.prior.log_prob(inside)
            # Two passes over separate graphs: the start's is small, and the decoder is in the other alone.
            start_gradient = _gradient(start, inside, "the start")
            end_gradient = _gradient(end, inside, "the decoder")
        start, end = start.detach(), end.detach()
        if self.start is not self.prior:
            end, end_gradient = end - start, end_gradient - start_gradient
        start = torch.where(finite.view(start.shape), start, -torch.inf)
        return Point(z, start, end, start_gradient, end_gradient)


def _gradient(value: Tensor, z: Tensor, whose: str) -> Tensor:
    if not value.requires_grad:
        raise RequestError(
            f"the log density of {whose} does not depend on z by operations with a gradient; annealing follows it: "
            "use the importance-weighted bound (nll_samples) for this model"
        )
    (gradient,) = torch.autograd.grad(value.sum(), z, allow_unused=True, materialize_grads=True)
    return gradient
