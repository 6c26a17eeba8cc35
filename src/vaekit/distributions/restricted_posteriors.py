r"""Posterior heads on a part of the real space: positive numbers, the unit cube, the simplex."""

__all__ = ["Dirichlet", "Gamma", "GumbelSoftmax", "Kumaraswamy", "LogNormal"]

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Uniform
from torch.distributions import LogNormal as _LogNormal

from vaekit.distributions.edges import (
    DirichletDistribution,
    GammaDistribution,
    KumaraswamyDistribution,
    RelaxedCategories,
    find_uniform_formula,
)
from vaekit.distributions.posteriors import Posterior, positive
from vaekit.distributions.priors import Factorised, RelaxedUniform, SymmetricDirichlet
from vaekit.errors import RequestError

# Logs of positive numbers are kept where neither the draws nor their mean overflow: exp(20 + 6 * 3) = 3e16.
_MAX_LOG = 20.0
_MAX_LOG_SCALE = 3.0
# The smaller the concentration, the more of the mass lies nearer to the edge than the smallest float: at 0.1 it is
# 10 to the -38 times 0.1, or 2 in 10000; at 0.01, almost half.
_MIN_CONCENTRATION = 0.1
# The same at 1 for a Kumaraswamy variable, where the float next to it is only 6e-8 away.
_MIN_SHAPE = 0.5


class LogNormal(Posterior):
    r"""Independent log-normal distributions on positive numbers, :math:`z = \exp(\mu + \sigma \varepsilon)`.

    The network gives :math:`\mu`, held between -20 and 20 by a hyperbolic tangent, and :math:`\sigma`, held below 3
    by a sigmoid; outputs of 0 make them 0 and 1. The rate against a log-normal prior is that of the
    normals.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4.

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> LogNormal(1)(torch.zeros(1, 2)).mean  # near the root of e
        tensor([[1.6489]])
    """

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        loc, raw = self._read(parameters)
        loc = _MAX_LOG * torch.tanh(loc / _MAX_LOG)
        scale = 1e-4 + _MAX_LOG_SCALE * torch.sigmoid(raw - math.log(_MAX_LOG_SCALE - 1))
        return Independent(_LogNormal(loc, scale, validate_args=False), 1, validate_args=False)

    def default_prior(self) -> nn.Module:
        """Return the standard log-normal prior."""
        return Factorised(self.latent_dim, _LogNormal, loc=0.0, scale=1.0)


class Gamma(Posterior):
    r"""Independent gamma distributions on positive numbers, with implicit gradients.

    .. math::
        q(z_j \mid x) = \frac{\beta_j^{\alpha_j}}{\Gamma(\alpha_j)} z_j^{\alpha_j - 1} e^{-\beta_j z_j}

    The network gives the concentration :math:`\alpha` and the rate :math:`\beta` before a softplus. The rate against
    a gamma prior has a closed form.

    References:
        Implicit reparameterization gradients (Figurnov, Mohamed and Mnih, 2018).

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> q = Gamma(2)(torch.zeros(5, 4))
        >>> bool((q.sample() > 0).all())
        True
    """

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        concentration, rate = self._read(parameters)
        q = GammaDistribution(positive(concentration, _MIN_CONCENTRATION), positive(rate), validate_args=False)
        return Independent(q, 1, validate_args=False)

    def default_prior(self) -> nn.Module:
        """Return the gamma prior of concentration and rate 1, which is the exponential distribution."""
        return Factorised(self.latent_dim, GammaDistribution, concentration=1.0, rate=1.0)


class Kumaraswamy(Posterior):
    r"""Independent Kumaraswamy distributions on (0, 1): like beta distributions, with an inverse in closed form.

    .. math::
        q(z_j \mid x) = a_j b_j z_j^{a_j - 1} (1 - z_j^{a_j})^{b_j - 1}

    The network gives a and b before a softplus. The rate against the uniform prior has a closed form.

    References:
        Stick-breaking variational autoencoders (Nalisnick and Smyth, 2017).

    Arguments:
        latent_dim: Size of z.

    Raises:
        RequestError: If `latent_dim` is less than 1.

    Example:
        >>> z = Kumaraswamy(2)(torch.zeros(5, 4)).sample((100,))
        >>> bool(((z > 0) & (z < 1)).all())
        True
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        find_uniform_formula()

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, 2 * latent_dim)` as a distribution over z, shape `(n, latent_dim)`."""
        a, b = (positive(raw, _MIN_SHAPE) for raw in self._read(parameters))
        return Independent(KumaraswamyDistribution(a, b, validate_args=False), 1, validate_args=False)

    def default_prior(self) -> nn.Module:
        """Return the uniform prior on the unit cube."""
        return Factorised(self.latent_dim, Uniform, low=0.0, high=1.0)


