r"""Where a training runs: on one device, which needs nothing, or on whatever Lightning Fabric can reach."""

__all__ = ["Engine", "SharedEngine", "SingleDevice", "engine_for"]

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError
from vaekit.training.adam import Adam, Optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Engine(Protocol):
    r"""What the loop asks of the devices that share the work."""

    @property
    def device(self) -> torch.device:
        """The device of this process, which is known after the launch."""

    @property
    def world_size(self) -> int:
        """How many processes share the work."""

    @property
    def global_rank(self) -> int:
        """The number of this process."""

    def launch(self) -> None:
        """Start the other processes."""

    def optimizer(self, parameters: list[nn.Parameter], learning_rate: float, **options: Any) -> Optimizer:
        """Return what `vaekit.training.adam.Adam` is, with its options, as it is needed here."""

    def setup(self, module: nn.Module, optimizers: list[Optimizer]) -> tuple[nn.Module, list[Optimizer]]:
        """Return the module and its optimisers, made ready to be called here."""

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters."""

    def clip(self, module: nn.Module, optimizer: Optimizer, norm: float) -> None:
        """Limit the norm of an optimiser's gradients."""

    def total(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes."""

    def barrier(self) -> None:
        """Wait for the other processes."""

    def state(self) -> dict[str, Any]:
        """Return the state of the gradient scale, if there is one."""

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state of the gradient scale."""


class SingleDevice:
    r"""One device in full precision: plain PyTorch.

    Fabric would do the same, but its wrappers cost a twentieth of a small step, and importing it takes longer than
    many a small training.

    Arguments:
        device: The device; by default the accelerator, where there is one.

    Raises:
        RequestError: If there is no such device.

    Example:
        >>> SingleDevice("cpu").device
        device(type='cpu')
    """

    world_size = 1
    global_rank = 0

    def __init__(self, device: torch.device | str = "auto") -> None:
        if device == "auto":
            device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
        try:
            self.device = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise RequestError(
                f"device is {str(device)!r}, which cannot be used here ({str(error).splitlines()[0]}); expected "
                "'auto', 'cpu' or a device of this machine: pass 'auto'"
            ) from None

    def launch(self) -> None:
        """There is nothing to start."""

    def optimizer(self, parameters: list[nn.Parameter], learning_rate: float, **options: Any) -> Optimizer:
        """Return the optimiser that asks least of a process."""
        return Adam(parameters, learning_rate, **options)

    def setup(self, module: nn.Module, optimizers: list[Optimizer]) -> tuple[nn.Module, list[Optimizer]]:
        """Return both as they are."""
        return module, optimizers

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters."""
        loss.backward()

    def clip(self, module: nn.Module, optimizer: Optimizer, norm: float) -> None:
        """Limit the norm of an optimiser's gradients."""
        nn.utils.clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), norm)

    def total(self, values: Tensor) -> Tensor:
        """Return the values: there is nothing to add."""
        return values

    def barrier(self) -> None:
        """There is nothing to wait for."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Set nothing."""


class SharedEngine:
    r"""Several devices, machines or precisions, by Lightning Fabric.

    Arguments:
        fabric: Devices, strategy and precision.
    """

    def __init__(self, fabric: "Fabric") -> None:
        self.fabric = fabric

    @property
    def device(self) -> torch.device:
        """The device of this process, which is known after the launch."""
        return self.fabric.device

    @property
    def world_size(self) -> int:
        """How many processes share the work."""
        return self.fabric.world_size

    @property
    def global_rank(self) -> int:
        """The number of this process."""
        return self.fabric.global_rank

    def launch(self) -> None:
        """Start the other processes."""
        self.fabric.launch()

    def optimizer(
        self, parameters: list[nn.Parameter], learning_rate: float, *, decoupled: bool = False, **options: Any
    ) -> Optimizer:
        """Return one of `torch.optim`, which is what Fabric wraps."""
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        # A fused step would unscale the gradients of half precision by itself, too late for clipping them.
        scaled = getattr(self.fabric.strategy.precision, "scaler", None) is not None
        return kind(parameters, learning_rate, fused=not scaled, **options)

    def setup(self, module: nn.Module, optimizers: list[Optimizer]) -> tuple[nn.Module, list[Optimizer]]:
        """Wrap the module and its optimisers."""
        wrapped, *rest = self.fabric.setup(module, *cast(list[torch.optim.Optimizer], optimizers))
        return wrapped, rest

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters, scaled where that is asked for."""
        self.fabric.backward(loss)

    def clip(self, module: nn.Module, optimizer: Optimizer, norm: float) -> None:
        """Limit the norm of an optimiser's gradients, as they are without their scale."""
        self.fabric.clip_gradients(module, cast(torch.optim.Optimizer, optimizer), max_norm=norm)

    def total(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes."""
        return cast(Tensor, self.fabric.all_reduce(values, reduce_op="sum"))

    def barrier(self) -> None:
        """Wait for the other processes."""
        self.fabric.barrier()

    def state(self) -> dict[str, Any]:
        """Return the state of the precision plugin."""
        return dict(self.fabric.strategy.precision.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state of the precision plugin."""
        self.fabric.strategy.precision.load_state_dict(state)


def engine_for(
    devices: int | str = 1,
    strategy: str = "auto",
    precision: str = "32-true",
    *,
    accelerator: str = "auto",
    phases: int = 1,
) -> Engine:
    r"""Return the engine that was asked for, not yet launched.

    Arguments:
        devices: How many devices share the work; "auto" takes all.
        strategy: How they share it, such as "ddp".
        precision: Of the arithmetic, in Fabric's words.
        accelerator: The kind of device, in Fabric's words; "auto" takes the best.
        phases: Of a step. In each of several some parameters have no gradient, which "ddp" refuses; it is then
            told to look for them, as "ddp_find_unused_parameters_true".

    Raises:
        RequestError: If they cannot be had here.

    Example:
        >>> type(engine_for(1, accelerator="cpu")).__name__
        'SingleDevice'
    """
    alone = devices == 1 and strategy == "auto" and precision == "32-true" and "LOCAL_RANK" not in os.environ
    if alone and accelerator in ("auto", "cpu", "cuda", "mps"):
        return SingleDevice(accelerator)
    from lightning_fabric import Fabric

    if phases > 1 and (strategy == "ddp" or (strategy == "auto" and devices not in (1, "1", "auto"))):
        strategy = "ddp_find_unused_parameters_true"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # that all is well is no news
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU.*")  # refused below
        try:
            fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision=cast(Any, precision))
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise RequestError(
                f"devices={devices!r} with strategy={strategy!r} cannot be had here ({str(error).partition('. ')[0]}): "
                "pass --devices 1, or --strategy auto"
            ) from None
    if precision == "16-mixed" and fabric.device.type == "cpu":
        raise RequestError("precision is '16-mixed', which a CPU does not have: pass --precision bf16-mixed")
    return SharedEngine(fabric)
