r"""A latent variable model whose likelihood and posterior are known exactly: z ~ N(0, I), x = W z + b + sigma eps."""

import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from vaekit.distributions import Conditional, Gaussian, StandardNormal
from vaekit.models import VAE


class LinearGaussian:
    def __init__(self, data_dim=4, latent_dim=2, variance=0.3, seed=0):
        draw = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(data_dim, latent_dim, generator=draw, dtype=torch.float64)
        self.bias = torch.randn(data_dim, generator=draw, dtype=torch.float64)
        self.variance = variance

    def marginal(self):
        return marginal(self.weight, self.bias, self.variance)

    def posterior(self, x):
        """The exact p(z|x), with a full covariance."""
        precision = torch.eye(self.weight.shape[1], dtype=x.dtype) + self.weight.T @ self.weight / self.variance
        covariance = torch.linalg.inv(precision)
        mean = (x - self.bias) @ self.weight @ covariance / self.variance
        return MultivariateNormal(mean, covariance.expand(len(x), -1, -1))

    def draw(self, n, seed=1):
        draw = torch.Generator().manual_seed(seed)
        z = torch.randn(n, self.weight.shape[1], generator=draw, dtype=torch.float64)
        noise = torch.randn(n, len(self.bias), generator=draw, dtype=torch.float64)
        return z @ self.weight.T + self.bias + self.variance**0.5 * noise

    def model(self, encoder=None, objective=None):
        """A VAE of vaekit's parts that is this model, with the exact posterior unless given another encoder."""
        data_dim, latent_dim = self.weight.shape
        linear = nn.Linear(latent_dim, data_dim).double()
        with torch.no_grad():
            linear.weight.copy_(self.weight)
            linear.bias.copy_(self.bias)
        decoder = Conditional(linear, Gaussian((data_dim,), variance=self.variance))
        prior = StandardNormal(latent_dim).double()
        return VAE(ExactPosterior(self) if encoder is None else encoder, decoder, prior, objective)


class ExactPosterior(nn.Module):
    def __init__(self, truth):
        super().__init__()
        self.truth = truth

    def forward(self, x, context=None):
        return self.truth.posterior(x)


class WrongPosterior(nn.Module):
    """A diagonal Gaussian off the mark: shifted, and wider or narrower than the exact posterior."""

    def __init__(self, truth, shift=0.3, widen=1.3):
        super().__init__()
        self.truth, self.shift, self.widen = truth, shift, widen

    def forward(self, x, context=None):
        exact = self.truth.posterior(x)
        return Independent(Normal(exact.mean + self.shift, exact.stddev * self.widen), 1)


def marginal(weight, bias, variance):
    """The exact p(x)."""
    covariance = weight @ weight.T + variance * torch.eye(len(bias), dtype=weight.dtype)
    return MultivariateNormal(bias, covariance)
