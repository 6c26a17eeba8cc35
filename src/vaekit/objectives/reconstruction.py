r"""The distortion alone, and what keeps a code without a rate in bounds."""

__all__ = ["GaussianNoise", "Masking", "Reconstruction", "squared_jacobian"]

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError
from vaekit.objectives.annealed import Annealed
from vaekit.objectives.base import Infers, Loss, showing_latents
from vaekit.schedules import Schedule


class GaussianNoise(nn.Module):
    r"""Noise added in training, :math:`x + \sigma \varepsilon`, and none in evaluation.

    Arguments:
        scale: Its standard deviation.

    Raises:
        RequestError: If `scale` is negative.

    Example:
        >>> noise, x = GaussianNoise(0.5), torch.zeros(3)
        >>> bool(noise(x).any()), bool(noise.eval()(x).any())
        (True, False)
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not 0 <= scale < float("inf"):
            raise RequestError(f"the noise's scale is {scale}; expected a number of at least 0: pass 0.3, say")
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return x with noise, of the same shape."""
        return x + self.scale * torch.randn_like(x) if self.training else x


class Masking(nn.Module):
    r"""Entries set to 0 in training, each by a chance of its own, and none in evaluation.

    Arguments:
        share: The chance.

    Raises:
        RequestError: If `share` is no probability below 1.

    Example:
        >>> mask, x = Masking(0.25), torch.ones(10_000)
        >>> 0.7 < float(mask(x).mean()) < 0.8, float(mask.eval()(x).mean())
        (True, 1.0)
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise RequestError(f"the share masked is {share}; expected one from 0 up, below 1: pass 0.25, say")
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Return x with holes, of the same shape."""
        return x.where(torch.rand_like(x) >= self.share, 0.0) if self.training else x


class Reconstruction(Annealed):
    r"""What an autoencoder minimises: the distortion, without a rate, and penalties that keep the code in bounds.

    .. math::
        \text{loss} = \frac1n \sum_x \Big( -\log p(x \mid z)
        + \frac{\lambda_z}2 \lVert z \rVert^2 + \lambda_J \lVert \partial z / \partial x \rVert_F^2 \Big)
        + \lambda_\theta \lVert \theta_p \rVert^2 , \qquad z = f(x + \text{noise})

    The terms reported are `distortion`; `reconstruction`, which is minus the distortion and by which weights are
    selected; the penalties in use without their weights, `code`, `contraction` and `decoder`; and `loss`, the sum as
    it is minimised. With a posterior that has a density z is a draw of it, and there is still no rate.

    References:
        Extracting and composing robust features with denoising autoencoders (Vincent et al., 2008), for `noise`.
        Contractive auto-encoders: explicit invariance during feature extraction (Rifai et al., 2011), for
        `contraction`.
        From variational to deterministic autoencoders (Ghosh et al., 2020), for `code` and `decoder`: RAE-L2.

    Arguments:
        code: Weight of half the squared length of the code, :math:`\lambda_z`: a number, or a schedule over epochs.
        decoder: Weight of the squared length of the decoder's weights, biases left out, :math:`\lambda_\theta`.
        contraction: Weight of the squared Frobenius norm of the encoder's Jacobian, :math:`\lambda_J`.
        probes: Random directions that the norm is estimated from, see `squared_jacobian`; None for all of the code's
            units, which is exact and takes one pass back for each.
        noise: What becomes of x before the encoder sees it, such as `GaussianNoise` or `Masking`; the distortion is
            that of x itself.

    Raises:
        RequestError: If an argument is out of its range; in use, if the model does not show its codes.

    Example:
        >>> objective = Reconstruction(code=0.5, noise=Masking(0.25))
        >>> objective.weights(), objective.monitor
        ({'code': 0.5}, 'reconstruction')
    """

    monitor = "reconstruction"

    def __init__(
        self,
        code: float | Schedule = 0.0,
        decoder: float | Schedule = 0.0,
        contraction: float | Schedule = 0.0,
        probes: int | None = None,
        noise: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if probes is not None and probes < 1:
            raise RequestError(f"probes is {probes}; expected at least 1 direction, or None for all: pass 1")
        self.probes = probes
        self.noise = nn.Identity() if noise is None else noise
        weights = {"code": code, "decoder": decoder, "contraction": contraction}
        for name, weight in weights.items():
            if weight != 0:  # the others cost nothing, and are not in the log
                self.anneal(name, weight, "pass 0 for none")

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and its terms, each of shape `(n,)`."""
        autoencoder, seen = cast(Any, showing_latents(model)), self.noise(x)

        def code(x: Tensor) -> Tensor:
            return cast(Tensor, autoencoder.encode(x, context).rsample())

        terms: dict[str, Tensor] = {}
        if "contraction" in self.schedules:
            z, terms["contraction"] = squared_jacobian(code, seen, self.probes)
        else:
            z = code(seen)
        distortion = -autoencoder.decode(z, context).log_prob(x)
        terms |= self.penalties(autoencoder.decoder, z)
        loss = distortion
        for name, term in terms.items():
            loss = loss + self.get_buffer(name) * term
        return Loss(loss.mean(), {"reconstruction": -distortion, "distortion": distortion, **terms, "loss": loss})

    def penalties(self, decoder: nn.Module, z: Tensor) -> dict[str, Tensor]:
        r"""Return penalties by the names of their weights, each of shape `(n,)`.

        Arguments:
            decoder: The decoder.
            z: Codes, shape `(n, latent_dim)`.
        """
        terms = {}
        if "code" in self.schedules:
            terms["code"] = z.square().sum(-1) / 2
        if "decoder" in self.schedules:
            # Weights only: where biases and a likelihood's own variance lie is no matter of smoothness.
            length = sum((p.square().sum() for p in decoder.parameters() if p.dim() > 1), z.new_zeros(()))
            terms["decoder"] = length.expand(len(z))
        return terms


def squared_jacobian(
    function: Callable[[Tensor], Tensor], x: Tensor, probes: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return f(x), shape `(n, d)`, and the squared Frobenius norm of its Jacobian at each x, shape `(n,)`.

    .. math::
        \lVert J \rVert_F^2 = \sum_j \lVert J^\top e_j \rVert^2 = \mathbb E_v \lVert J^\top v \rVert^2
        \quad \text{for any } v \text{ with } \mathbb E \, v v^\top = I

    Each direction takes one pass back. Random ones, with entries 1 and -1, are Hutchinson's estimator: it has no
    bias, and its variance comes from the inner products of the rows of J alone.

    References:
        A stochastic estimator of the trace of the influence matrix (Hutchinson, 1989).

    Arguments:
        function: From x to `(n, d)`, each row from its own.
        x: Points, shape `(n, ...)`.
        probes: Random directions, or None for the d unit vectors, which is exact.

    Example:
        >>> matrix = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
        >>> squared_jacobian(lambda x: x @ matrix, torch.ones(1, 2))
        (tensor([[3., 4.]]), tensor([25.]))
    """
    # Not torch.autograd.grad: this one works where gradients are switched off, and inside a compiled step.
    value, pull = cast(tuple[Tensor, Any], torch.func.vjp(function, x))
    if probes is None:
        directions = torch.eye(value.shape[1], dtype=value.dtype, device=value.device)
        directions = directions.unsqueeze(1).expand(-1, len(x), -1)
    else:
        directions = torch.randint(2, (probes, *value.shape), device=value.device).to(value.dtype) * 2 - 1
    lengths = [cast(Tensor, pull(direction)[0]).flatten(1).square().sum(1) for direction in directions.unbind()]
    return value, torch.stack(lengths).sum(0) / (1 if probes is None else probes)
