r"""Two groups of latents, the second drawn given the first."""

__all__ = ["Ancestral"]

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution


class Ancestral(Distribution):
    r"""The joint distribution of two groups of latents, :math:`p(z_a, z_b) = p(z_a) \, p(z_b \mid z_a)`.

    An event is both groups in one vector. A model of two layers is then an ordinary VAE: bottom up, the posterior is
    :math:`q(z_1 \mid x) \, q(z_2 \mid z_1)`; top down, the prior is :math:`p(z_2) \, p(z_1 \mid z_2)`, with `reverse`
    so that both lay out :math:`[z_1, z_2]`; and the decoder reads the first entries, :math:`p(x \mid z_1)`.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), section 5 and figure 1.

    Arguments:
        first: :math:`p(z_a)`, over vectors. It need not have a batch axis.
        then: Returns :math:`p(z_b \mid z_a)` for rows of :math:`z_a`, shape `(rows, size of a)`, with `batch_shape
            (rows,)`. It sees one batch axis: k draws for each of n examples are k · n rows, draw after draw, and
            what else it depends on has to be repeated to match.
        reverse: Put the second group before the first in the event.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> layer = lambda z: Independent(Normal(z, torch.ones_like(z)), 1)
        >>> p = Ancestral(layer(torch.zeros(2)), layer, reverse=True)
        >>> z = p.sample((5,))
        >>> z.shape, p.log_prob(z).shape, p.parts(z).shape
        (torch.Size([5, 4]), torch.Size([5]), torch.Size([5, 2]))
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention

    def __init__(self, first: Distribution, then: Callable[[Tensor], Distribution], *, reverse: bool = False) -> None:
        self.first, self.then, self.reverse = first, then, reverse
        super().__init__(first.batch_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the first group's draws carry gradients; the second's are asked for when they are drawn."""
        return self.first.has_rsample

    @property
    def event_shape(self) -> torch.Size:
        """The size of both groups. The second is known only from a call of `then`, which is made when this is asked."""
        with torch.no_grad():
            return self.mean.shape[-1:]

    @property
    def mean(self) -> Tensor:
        r"""The deterministic code: the mean of the first group, and the mean of the second given that mean.

        It is the expectation if the second mean is linear in :math:`z_a`.
        """
        a = self.first.mean
        return self._join(a, self._then(a).mean.view(*a.shape[:-1], -1))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw both groups, shape `(*sample_shape, *batch_shape, size)`, cut off from the graph."""
        with torch.no_grad():
            a = self.first.sample(torch.Size(sample_shape))
            return self._join(a, self._then(a).sample().view(*a.shape[:-1], -1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw both groups, shape `(*sample_shape, *batch_shape, size)`, with gradients."""
        a = self.first.rsample(torch.Size(sample_shape))
        return self._join(a, self._then(a).rsample().view(*a.shape[:-1], -1))

    def rsample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Draw both groups with their log density in nats, without a second call of `then`."""
        a, log_a = _draw(self.first, torch.Size(sample_shape))
        b, log_b = _draw(self._then(a), torch.Size())
        return self._join(a, b.view(*a.shape[:-1], -1)), log_a + log_b.view(a.shape[:-1])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density in nats, shape `(...)`, of z with shape `(..., size)`."""
        return self.parts(value).sum(-1)

    def parts(self, value: Tensor) -> Tensor:
        r"""Return the log density of each group in nats, shape `(..., 2)`, in the order of the event.

        With a posterior and a prior of the same layout, the difference of their parts is the rate by layer.
        """
        size = self.first.event_shape[-1]
        # Points against a batch of distributions, as other densities take them: `then` gets a row for each pair.
        value = value.expand(*torch.broadcast_shapes(value.shape[:-1], self.batch_shape), -1)
        a, b = (value[..., -size:], value[..., :-size]) if self.reverse else (value[..., :size], value[..., size:])
        log_a = self.first.log_prob(a)
        log_b = self._then(a).log_prob(b.reshape(-1, b.shape[-1])).view(log_a.shape)
        return torch.stack([log_b, log_a] if self.reverse else [log_a, log_b], dim=-1)

    def _then(self, a: Tensor) -> Distribution:
        return self.then(a.reshape(-1, a.shape[-1]))

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.reverse else [a, b], dim=-1)


def _draw(q: Distribution, sample_shape: torch.Size) -> tuple[Tensor, Tensor]:
    if (both := getattr(q, "rsample_and_log_prob", None)) is not None:
        z, log_q = both(sample_shape)
        return z, log_q
    z = q.rsample(sample_shape)
    return z, q.log_prob(z)
