r"""Adam on one device, by PyTorch's functional form of it."""

__all__ = ["Adam", "Optimizer"]

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Optimizer(Protocol):
    r"""What the loop asks of an optimiser: `torch.optim.Optimizer` is one."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Move the parameters by their gradients."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: the tensors of each parameter by its number, under "state"."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go back to such a state."""


class Adam:
    r"""Adam, and AdamW where the decay is decoupled: to the bit what `torch.optim` does, fused.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        \theta \leftarrow \theta - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    The first `torch.optim.Optimizer` of a process imports PyTorch's compiler, two seconds that a small training has no
    use for, and its hooks cost a third of a millisecond a step. The arithmetic is PyTorch's own in either case.

    References:
        Adam: a method for stochastic optimization (Kingma and Ba, 2015).
        Decoupled weight decay regularization (Loshchilov and Hutter, 2019).

    Arguments:
        parameters: What is trained.
        learning_rate: The step size, which `param_groups` has as "lr" and the loop sets anew for every step.
        betas: Decay of the two means.
        eps: Added to the root.
        weight_decay: Times the parameters, is added to the gradient; or decoupled, times the step size, subtracted.
        decoupled: AdamW.

    Example:
        >>> weight = nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = Adam([weight], learning_rate=0.5)
        >>> (3 * weight).sum().backward()
        >>> optimizer.step()
        >>> weight
        Parameter containing:
        tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        self.parameters = list(parameters)
        self.param_groups: list[dict[str, Any]] = [{"params": self.parameters, "lr": learning_rate}]
        self.state: dict[int, dict[str, Tensor]] = {}
        (self.beta1, self.beta2), self.eps = betas, eps
        self.weight_decay, self.decoupled = weight_decay, decoupled

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have a gradient."""
        moved = [number for number, p in enumerate(self.parameters) if p.grad is not None]
        for number in moved:
            if number not in self.state:
                p = self.parameters[number]
                self.state[number] = {
                    "step": torch.zeros((), device=p.device),
                    "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
                }
        states = [self.state[number] for number in moved]
        adam(
            [self.parameters[number] for number in moved],
            [g for number in moved if (g := self.parameters[number].grad) is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            decoupled_weight_decay=self.decoupled,
            amsgrad=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=self.param_groups[0]["lr"],
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0."""
        for p in self.parameters:
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad = torch.zeros_like(p.grad)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each parameter that was ever moved, by its number, under "state"."""
        return {"state": {number: dict(entries) for number, entries in self.state.items()}}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go back to such a state, of this class or of `torch.optim`."""
        self.state = {
            number: {name: torch.as_tensor(entry, device=self.parameters[number].device) for name, entry in own.items()}
            for number, own in state_dict["state"].items()
        }
