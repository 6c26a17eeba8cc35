r"""Small models to explore, with random weights."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vaekit.data import from_arrays
from vaekit.data.transforms import Scale
from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, StandardNormal
from vaekit.explorer.subject import Subject
from vaekit.models import VAE
from vaekit.models.base import seeded
from vaekit.networks import MLP, OneHot


def _small(latent_dim: int = 2, shape: tuple[int, ...] = (1, 4, 4), conditional: bool = False, n: int = 120) -> Subject:
    random = np.random.default_rng(0)
    data = from_arrays(random.integers(0, 256, (n, *shape), dtype=np.uint8), labels=np.arange(n) % 3, test=n // 2)
    posterior, likelihood = DiagonalGaussian(latent_dim), Bernoulli(shape)
    told: dict[str, Any] = {"context_dim": 3 if conditional else 0}
    with seeded(0):
        model = VAE(
            Conditional(MLP(shape, posterior.parameter_shape, (8,), **told), posterior),
            Conditional(MLP((latent_dim,), likelihood.parameter_shape, (8,), **told), likelihood),
            StandardNormal(latent_dim),
            context=OneHot(3) if conditional else None,
        ).eval()
    return Subject(model, data, Scale(256), "small")


@pytest.fixture(scope="session")
def small() -> Callable[..., Subject]:
    """Return a function that makes a VAE of images in three classes, half of which are tested on."""
    return _small


@contextlib.contextmanager
def _served(service: Any) -> Iterator[Any]:
    """A server in a thread of its own, as long as the block runs."""
    from vaekit.explorer.server import Server

    server, started, ends = Server(service), threading.Event(), list[Any]()

    async def run() -> None:
        stop = asyncio.Event()
        ends.append((asyncio.get_running_loop(), stop))
        started.set()
        await server.run(stop)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield server
    loop, stop = ends[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def served() -> Callable[..., Any]:
    """Return a context manager that serves the explorer from a thread of its own."""
    return _served
