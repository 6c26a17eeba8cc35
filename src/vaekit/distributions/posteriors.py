r"""Posterior heads on all of the real space: how an encoder's output is read as a distribution over z."""

__all__ = ["DiagonalGaussian", "FullGaussian", "Laplace", "Logistic", "Point", "Posterior", "StudentT", "positive"]

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.distributions import Laplace as _Laplace
from torch.nn import functional as F

from vaekit.distributions.delta import Delta
from vaekit.distributions.full_gaussian import FullNormal, find_full_formulas
from vaekit.distributions.location_scale import LogisticDistribution, StudentTDistribution
from vaekit.distributions.priors import StandardNormal
from vaekit.errors import RequestError

# Below the rounding of its mean, a scale moves no draw, and the density of a draw is that of the rounding: at a mean
# of 100 single precision has steps of 8e-6.
_MIN_SCALE = 1e-4


def positive(raw: Tensor, floor: float = _MIN_SCALE) -> Tensor:
    r"""Return `floor` + softplus: a positive number for any, which no output of a network makes infinite or 0."""
    return floor + F.softplus(raw)


class Posterior(nn.Module):
    r"""What the posterior heads share: the size of z and how many numbers they want for each of its units.

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.
    """

    numbers = 2

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise RequestError(f"latent_dim is {latent_dim}; a latent space has at least 1 dimension: pass 1 or more")
        self.latent_dim = latent_dim

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """How many numbers the head wants for one example."""
        return (self.numbers * self.latent_dim,)

    def default_prior(self) -> nn.Module:
        """Return a new prior on the same space."""
        return StandardNormal(self.latent_dim)

    def _read(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """The numbers by kind; in single precision at least, since half has no digits for logs and reciprocals."""
        exact = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        return exact.chunk(self.numbers, dim=-1)


class DiagonalGaussian(Posterior):
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

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        mean, log_scale = parameters.chunk(2, dim=-1)
        return Independent(Normal(mean, log_scale.exp(), validate_args=False), 1, validate_args=False)


class FullGaussian(Posterior):
    r"""A Gaussian with a full covariance, :math:`q(z \mid x) = \mathcal N(\mu, L L^\top)`.

    .. math::
        L = \operatorname{diag}(s) (I + N) , \qquad s > 0 , \quad N \text{ strictly lower triangular}

    so that each unit is a scale times its own noise and a weighted sum of the noise of the units before it. The
    weights are relative to the scale: were L's entries the network's own, a small scale beside a large entry would
    make L as good as singular.

    The network gives :math:`\mu`, s before a softplus, and the rows of N.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.
        An introduction to variational autoencoders (Kingma and Welling, 2019), section 2.5.1.

    Arguments:
        latent_dim: Size of z, d.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> head = FullGaussian(3)
        >>> q = head(torch.randn(5, *head.parameter_shape))
        >>> head.parameter_shape, q.covariance_matrix.shape
        ((9,), torch.Size([5, 3, 3]))
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        find_full_formulas()
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means, scales, and the entries below the diagonal."""
        return (2 * self.latent_dim + self.latent_dim * (self.latent_dim - 1) // 2,)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, *parameter_shape)` as a distribution over z, shape `(n, latent_dim)`."""
        d = self.latent_dim
        exact = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        mean, raw, entries = exact.split((d, d, self.parameter_shape[0] - 2 * d), dim=-1)
        unit = torch.eye(d, dtype=exact.dtype, device=exact.device).expand(*exact.shape[:-1], d, d).clone()
        unit[..., self.rows, self.columns] = entries
        return FullNormal(mean, scale_tril=positive(raw).unsqueeze(-1) * unit, validate_args=False)


class Laplace(Posterior):
    r"""Independent Laplace distributions, :math:`q(z_j \mid x) = \exp(-|z_j - \mu_j| / s_j) / 2 s_j`.

    The network gives :math:`\mu` and s before a softplus. The rate against a standard normal has a closed form.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> q = Laplace(2)(torch.zeros(5, 4))
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([2]))
    """

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        mean, raw = self._read(parameters)
        return Independent(_Laplace(mean, positive(raw), validate_args=False), 1, validate_args=False)


class StudentT(Posterior):
    r"""Independent Student's t distributions of given degrees of freedom: a Gaussian with heavier tails.

    .. math::
        q(z_j \mid x) \propto \left( 1 + \frac{(z_j - \mu_j)^2}{\nu s_j^2} \right)^{-(\nu + 1) / 2}

    The network gives :math:`\mu` and s before a softplus. The rate against a standard normal has a closed form.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Arguments:
        latent_dim: Size of z.
        df: Degrees of freedom, :math:`\nu`.

    Raises:
        RequestError: If `latent_dim` is less than 1, or `df` not above 2, where there is a variance.

    Example:
        >>> StudentT(1, df=4.0)(torch.tensor([[0.0, 10.0]])).stddev  # 10 times the root of 4 / 2
        tensor([[14.1423]])
    """

    def __init__(self, latent_dim: int, df: float = 5.0) -> None:
        super().__init__(latent_dim)
        if not df > 2:
            raise RequestError(f"df is {df}; with 2 degrees of freedom or fewer there is no variance: pass 5, say")
        self.df = float(df)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        mean, raw = self._read(parameters)
        q = StudentTDistribution(self.df, mean, positive(raw), validate_args=False)
        return Independent(q, 1, validate_args=False)


class Logistic(Posterior):
    r"""Independent logistic distributions, by inverting their distribution function.

    .. math::
        z_j = \mu_j + s_j \log \frac{u_j}{1 - u_j} , \qquad u_j \sim U(0, 1)

    The network gives :math:`\mu` and s before a softplus. The rate against a standard normal has a closed form.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> q = Logistic(2)(torch.zeros(5, 4))
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([2]))
    """

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        mean, raw = self._read(parameters)
        return Independent(LogisticDistribution(mean, positive(raw), validate_args=False), 1, validate_args=False)


class Point(Posterior):
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

    numbers = 1

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, latent_dim)` as points."""
        return Delta(parameters)