class Dirichlet(Posterior):
    r"""The Dirichlet distribution on the simplex, with implicit gradients.

    .. math::
        q(z \mid x) = \frac{\Gamma(\sum_k \alpha_k)}{\prod_k \Gamma(\alpha_k)} \prod_k z_k^{\alpha_k - 1}

    The network gives :math:`\alpha` before a softplus. The rate against a Dirichlet prior has a closed form.

    References:
        Implicit reparameterization gradients (Figurnov, Mohamed and Mnih, 2018).

    Arguments:
        latent_dim: Size of z, which sums to 1.

    Raises:
        RequestError: If `latent_dim` is less than 2.

    Example:
        >>> Dirichlet(4)(torch.zeros(1, 4)).mean
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    numbers = 1

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        if latent_dim < 2:
            raise RequestError(f"latent_dim is {latent_dim}; a simplex of one entry is a point: pass 2 or more")

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters of shape `(n, latent_dim)` as a distribution over z of that shape."""
        (raw,) = self._read(parameters)
        return DirichletDistribution(positive(raw, _MIN_CONCENTRATION), validate_args=False)

    def default_prior(self) -> nn.Module:
        """Return the uniform prior on the simplex."""
        return SymmetricDirichlet(self.latent_dim)


class GumbelSoftmax(Posterior):
    r"""Relaxed one-hot choices: the Gumbel-softmax or Concrete distribution, which nears a categorical one.

    .. math::
        z = \operatorname{softmax} \frac{\ell + g}{\tau} , \qquad g_k = -\log(-\log u_k) , \quad u_k \sim U(0, 1)

    The network gives the logits of each group of categories. There is no closed form of the rate; the sampled one is
    that of the relaxation, not of the categorical distribution, so that the bound stays one. The deterministic code is
    the categories' probabilities.

    References:
        The Concrete distribution: a continuous relaxation of discrete random variables (Maddison et al., 2017).
        Categorical reparameterization with Gumbel-softmax (Jang et al., 2017).

    Arguments:
        latent_dim: Size of z, the number of groups times that of categories.
        categories: How many categories a group has; by default there is one group.
        temperature: :math:`\tau`; the smaller, the nearer to one-hot, and the noisier the gradients.

    Raises:
        RequestError: If the categories are fewer than 2 or do not divide `latent_dim`, or `temperature` is not
            positive.

    Example:
        >>> q = GumbelSoftmax(8, categories=4)(torch.zeros(5, 8))
        >>> q.mean.unflatten(1, (2, 4))[0, 0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    numbers = 1
    temperature: Tensor

    def __init__(self, latent_dim: int, categories: int | None = None, temperature: float = 2 / 3) -> None:
        super().__init__(latent_dim)
        self.categories = latent_dim if categories is None else categories
        if self.categories < 2 or latent_dim % self.categories:
            raise RequestError(
                f"categories is {self.categories} and latent_dim {latent_dim}; expected at least 2 categories, and a "
                "multiple of them as latent_dim: pass latent_dim=groups * categories"
            )
        if not temperature > 0:
            raise RequestError(f"temperature is {temperature}; expected a positive number: pass 0.67, say")
        self.register_buffer("temperature", torch.tensor(float(temperature)), persistent=False)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read logits of shape `(n, latent_dim)` as a distribution over z of that shape."""
        (logits,) = self._read(parameters)
        return RelaxedCategories(logits.unflatten(-1, (-1, self.categories)), self.temperature, validate_args=False)

    def default_prior(self) -> nn.Module:
        """Return the prior of equally likely categories at the same temperature."""
        return RelaxedUniform(self.latent_dim // self.categories, self.categories, float(self.temperature))
