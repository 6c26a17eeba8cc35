r"""Small data, small plans, and a signal at a chosen training step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch

from vaekit.data import Dataset, Split, load_dataset
from vaekit.data.transforms import Binarise, Scale
from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, Gaussian, Point, StandardNormal
from vaekit.models import VAE, seeded
from vaekit.networks import MLP
from vaekit.objectives import ELBO
from vaekit.plan import Plan


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """600 training and 100 validation digits, so that an epoch has six steps of 100."""
    data = load_dataset("digits")
    return Dataset(
        name="few digits",
        train=Split(data.train.x[:600], data.train.labels[:600]),
        validation=Split(data.validation.x[:100], data.validation.labels[:100]),
        test=Split(data.test.x[:100], data.test.labels[:100]),
        levels=17,
        suggested="bernoulli",
    )


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """Return plans of the same small VAE; `point=True` makes one without any noise."""

    def make(*, point: bool = False, beta: Any = 1.0, transform: Any = None, seed: int = 0, **options: Any) -> Plan:
        with seeded(seed):
            posterior = Point(3) if point else DiagonalGaussian(3)
            likelihood = Gaussian((1, 8, 8)) if point else Bernoulli((1, 8, 8))
            model = VAE(
                Conditional(MLP((1, 8, 8), posterior.parameter_shape, (8,), "tanh"), posterior),
                Conditional(MLP((3,), likelihood.parameter_shape, (8,), "tanh"), likelihood),
                StandardNormal(3),
                ELBO(beta),
            )
        transform = transform or (Scale(17) if point else Binarise(17))
        return Plan(model, transform, **{"epochs": 4, "batch_size": 100, "learning_rate": 0.01, **options})

    return make


@pytest.fixture
def signal_at() -> Callable[..., AbstractContextManager[None]]:
    """Inside the block, send this process a signal in the middle of a training step, counted from one."""

    @contextmanager
    def sending(step: int, *, number: int = signal.SIGINT, times: int = 1) -> Iterator[None]:
        original, done = Binarise.__call__, 0

        def call(self: Binarise, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
            nonlocal done
            done += torch.is_grad_enabled() and generator is None  # a training step, and not a validation
            for _ in range(times if done == step else 0):
                signal.raise_signal(number)
            return original(self, x, generator)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Binarise, "__call__", call)
            yield

    return sending
