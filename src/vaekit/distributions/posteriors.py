r"""Posterior heads: how an encoder's output is read as a distribution over z."""

__all__ = ["DiagonalGaussian", "Point"]

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaekit.distributions.delta import Delta
from vaekit.errors import RequestError


def _latent_dim(latent_dim: int) -> int:
    if latent_dim < 1:
        raise RequestError(f"latent_dim is {latent_dim}; a latent space has at least 1 dimension: pass 1 or more")
    return latent_dim


class DiagonalGaussian(nn.Module):
    r"""A Gaussian with diagonal covariance, :math:`q(z \mid x) = \mathcal N(\mu, \operatorname{diag} \sigma^2)`.

    The network gives :math:`(\mu, \log \sigma)`; a draw is :math:`z = \mu + \sigma \varepsilon` with
    :math:`\varepsilon \sim \mathcal N(0, I)`, so gradients pass through it.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> import torch
        >>> q = DiagonalGaussian(2)(torch.zeros(5, 4))
        >>> q.mean.shape, q.stddev[0]
        (torch.Size([5, 2]), tensor([1., 1.]))
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = _latent_dim(latent_dim)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Two numbers a latent unit."""
        return (2 * self.latent_dim,)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        mean, log_scale = parameters.chunk(2, dim=-1)
        return Independent(Normal(mean, log_scale.exp(), validate_args=False), 1, validate_args=False)


class Point(nn.Module):
    r"""A point posterior, :math:`q(z \mid x) = \delta(z - \mu)`: the code of a plain autoencoder, without a rate.

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> import torch
        >>> Point(2)(torch.ones(5, 2)).rsample().shape
        torch.Size([5, 2])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = _latent_dim(latent_dim)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """One number a latent unit."""
        return (self.latent_dim,)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, latent_dim)` as points."""
        return Delta(parameters)
