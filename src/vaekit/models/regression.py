r"""Variational auto-encoded regression: high-dimensional outputs by a Gaussian process in latent space."""

__all__ = ["VAERegression"]

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaekit.distributions.gaussian_process import GaussianProcess, variance_of
from vaekit.distributions.marginal import Marginal
from vaekit.errors import RequestError
from vaekit.models.base import seeded
from vaekit.models.vae import VAE
from vaekit.networks.inputs import Inputs
from vaekit.objectives import Objective

LEVELS = 99  # of intervals whose widths are calibrated: 1 %, 2 %, ... 99 %


class VAERegression(VAE):
    r"""A variational autoencoder of outputs y at inputs x, and a Gaussian process from inputs to latent space.

    The encoder :math:`q(z \mid x, y)` is told the inputs, the decoder :math:`p(y \mid z)` and the prior are not. Given
    outputs Y at inputs X, an output at a new input is

    .. math::
        p(y_* \mid x_*, X, Y) = \mathbb E_{z_* \sim p(z_* \mid Z, X, x_*)}\, p(y_* \mid z_*)

    where Z are the posteriors of the outputs observed: encode, regress, decode. An output observed is met only as
    well as the autoencoder says it. With `residuals`, another process, what it leaves is regressed as well, so that a
    prediction between two outputs is between these and not between what was made of them:

    .. math::
        y_* = f(z_*) + K_* (K + \nu I)^{-1} \big( Y - f(m(X)) \big), \qquad
        f(z) = c + \gamma (\mathrm{E}[y \mid z] - c)

    with c the mean output and m the mean of the process in latent space. Were the decoder linear and the kernels the
    same, this would be the Gaussian process on the outputs itself; what the autoencoder adds is what is not linear.
    How far that is trusted is :math:`\gamma`: 1 until it is calibrated on outputs that were not trained on; with 0
    the Gaussian process on the outputs is all there is.

    As everywhere the data are called x in code, here the outputs, and what they are told is the context: the inputs,
    after the number of the sequence where there are sequences. What is in different sequences is independent.

    References:
        Variational autoencoded regression: high dimensional regression of visual data on complex manifold
        (Yoo et al., 2017).
        About regression-kriging: from equations to case studies (Hengl, Heuvelink and Rossiter, 2007).

    Arguments:
        encoder: :math:`q(z \mid x, y)`; its context is the standardised inputs, shape `(n, d)`.
        decoder: :math:`p(y \mid z)`.
        prior: :math:`p(z)`.
        inputs: The units of the inputs.
        process: The Gaussian process, from positions, `Inputs.positions`, to z.
        objective: What to minimise; by default minus the evidence lower bound.
        residuals: The process of what the decoder leaves of outputs observed; None to leave it. It is for outputs that
            are real numbers, and takes them with a noise.
        center: The mean output, shape `data_shape`; by default 0.

    Attributes:
        noise: Variance of the residuals' noise, as a part of their own.
        trust: :math:`\gamma`; without residuals it is not used.
        center: c, shape `data_shape`, or a number.
        width: What the standard deviation of a prediction is multiplied by: 1 until it is calibrated.
        quantiles: Quantiles of absolute errors by the calibrated standard deviation at 1 %, 2 %, ... 99 %, shape
            `(99,)`: those of a normal distribution until they are calibrated.

    Example:
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, StandardNormal, likelihood
        >>> from vaekit.networks import MLP
        >>> q, p = DiagonalGaussian(2), likelihood("gaussian", (5,))
        >>> model = VAERegression(
        ...     Conditional(MLP((5,), q.parameter_shape, context_dim=1), q),
        ...     Conditional(MLP((2,), p.parameter_shape), p),
        ...     StandardNormal(2),
        ...     Inputs(1),
        ...     GaussianProcess(),
        ... )
        >>> y, x = torch.randn(8, 5), torch.arange(8.0)[:, None]
        >>> model.regress(y, x, torch.tensor([[2.5], [3.5]])).mean.shape
        torch.Size([2, 5])
    """

    noise: Tensor
    trust: Tensor
    center: Tensor
    width: Tensor
    quantiles: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        inputs: Inputs,
        process: GaussianProcess,
        objective: Objective | None = None,
        residuals: GaussianProcess | None = None,
        center: Tensor | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior, objective)
        self.inputs, self.process, self.residuals = inputs, process, residuals
        self.register_buffer("noise", torch.full((1, 1), 1e-2))
        self.register_buffer("trust", torch.ones(()))
        self.register_buffer("center", torch.zeros(()) if center is None else center)
        levels = torch.arange(1, LEVELS + 1, dtype=torch.float64) / (LEVELS + 1)
        self.register_buffer("width", torch.ones(()))
        self.register_buffer("quantiles", Normal(0.0, 1.0).icdf(0.5 + levels / 2).float())

    @property
    def conditional(self) -> bool:
        """True: the encoder is told the inputs."""
        return True

    def regress_latent(self, mean: Tensor, variance: Tensor | None, given: Tensor, new: Tensor) -> Independent[Normal]:
        r"""Return the distribution of z at new inputs, `batch_shape (m,)`, given posteriors at others.

        Arguments:
            mean: Means of :math:`q(z \mid x, y)` of the outputs observed, shape `(n, latent_dim)`.
            variance: Their variances; None where they are points.
            given: Their contexts, shape `(n, ...)`.
            new: Contexts of the new inputs, shape `(m, ...)`.
        """
        return self.process(  # type: ignore[no-any-return]
            self.inputs.positions(given),
            mean,
            variance,
            self.inputs.positions(new),
            group=self.inputs.groups(given),
            new_group=self.inputs.groups(new),
        )

    def regress(
        self, x: Tensor, given: Tensor, new: Tensor, *, draws: int = 32, seed: int | None = 0, block: int = 256
    ) -> Marginal:
        r"""Return the distribution of outputs at new inputs, `batch_shape (m,)`, given outputs at others.

        Each sequence is regressed on its own rows, so that the cost is the sum of the sequences'. The same draws of
        the noise serve every input: a prediction depends on its input and the outputs observed, not on what else is
        asked, and films do not flicker.

        Arguments:
            x: The outputs observed, as the transform gives them, shape `(n, *data_shape)`.
            given: Their contexts, shape `(n, ...)`.
            new: Contexts of the new inputs, shape `(m, ...)`.
            draws: Of z, for each input.
            seed: Of the draws; None draws from PyTorch's global state.
            block: Outputs encoded at once.

        Raises:
            RequestError: If `draws` is less than 1, a sequence of the new inputs has no output observed, or a context
                has another size.
        """
        z, left = self.latent_at(x, given, new, block=block)
        return self.decode_latent(z, left, draws=draws, seed=seed)

    def residual(self, x: Tensor, mean: Tensor, given: Tensor, new: Tensor) -> Normal | None:
        r"""Return what the decoder leaves at new inputs, shape `(m, *data_shape)`; None without such a process.

        Its standard deviations are parts of the decoder's: 1 far from every output observed, near 0 at one.

        Arguments:
            x: The outputs observed, shape `(n, *data_shape)`.
            mean: Means of z that the process in latent space gives at their inputs, shape `(n, latent_dim)`.
            given: Their contexts, shape `(n, ...)`.
            new: Contexts of the new inputs, shape `(m, ...)`.
        """
        if self.residuals is None:
            return None
        told = torch.cat([self.decode(part).mean for part in mean.split(256)])
        left = x - self.center - self.trust * (told - self.center)
        p = self.residuals(
            self.inputs.positions(given),
            left.flatten(1),
            self.noise.expand(len(x), 1),
            self.inputs.positions(new),
            group=self.inputs.groups(given),
            new_group=self.inputs.groups(new),
        )
        scale = (p.stddev**2 + self.noise).sqrt()
        return Normal(p.mean.unflatten(1, x.shape[1:]), scale.unflatten(1, x.shape[1:]), validate_args=False)

    def latent_at(
        self, x: Tensor, given: Tensor, new: Tensor, *, block: int = 256
    ) -> tuple[Independent[Normal], Normal | None]:
        r"""Return the distribution of z at new inputs, and what the decoder leaves there; see `regress`."""
        mean, variance = self.codes(x, given, block=block)
        own, asked = self.inputs.groups(given), self.inputs.groups(new)
        if own is None or asked is None:
            own, asked = given.new_zeros(len(given)), new.new_zeros(len(new))
        missing = sorted(set(asked.tolist()) - set(own.tolist()))
        if missing:
            raise RequestError(
                f"nothing is observed of sequence {int(missing[0])}; expected outputs of every sequence asked for: "
                f"ask for one of {', '.join(str(int(s)) for s in own.unique().tolist()[:12])}"
            )
        means, scales = mean.new_empty(len(new), mean.shape[1]), mean.new_empty(len(new), mean.shape[1])
        left = None
        if self.residuals is not None:
            shape = (len(new), *x.shape[1:])
            left = Normal(x.new_zeros(shape), x.new_ones(shape), validate_args=False)
        for sequence in asked.unique():
            rows, there = own == sequence, asked == sequence
            v = None if variance is None else variance[rows]
            every = new[there] if left is None else torch.cat([new[there], given[rows]])
            p = self.regress_latent(mean[rows], v, given[rows], every)
            count = int(there.sum())
            means[there], scales[there] = p.mean[:count], p.stddev[:count]
            if left is not None:
                found = self.residual(x[rows], p.mean[count:], given[rows], new[there])
                assert found is not None
                left.loc[there], left.scale[there] = found.mean, found.stddev
        return Independent(Normal(means, scales, validate_args=False), 1, validate_args=False), left

    def codes(self, x: Tensor, given: Tensor, *, block: int = 256) -> tuple[Tensor, Tensor | None]:
        r"""Return the means and variances of the posteriors, shape `(n, latent_dim)`; see `latent_at`."""
        found = [self.encode(*part) for part in zip(x.split(block), given.split(block), strict=True)]
        variances = [variance_of(q) for q in found]
        known = [v for v in variances if v is not None]
        return torch.cat([q.mean for q in found]), torch.cat(known) if len(known) == len(variances) else None

    def decode_latent(
        self, z: Distribution, left: Normal | None = None, *, draws: int = 32, seed: int | None = 0
    ) -> Marginal:
        r"""Return the distribution of outputs where z is uncertain, `batch_shape (m,)`; see `regress`."""
        if draws < 1:
            raise RequestError(f"draws is {draws}; expected at least 1 draw of z: pass --draws 32")
        with seeded(seed):
            noise = torch.randn(draws, 1, z.mean.shape[1], dtype=torch.float64).to(z.mean)
        if draws > 1:  # so few draws are held to the mean and the variance that they stand for
            noise = (noise - noise.mean(0)) / noise.std(0, correction=0)
        points = z.mean + z.stddev * noise
        parts = self.decode(points.flatten(0, 1))
        if left is not None:
            mean, scale = (part.unflatten(0, (draws, -1)) for part in (parts.mean, parts.stddev))
            mean = self.center + self.trust * (mean - self.center) + left.mean
            normal = Normal(mean.flatten(0, 1), (scale * left.stddev).flatten(0, 1), validate_args=False)
            parts = Independent(normal, left.mean.ndim - 1, validate_args=False)
        return Marginal(parts, draws, self.width)

    def interval(self, level: float) -> float:
        r"""Return how many calibrated standard deviations the interval of a level reaches to both sides.

        Arguments:
            level: The part of outputs that it should hold, from 0.01 to 0.99.

        Raises:
            RequestError: If the level is out of its range.
        """
        if not 0.01 <= level <= 0.99:
            raise RequestError(f"level is {level}; expected a part from 0.01 to 0.99: pass 0.9")
        levels = np.arange(1, LEVELS + 1) / (LEVELS + 1)
        return float(np.interp(level, levels, self.quantiles.double().cpu().numpy()))

    def _encode(self, x: Tensor, c: Tensor | None) -> Distribution:
        if c is None:
            raise RequestError("this model regresses and was given no inputs; expected one for each output: pass them")
        return cast(Distribution, self.encoder(x, self.inputs(c)))

    def _decode(self, z: Tensor, c: Tensor | None) -> Distribution:
        return cast(Distribution, self.decoder(z))

    def _prior(self, c: Tensor | None) -> Distribution:
        return cast(Distribution, self.prior())
