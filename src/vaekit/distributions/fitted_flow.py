r"""A normalising flow that is fitted to codes after the training."""

__all__ = ["FittedFlow"]

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution

from vaekit.distributions.fitted import HeldOut, fit_numbers
from vaekit.distributions.flows import FlowPrior
from vaekit.distributions.pushed import FlowDistribution
from vaekit.errors import RequestError

_LEAST = 1e-6  # standard deviation of a unit that does not move


class FittedFlow(nn.Module):
    r"""A flow on standardised codes, fitted by maximum likelihood and not with the model.

    .. math::
        \log p(z) = \log \mathcal N(f(u); 0, I) + \log \left| \det \frac{\partial f}{\partial u} \right|
        - \sum_j \log \sigma_j , \qquad u = (z - \mu) / \sigma

    with the mean and the standard deviation of each unit over the codes. Until it is fitted it is about
    :math:`\mathcal N(0, I)`. Its weights get no gradient from the model's training.

    References:
        From variational to deterministic autoencoders (Ghosh et al., 2020), section 4, for ex-post density estimation.
        Neural spline flows (Durkan et al., 2019), for the default kind.

    Arguments:
        latent_dim: Size of z.
        kind: One of `vaekit.distributions.flows.KINDS`, as `FlowPrior` has them.
        transforms: Number of steps.
        hidden: Widths of the hidden layers of each step's network; by default as in `FlowPrior`.
        epochs: Passes over the codes, at most.
        batch: Codes in a step.
        learning_rate: Adam's first step size, which falls along a cosine.
        patience: Epochs without a better likelihood of the codes held out before the fit ends.

    Raises:
        RequestError: If a size is too small or the kind is unknown.

    Example:
        >>> prior = FittedFlow(2, transforms=2, epochs=3)
        >>> sorted(prior.fit(torch.randn(500, 2, generator=torch.Generator().manual_seed(0))))
        ['epochs', 'held_out_nll', 'nll']
        >>> prior().sample((5,)).shape, any(p.requires_grad for p in prior.parameters())
        (torch.Size([5, 2]), False)
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        kind: str = "spline",
        transforms: int = 3,
        hidden: Sequence[int] | None = None,
        *,
        epochs: int = 30,
        batch: int = 500,
        learning_rate: float = 3e-3,
        patience: int = 5,
    ) -> None:
        super().__init__()
        for name, value in (("epochs", epochs), ("batch", batch), ("patience", patience)):
            if value < 1:
                raise RequestError(f"{name} is {value}; expected at least 1: pass 1 or more")
        if not 0 < learning_rate < math.inf:
            raise RequestError(f"learning_rate is {learning_rate}; expected a number above 0: pass 0.003, say")
        self._shape = (latent_dim, kind, transforms, hidden)
        self.flow = FlowPrior(*self._shape).requires_grad_(False)
        self.epochs, self.batch, self.learning_rate, self.patience = epochs, batch, learning_rate, patience
        self.register_buffer("shift", torch.zeros(latent_dim))
        self.register_buffer("scale", torch.ones(latent_dim))

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        standardised = self.flow()
        units = AffineTransform(-self.shift / self.scale, 1 / self.scale, event_dim=1)
        return FlowDistribution(standardised.base, [units, *standardised.steps], fast="density")

    @torch.enable_grad()
    def fit(
        self,
        codes: Tensor,
        seed: int = 0,
        *,
        context: Tensor | None = None,
        held_out: HeldOut | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> dict[str, float]:
        r"""Fit the flow to codes, shape `(n, latent_dim)`, and keep the weights that do best by those held out.

        Arguments:
            codes: What to fit.
            seed: Of the flow's first weights, of the order of the codes, and of which are held out if none are given.
            context: Not looked at: the density is of all codes together.
            held_out: Codes to stop by and to report on; by default a tenth of `codes`, which are then not fitted.
            advance: Called after each epoch with the share of all that is done.

        Returns:
            "nll" and "held_out_nll", in nats per example, and "epochs" taken.

        Raises:
            RequestError: If there are too few codes, or one is not finite.
        """
        if len(codes) < 20:
            raise RequestError(f"there are {len(codes)} codes for a flow; expected at least 20: train on more examples")
        if not bool(codes.isfinite().all()):
            raise RequestError("some codes are not finite; expected numbers: lower --learning-rate, or pass --clip 1")
        codes = codes.detach()
        generator = torch.Generator().manual_seed(seed)
        if held_out is None:
            order = torch.randperm(len(codes), generator=generator).to(codes.device)
            held_out, codes = (codes[order[: len(codes) // 10]], None), codes[order[len(codes) // 10 :]]
        self.shift.copy_(codes.mean(0))
        self.scale.copy_(codes.std(0).clamp_min(_LEAST))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.flow.load_state_dict(FlowPrior(*self._shape).state_dict())
        taken = self._train(codes, held_out[0], generator, advance or (lambda share: None))
        return {**fit_numbers(self, codes, held_out=held_out), "epochs": float(taken)}

    def _train(
        self, codes: Tensor, others: Tensor, generator: torch.Generator, advance: Callable[[float], object]
    ) -> int:
        """Train the flow, leave it with the best weights, and return how many epochs that took."""
        self.flow.requires_grad_(True)
        parameters = list(self.flow.parameters())
        adam = torch.optim.Adam(parameters, self.learning_rate)
        size = min(self.batch, len(codes))
        steps = len(codes) // size
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.epochs * steps)
        best, kept, since, epoch = math.inf, copy.deepcopy(self.flow.state_dict()), 0, 0
        while epoch < self.epochs and since < self.patience:
            order = torch.randperm(len(codes), generator=generator).to(codes.device)
            for rows in order[: steps * size].view(steps, size):
                adam.zero_grad()
                (-self().log_prob(codes[rows]).mean()).backward()
                nn.utils.clip_grad_norm_(parameters, 5.0)  # a code far out has a gradient without bound
                adam.step()
                schedule.step()
            found = fit_numbers(self, others)["nll"]
            epoch, since = epoch + 1, since + 1
            if found < best:
                best, kept, since = found, copy.deepcopy(self.flow.state_dict()), 0
            advance(epoch / self.epochs)
        self.flow.load_state_dict(kept)
        self.flow.requires_grad_(False)
        return epoch
