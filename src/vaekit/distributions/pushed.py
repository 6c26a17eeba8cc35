r"""Distributions pushed through invertible steps, with both densities by the change of variables."""

__all__ = ["FlowDistribution", "GatedTransform", "Step"]

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform, constraints
from torch.nn.functional import logsigmoid


class Step(Protocol):
    """A bijection of vectors: one that is fast from x to y, and may be slow from y to x."""

    @property
    def inv(self) -> Callable[[Tensor], Tensor]:
        """The inverse."""
        ...

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and the log-determinant of dy/dx."""
        ...

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log-determinant of dy/dx."""
        ...


class FlowDistribution(Distribution):
    r"""The distribution of :math:`z = f(\varepsilon)` for :math:`\varepsilon` from a base and an invertible f.

    .. math::
        \log q(z) = \log q_0(\varepsilon) - \log \left| \det \frac{\partial f}{\partial \varepsilon} \right| ,
        \qquad \varepsilon = f^{-1}(z)

    Arguments:
        base: The distribution of the noise, with batch shape `(n,)` or `()` and event shape `(latent_dim,)`.
        steps: Bijections, in the order of their fast direction.
        fast: Which direction that is: "sampling", from noise to z, or "density", from z to noise.

    Example:
        >>> from torch.distributions import AffineTransform, Independent, Normal
        >>> base = Independent(Normal(torch.zeros(5, 2), torch.ones(5, 2)), 1)
        >>> q = FlowDistribution(base, [AffineTransform(1.0, 2.0, event_dim=1)])
        >>> z, log_q = q.rsample_and_log_prob((3,))
        >>> z.shape, torch.allclose(log_q, q.log_prob(z), atol=1e-5)
        (torch.Size([3, 5, 2]), True)
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, steps: Sequence[Any], fast: str = "sampling") -> None:
        self.base = base
        self.steps: Sequence[Step] = steps
        self.fast = fast
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        r"""The deterministic code: the base's mean, pushed through the flow.

        The expectation of z has no closed form. This point is the image of the base's centre; for a flow near the
        identity it is near the expectation.
        """
        return self._to_latent(self.base.mean)[0]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw z, shape `(*sample_shape, *batch, latent_dim)`."""
        return self._to_latent(self.base.rsample(torch.Size(sample_shape)))[0]

    def rsample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        r"""Draw z and give its log density, in nats, shape `(*sample_shape, *batch)`, in one pass."""
        noise = self.base.rsample(torch.Size(sample_shape))
        z, ladj = self._to_latent(noise)
        return z, self.base.log_prob(noise) - ladj

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of any z, in nats; the slow direction, if sampling is the fast one."""
        noise, ladj = self._to_noise(value)
        return self.base.log_prob(noise) - ladj

    def _to_latent(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and the log-determinant of dz/dnoise."""
        if self.fast == "sampling":
            return self._forward(noise)
        z, ladj = self._backward(noise)
        return z, -ladj

    def _to_noise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise and the log-determinant of dz/dnoise."""
        if self.fast == "sampling":
            return self._backward(z)
        noise, ladj = self._forward(z)
        return noise, -ladj

    # Steps are composed here and not by zuko's ComposedTransform, which torch.compile cannot trace.
    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(())
        for step in self.steps:
            x, ladj = step.call_and_ladj(x)
            total = total + ladj
        return x, total

    def _backward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        total = y.new_zeros(())
        for step in reversed(self.steps):
            x = step.inv(y)
            total = total + step.log_abs_det_jacobian(x, y)
            y = x
        return y, total


class GatedTransform(Transform):
    r"""The numerically stable update of inverse autoregressive flow, :math:`y = (g x + (1 - g) m) / g_0`.

    The gate is :math:`g = \sigma(s + 2)`. The paper's update is the numerator; dividing by :math:`g_0 = \sigma(2)`
    makes m = s = 0 the identity, where otherwise each step would shrink z by 0.88. A step stretches by at most 1.14.

    References:
        Improving variational inference with inverse autoregressive flow (Kingma et al., 2016), section 4.

    Arguments:
        m: What the gate lets in, of any shape.
        s: Logit of the gate, above its start.

    Example:
        >>> GatedTransform(torch.tensor(5.0), torch.tensor(-50.0))(torch.tensor(3.0)) * torch.tensor(2.0).sigmoid()
        tensor(5.)
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1
    _START = 2.0

    def __init__(self, m: Tensor, s: Tensor) -> None:
        super().__init__()
        start = logsigmoid(s.new_tensor(self._START))
        self.log_slope = logsigmoid(s + self._START) - start
        self.shift = m * torch.exp(logsigmoid(-s - self._START) - start)

    def _call(self, x: Tensor) -> Tensor:
        return x * self.log_slope.exp() + self.shift

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.shift) * (-self.log_slope).exp()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log slope, of the shape of x."""
        return self.log_slope.expand(x.shape)
