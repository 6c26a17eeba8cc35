r"""One update of a model: every phase's loss, its gradient and the optimiser's step."""

__all__ = ["Update"]

import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from vaekit.plan import Plan
from vaekit.training.acceleration import compilable, compiling_pays
from vaekit.training.adam import Optimizer
from vaekit.training.engine import Engine, SingleDevice
from vaekit.training.feed import Feed
from vaekit.training.step import Step


class Update:
    r"""The compiled or plain step of each phase, with its optimiser.

    Arguments:
        plan: The model, the optimiser and the clipping.
        feed: The rows.
        engine: Where it runs.
        compile: Compile the step: True, False, or "auto" to do so when it is expected to pay.
    """

    def __init__(self, plan: Plan, feed: Feed, engine: Engine, compile: bool | str) -> None:
        self.plan, self.engine, self.model = plan, engine, plan.model
        self.plain = Step(self.model, feed.resident, plan.transform, feed.given, plan.augment)
        self.compiled = self._decide(feed, compile)
        self.phases = self.model.phases()
        self.terms = {phase: self.plain.term_names(phase, feed.examples[:2]) for phase in self.phases}
        optimizers = [self._optimizer(phase, parameters) for phase, parameters in self.phases.items()]
        forward = cast(torch.nn.Module, torch.compile(self.plain)) if self.compiled else self.plain
        self.step, self.optimizers = engine.setup(forward, optimizers)
        self.call: Callable[..., tuple[Tensor, Tensor]] = self.step
        self.untried = self.compiled

    def __call__(self, rows: tuple[Tensor, ...], share: float) -> Tensor:
        r"""Update the model by one batch, and return the sum of each term over it, phase after phase.

        Arguments:
            rows: Row numbers, and the rows themselves if they are streamed.
            share: Of the learning rate.
        """
        sums = [self._phase(*one, rows, share) for one in zip(self.phases, self.optimizers, strict=True)]
        self.untried = False
        return torch.cat(sums) if len(sums) > 1 else sums[0]

    def named(self, values: list[float]) -> dict[str, float]:
        """Name the terms of all phases; of terms of one name, those of the first phase that has it."""
        named: dict[str, float] = {}
        for name, value in zip((name for terms in self.terms.values() for name in terms), values, strict=True):
            named.setdefault(name, value)
        return named

    def _decide(self, feed: Feed, compile: bool | str) -> bool:
        if compile != "auto":
            return bool(compile)
        steps = feed.steps * self.plan.epochs
        rows = steps * feed.batch * getattr(self.model.objective, "samples", 1)
        work = 3 * rows * sum(p.numel() for p in self.model.parameters())
        return compilable(self.model) and compiling_pays(work, self.engine.device, steps)

    def _optimizer(self, phase: str, parameters: list[torch.nn.Parameter]) -> Optimizer:
        own, plan = self.plan.phases.get(phase, {}), self.plan
        return self.engine.optimizer(
            parameters,
            self._learning_rate(phase),
            betas=own.get("betas", plan.betas),
            eps=own.get("eps", plan.eps),
            weight_decay=own.get("weight_decay", plan.weight_decay),
            decoupled=plan.optimizer == "adamw",
        )

    def _learning_rate(self, phase: str) -> float:
        return float(self.plan.phases.get(phase, {}).get("learning_rate", self.plan.learning_rate))

    def _phase(self, phase: str, optimizer: Optimizer, rows: tuple[Tensor, ...], share: float) -> Tensor:
        loss, sums = self._forward(rows, phase)
        self.engine.backward(loss)
        if self.plan.clip is not None:
            self.engine.clip(self.step, optimizer, self.plan.clip)
        for group in optimizer.param_groups:
            group["lr"] = share * self._learning_rate(phase)
        optimizer.step()
        # The loss of a phase has gradients for the parameters of others too, which must not be in their next step.
        (optimizer if len(self.phases) == 1 else self.model).zero_grad(set_to_none=True)
        return sums

    def _forward(self, rows: tuple[Tensor, ...], phase: str) -> tuple[Tensor, Tensor]:
        numbers, *stored = rows
        if not self.untried:
            return self.call(numbers, phase, *stored)
        state = torch.get_rng_state()
        try:
            return self.call(numbers, phase, *stored)
        except Exception as error:
            if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
                raise
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"the step could not be compiled ({reason}); training goes on uncompiled", stacklevel=2)
            torch.set_rng_state(state)
            self.compiled = False
            self.call = self.plain if isinstance(self.engine, SingleDevice) else _uncompiled(self.step)
            return self.call(numbers, phase, *stored)


def _uncompiled(step: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(*inputs: Any) -> tuple[Tensor, Tensor]:
        with torch.compiler.set_stance("force_eager"):
            return step(*inputs)

    return call
