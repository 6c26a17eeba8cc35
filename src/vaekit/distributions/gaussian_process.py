r"""A Gaussian process: what points at some inputs say of the points at others."""

__all__ = ["GaussianProcess", "variance_of"]

import math
from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaekit.distributions.divergences import find_formulas
from vaekit.errors import RequestError, nearest

_KERNELS = ("matern", "matern-1/2", "matern-3/2", "matern-5/2", "rbf")
_LEAST_JITTER = 1e-10  # of the prior variance; below it a double-precision factor of a smooth kernel is rounding
_LEAST_NOISE = 1e-6  # of the prior variance, of exact points where there are inducing ones
_AT_ONCE = 2**24  # numbers in the factors of the dimensions that are solved together
_eagerly: list[Callable[..., Independent[Normal]]] = []  # the regression, kept from the compiler, once it is asked for
_Solve = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # noises, right sides: means, variance explained


class GaussianProcess(nn.Module):
    r"""A Gaussian process from inputs X to latent points Z, whose dimensions are independent.

    .. math::
        z_* \sim \mathcal N\big( K_* (K + S)^{-1} Z,\ K_{**} - K_* (K + S)^{-1} K_*^\top \big)

    The points Z are means of a posterior with variances :math:`v`, which enter in one of three ways:

    - "noise": :math:`S = \mathrm{diag}(v)`, dimension by dimension: an uncertain point pulls less.
    - "scale": the published kernel, :math:`S = 0` and :math:`k(x_i, x_j) = \sqrt{v_i v_j}\, k_0(x_i, x_j)`. The
      paper leaves open what v is at a new input; here its logarithm is interpolated by the same process, so that it
      is right at the observed inputs, and 1, the variance of the prior N(0, I), far away.
    - "none": :math:`S = 0`, the points are taken as exact.

    Far from every input the prediction is the prior of z: mean 0, the kernel's variance.

    Solves are by Cholesky factors in double precision (on a device that has it). A factor of a matrix that is nearly
    singular, as with repeated inputs, is taken with a jitter on the diagonal: a ten-billionth of the prior variance,
    and ten times more until it succeeds or `jitter` is exceeded, which is an error and never a wrong answer. Points
    that differ at repeated inputs are averaged.

    With `inducing` points fewer than the inputs the solve is the closed form of the variational approximation, which
    costs :math:`O(n m^2)`; the points are those of the inputs that leave the least variance unexplained, chosen
    greedily. Taken as exact or scaled, it needs a noise, which is then 1e-6 of the prior variance.

    References:
        Variational autoencoded regression (Yoo et al., 2017), for the kernel "scale".
        Gaussian processes for machine learning (Rasmussen and Williams, 2006), algorithm 2.1.
        Variational learning of inducing variables in sparse Gaussian processes (Titsias, 2009).

    Arguments:
        kernel: Of variance 1: "rbf", "matern-1/2", "matern-3/2" or "matern-5/2"; "matern", which is the last of
            these until `vaekit.regression.fit_to_outputs` chooses among them; or any kernel of gpytorch.
        length_scale: Of a named kernel, in units of the inputs.
        variances: How the points' variances enter: "noise", "scale" or "none".
        inducing: Number of inducing points, where there are more inputs; None to be exact.
        jitter: The most that may be added to the diagonal, as a part of the mean prior variance.

    Raises:
        RequestError: If an argument is out of its range or gpytorch is not installed; in `forward`, if inputs or
            points are not finite or a factor does not succeed.

    Example:
        >>> process = GaussianProcess(variances="none")
        >>> x, z = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [-1.0]])
        >>> p = process(x, z, None, torch.tensor([[0.0], [0.5], [99.0]]))
        >>> p.mean.squeeze(1).round(decimals=3), p.stddev.squeeze(1).round(decimals=3)
        (tensor([1., 0., 0.]), tensor([0.0000, 0.1750, 1.0000]))
    """

    def __init__(
        self,
        kernel: str | nn.Module = "rbf",
        *,
        length_scale: float = 1.0,
        variances: Literal["noise", "scale", "none"] = "noise",
        inducing: int | None = None,
        jitter: float = 1e-4,
    ) -> None:
        super().__init__()
        if variances not in (known := ("noise", "scale", "none")):
            raise RequestError(
                f"unknown way {variances!r} for variances to enter; expected one of {', '.join(known)}."
                f"{nearest(variances, known)}"
            )
        if inducing is not None and inducing < 1:
            raise RequestError(f"inducing is {inducing}; expected at least 1 point: pass 100, say, or None")
        if not jitter >= 0:
            raise RequestError(f"jitter is {jitter}; expected a part of the prior variance, 0 or more: pass 1e-4")
        self.kernel = _named(kernel, length_scale) if isinstance(kernel, str) else kernel
        self.kernel.requires_grad_(False)  # the regression is not trained, the codes are
        self.variances, self.inducing, self.jitter = variances, inducing, jitter

    def forward(
        self,
        x: Tensor,
        z: Tensor,
        variance: Tensor | None,
        new: Tensor,
        *,
        group: Tensor | None = None,
        new_group: Tensor | None = None,
    ) -> Independent[Normal]:
        r"""Return the distribution of z at new inputs, `batch_shape (m,)`, `event_shape (latent_dim,)`.

        Arguments:
            x: Inputs, shape `(n, d)`; n may be 0.
            z: Points at them, shape `(n, latent_dim)`.
            variance: Their variances, of that shape, or `(n, 1)` where all dimensions share them, which is solved at
                once; None for exact points.
            new: New inputs, shape `(m, d)`.
            group: Numbers of groups of inputs, shape `(n,)`: what is in different groups is independent.
            new_group: The groups of the new inputs, shape `(m,)`.
        """
        # Whether a factor succeeds is asked of the numbers, which the compiler cannot follow. To tell it so imports
        # it, which takes a second: not for those who use no process.
        if not _eagerly:
            _eagerly.append(torch.compiler.disable(GaussianProcess._regress))
        return _eagerly[0](self, x, z, variance, new, group, new_group)

    def _regress(
        self,
        x: Tensor,
        z: Tensor,
        variance: Tensor | None,
        new: Tensor,
        group: Tensor | None,
        new_group: Tensor | None,
    ) -> Independent[Normal]:
        x, new, wide = self._wide(x), self._wide(new), self._wide(z)
        v = None if variance is None else self._wide(variance)
        noise, targets = self._system(wide, v)
        sparse = self.inducing is not None and self.inducing < len(x)
        solve = self._sparse(x, new, group, new_group) if sparse else self._exact(x, new, group, new_group)
        rank = self.inducing if self.inducing is not None and sparse else len(x)
        size = max(1, _AT_ONCE // max(1, rank * (len(x) + len(new))))
        parts = [solve(*block) for block in zip(noise.split(size), targets.split(size), strict=True)]
        mean, explained = (torch.cat(part) for part in zip(*parts, strict=True))
        left = (self._prior_variance(new) - explained).clamp_min(0.0)  # rounding may leave less than nothing
        if self.variances == "scale" and v is not None:
            mean, log_scale = mean[0].chunk(2, dim=1)
            mean, left = mean * (0.5 * log_scale).exp(), left[0][:, None] * log_scale.exp()
        elif len(mean) == 1:
            mean, left = mean[0], left[0][:, None].expand_as(mean[0])
        else:
            mean, left = mean[:, :, 0].T, left.T
        tiny = torch.finfo(z.dtype).tiny  # a normal distribution has a scale above 0
        scale = left.clamp_min(tiny).sqrt()
        normal = Normal(mean.to(z.dtype), scale.to(z.dtype), validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def log_marginal(
        self, x: Tensor, z: Tensor, variance: Tensor | None = None, *, group: Tensor | None = None
    ) -> Tensor:
        r"""Return the log marginal likelihood of points, summed over their dimensions, in nats, a scalar.

        .. math::
            \log p(Z \mid X) = \sum_d -\tfrac12 z_d^\top (K + S)^{-1} z_d - \tfrac12 \log \lvert K + S \rvert
            - \tfrac n2 \log 2\pi

        Arguments:
            x: Inputs, shape `(n, d)`.
            z: Points at them, shape `(n, latent_dim)`.
            variance: Their variances, of that shape; None for exact points.
            group: Numbers of groups of inputs, shape `(n,)`.
        """
        x, wide = self._wide(x), self._wide(z)
        v = None if variance is None else self._wide(variance)
        noise, targets = self._system(wide, v)
        volume = wide.new_zeros(())
        if self.variances == "scale" and v is not None:
            targets, volume = targets[..., : wide.shape[1]], 0.5 * v.log().expand_as(wide).sum()
        factor = self._factor(self._covariance(x, x, group, group) + torch.diag_embed(noise), x)
        white = torch.linalg.solve_triangular(factor, targets, upper=False)
        diagonal = factor.diagonal(dim1=-2, dim2=-1).log().sum() * (wide.shape[1] / len(noise))
        fit: Tensor = -0.5 * white.square().sum()
        return fit - diagonal - volume - 0.5 * math.log(2 * math.pi) * wide.numel()

    def _system(self, z: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """The noises of the systems to solve, shape `(b, n)`, and their right sides, shape `(b, n, t)`."""
        if v is None or self.variances == "none":
            return z.new_zeros(1, len(z)), z[None]
        if self.variances == "noise":
            return v.T, (z[None] if v.shape[1] == 1 else z.T[:, :, None])
        # The kernel's factors sqrt(v_i) go to the points: one matrix serves all dimensions.
        return z.new_zeros(1, len(z)), torch.cat([z / v.sqrt(), v.log().expand_as(z)], dim=1)[None]

    def _exact(self, x: Tensor, new: Tensor, group: Tensor | None, new_group: Tensor | None) -> _Solve:
        k, across = self._covariance(x, x, group, group), self._covariance(x, new, group, new_group)

        def solve(noise: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            factor = self._factor(k + torch.diag_embed(noise), x)
            a = torch.linalg.solve_triangular(factor, across.expand(len(noise), -1, -1), upper=False)
            return a.mT @ torch.linalg.solve_triangular(factor, targets, upper=False), a.square().sum(1)

        return solve

    def _sparse(self, x: Tensor, new: Tensor, group: Tensor | None, new_group: Tensor | None) -> _Solve:
        chosen = self._chosen(x, group)
        u, own = x[chosen], None if group is None else group[chosen]
        k = self._covariance(u, u, own, own)
        factor = self._factor(k, u)
        b = torch.linalg.solve_triangular(factor, self._covariance(u, x, own, group), upper=False)
        c = torch.linalg.solve_triangular(factor, self._covariance(u, new, own, new_group), upper=False)

        def solve(noise: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            weights = 1 / noise.clamp_min(_LEAST_NOISE * k.diagonal().mean())
            inner = torch.linalg.cholesky(torch.eye(len(u)).to(b) + (b * weights[:, None]) @ b.mT)
            d = torch.linalg.solve_triangular(inner, c.expand(len(noise), -1, -1), upper=False)
            right = torch.linalg.solve_triangular(inner, b @ (weights[:, :, None] * targets), upper=False)
            return d.mT @ right, c.square().sum(0) - d.square().sum(1)

        return solve

    @torch.no_grad()
    def _chosen(self, x: Tensor, group: Tensor | None) -> Tensor:
        """Choose inputs one by one, each where the ones before explain least: a pivoted Cholesky factor."""
        left = self._prior_variance(x).clone()
        least = _LEAST_JITTER * left.mean()
        count = cast(int, self.inducing)
        rows = x.new_zeros(count, len(x))
        chosen: list[int] = []
        for i in range(count):
            p = int(left.argmax())
            if left[p] <= least:
                break  # the others add nothing but singularity
            one = None if group is None else group[p : p + 1]
            row = self._covariance(x[p : p + 1], x, one, group)[0]
            rows[i] = (row - rows[:i, p] @ rows[:i]) / left[p].sqrt()
            left = (left - rows[i].square()).clamp_min(0.0)
            left[p] = 0.0
            chosen.append(p)
        return torch.tensor(chosen, device=x.device)

    def _factor(self, k: Tensor, x: Tensor) -> Tensor:
        """Return the Cholesky factors of matrices, shape `(..., n, n)`, with as little jitter as they need."""
        if not len(x):
            return k
        unit = k.detach().diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        added = min(_LEAST_JITTER if k.dtype == torch.float64 else 1e-6, self.jitter)
        eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        while True:
            found: tuple[Tensor, Tensor] = torch.linalg.cholesky_ex(k + added * unit * eye)
            if not bool(found[1].any()):
                return found[0]
            if not bool(torch.isfinite(k).all()):
                raise RequestError(
                    "the covariance of the inputs, or the variance of a point, is not finite; expected finite "
                    "numbers: check the inputs, or train with a lower --learning-rate"
                )
            if added == 0 or 10 * added > self.jitter:
                break
            added *= 10
        worst = torch.linalg.eigvalsh(k.detach()).abs()
        condition = float((worst.amax(-1) / worst.amin(-1).clamp_min(torch.finfo(k.dtype).tiny)).max())
        repeated = len(x) - len(torch.unique(x, dim=0))
        raise RequestError(
            f"the covariance of {len(x)} inputs cannot be factored with a jitter of {self.jitter:g} (condition number "
            f"{condition:.1e}, {repeated} repeated inputs); expected a matrix that is positive definite: let the "
            "points have noise, merge repeated inputs, shorten the length scale, or allow more jitter"
        )

    def _covariance(self, a: Tensor, b: Tensor, group: Tensor | None, other: Tensor | None) -> Tensor:
        if not len(a) or not len(b):
            return a.new_zeros(len(a), len(b))
        k: Tensor = self.kernel(a, b).to_dense().to(a.dtype)
        return k if group is None or other is None else k * (group[:, None] == other)

    def _prior_variance(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.kernel(x, diag=True)).to(x.dtype)

    def _wide(self, x: Tensor) -> Tensor:
        if not bool(torch.isfinite(x).all()):
            raise RequestError("inputs, points or variances hold NaN or infinity; expected finite numbers")
        return x if x.device.type == "mps" else x.double()  # mps has no double precision


def _named(name: str, length_scale: float) -> nn.Module:
    if name not in _KERNELS:
        raise RequestError(
            f"unknown kernel {name!r}; expected one of {', '.join(_KERNELS)}, or a kernel of gpytorch."
            f"{nearest(name, _KERNELS)}"
        )
    if not 0 < length_scale < math.inf:
        raise RequestError(f"length_scale is {length_scale}; expected a number above 0: pass 1.0, say")
    try:
        from gpytorch.kernels import MaternKernel, RBFKernel
    except ImportError:
        raise RequestError(
            'gpytorch is not installed; regression in latent space needs it: pip install "vaekit[regression]"'
        ) from None
    find_formulas()  # gpytorch has registered divergences of its own
    if name == "matern":
        from vaekit.distributions.matern import Matern

        kernel = Matern()
    else:
        kernel = RBFKernel() if name == "rbf" else MaternKernel(nu=int(name[-3]) / 2)
    kernel.lengthscale = length_scale
    return cast(nn.Module, kernel)


def variance_of(q: Distribution) -> Tensor | None:
    r"""Return the variances of posteriors, shape `(n, latent_dim)`, or None of points or where they are not known.

    Example:
        >>> variance_of(Normal(torch.zeros(2), torch.full((2,), 3.0)))
        tensor([9., 9.])
    """
    try:
        variance = q.variance
    except NotImplementedError:
        return None
    return variance if bool((variance > 0).all()) else None
