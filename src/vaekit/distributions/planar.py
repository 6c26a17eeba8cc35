r"""Planar steps of a normalising flow: one ridge of the space pushed or pulled at a time."""

__all__ = ["Planar", "PlanarTransform", "keeps_validation"]

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform, constraints
from torch.nn.functional import softplus


@contextlib.contextmanager
def keeps_validation() -> Iterator[None]:
    r"""Import zuko, which turns the validation of all distributions' arguments off, and leave that as it was."""
    validate = Distribution._validate_args
    yield
    Distribution.set_default_validate_args(validate)


with keeps_validation():
    from zuko.utils import bisection

_LEAST_SLOPE = 1e-3  # in the direction of w; 0 is the limit of invertibility, which rounding would step over
_SHIFT = math.log(math.expm1(1 - _LEAST_SLOPE))  # with it, wᵀu = 0 stays 0, and u = 0 is the identity


class PlanarTransform(Transform):
    r"""The planar map :math:`f(z) = z + \hat u \tanh(w^\top z + b)`, with its inverse.

    It is invertible where :math:`w^\top \hat u > -1`, so the part of u along w is replaced:

    .. math::
        \hat u = u + (m(w^\top u) - w^\top u) \frac{w}{\|w\|^2}, \qquad
        m(s) = \log(1 + e^{s + c}) - 1 + \epsilon , \quad \epsilon = 0.001 ,

    with c such that :math:`m(0) = 0`. The paper has c = ε = 0; then u = 0 is not the identity, and a very negative
    :math:`w^\top u` gives, in floating point, a determinant of zero or less. The log-determinant is
    :math:`\log (1 + m (1 - \tanh^2(w^\top z + b)))`, and the inverse is the root of an increasing function of one
    number, :math:`\alpha + m \tanh(\alpha + b) = w^\top y` with :math:`\alpha = w^\top z`, found by bisection and
    differentiated as an implicit function (once).

    References:
        Variational inference with normalizing flows (Rezende and Mohamed, 2015), section 4.1 and appendix A.1.

    Arguments:
        w: Normal of the ridge, shape `(*batch, d)`.
        u: Direction of the push before the constraint, shape `(*batch, d)`.
        b: Offset of the ridge, shape `(*batch,)`.

    Example:
        >>> step = PlanarTransform(torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0]), torch.tensor(0.5))
        >>> z = torch.tensor([0.3, -1.0])
        >>> torch.allclose(step.inv(step(z)), z, atol=1e-5), bool((step.w @ step.u_hat) > -1)
        (True, True)
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, w: Tensor, u: Tensor, b: Tensor) -> None:
        super().__init__()
        self.w, self.b = w, b
        along = (w * u).sum(-1)
        self.m = softplus(along + _SHIFT) - 1 + _LEAST_SLOPE  # this is wᵀû, free of the rounding of a dot product
        squared = w.square().sum(-1).clamp_min(1e-12)
        self.u_hat = u + ((self.m - along) / squared).unsqueeze(-1) * w

    def call_and_ladj(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(z), shape `(..., d)`, and the log-determinant of its Jacobian, shape `(...,)`."""
        ridge = torch.tanh((self.w * z).sum(-1) + self.b)
        return z + self.u_hat * ridge.unsqueeze(-1), torch.log1p(self.m * (1 - ridge.square()))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log-determinant of the Jacobian at x, shape `(...,)`."""
        return self.call_and_ladj(x)[1]

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def _inverse(self, y: Tensor) -> Tensor:
        target = (self.w * y).sum(-1)
        m, b = self.m, self.b
        reach = m.detach().abs() + 1
        alpha = bisection(
            lambda alpha: alpha + m * torch.tanh(alpha + b),
            target,
            target.detach() - reach,
            target.detach() + reach,
            n=64,
            phi=[p for p in (m, b) if p.requires_grad],
        )
        return y - self.u_hat * torch.tanh(alpha + b).unsqueeze(-1)


class Planar(nn.Module):
    r"""A planar step whose w, u and b are a linear function of features, or are learned where there are none.

    It starts near the identity: u is drawn a hundred times smaller than a linear layer's output is by default.

    Arguments:
        latent_dim: Size of z, d.
        context: Size of the features; 0 for none.

    Example:
        >>> step = Planar(2, 8)(torch.zeros(5, 8))
        >>> step(torch.zeros(3, 5, 2)).shape
        torch.Size([3, 5, 2])
    """

    def __init__(self, latent_dim: int, context: int = 0) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        # Without features, a layer of no inputs would still ask for one: its bias is all there is.
        self.weight = nn.Parameter(torch.empty(2 * latent_dim + 1, context)) if context else None
        self.bias = nn.Parameter(torch.zeros(2 * latent_dim + 1))
        with torch.no_grad():
            # A normal of length about 1 puts the bend of tanh where the base has its mass.
            self.bias[: 2 * latent_dim].normal_(std=1 / math.sqrt(latent_dim))
            self.bias[latent_dim : 2 * latent_dim] *= 0.01
            if self.weight is not None:
                nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
                self.weight[latent_dim : 2 * latent_dim] *= 0.01

    def forward(self, context: Tensor | None = None) -> PlanarTransform:
        """Return the step for features of shape `(n, context)`."""
        parameters: Tensor = self.bias
        if self.weight is not None and context is not None:
            parameters = nn.functional.linear(context, self.weight, self.bias)
        # In single precision at least, whatever the layer was computed in: the determinant is a difference near 0.
        parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        w, u, b = parameters.split((self.latent_dim, self.latent_dim, 1), dim=-1)
        return PlanarTransform(w, u, b.squeeze(-1))
