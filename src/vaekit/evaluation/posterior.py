r"""What the posterior does with its latent units."""

__all__ = ["ACTIVE_VARIANCE", "Codes", "codes", "evaluating", "posterior_metrics", "random_rows"]

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.distributions.rates import closed_rate
from vaekit.errors import RequestError
from vaekit.models import VAE

ACTIVE_VARIANCE = 0.01  # Burda, Grosse and Salakhutdinov (2016), section 5.2


@dataclass(frozen=True)
class Codes:
    r"""Posterior means, shape `(n, latent_dim)`, and the mean rate of each unit in nats, where it has a closed form."""

    mean: NDArray[np.float32]
    unit_rates: NDArray[np.float64] | None


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    r"""Put a model in evaluation mode inside the block, and each of its modules back as it was after it.

    In training mode dropout would make the codes random, and batch normalisation would learn from test data.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.Linear(2, 2).eval())
        >>> with evaluating(model):
        ...     model[0].training
        False
        >>> model[0].training, model[1].training
        (True, False)
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def random_rows(n: int, size: int, seed: int) -> NDArray[np.int64]:
    r"""Return the numbers of `size` of n rows drawn without replacement, in order; all of them if there are no more.

    The first rows would not do: data are often stored by class, and MNIST's test set is easier in its first half.

    Raises:
        RequestError: If `seed` is negative.

    Example:
        >>> random_rows(3, 5, seed=0).tolist(), len(random_rows(100, 10, seed=0))
        ([0, 1, 2], 10)
    """
    if seed < 0:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 up: pass seed=0")
    if size >= n:
        return np.arange(n)
    # The stream of RandomState is frozen by NumPy's policy, that of default_rng is not.
    state = np.random.SeedSequence(seed).generate_state(1)
    return np.sort(np.random.RandomState(state).permutation(n)[:size])


@torch.no_grad()
def codes(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Codes:
    r"""Encode data, for a conditional model with their contexts: posterior means and rates by unit.

    Of a discrete model these are what its codes stand for; see `vaekit.models.VAE.coordinates`.
    """
    means: list[Tensor] = []
    rates: list[Tensor] = []
    with evaluating(model):
        for block, given in pairs(x, transform, context, seed, device):
            q = model.encode(block, given)
            means.append(model.coordinates(q.mean))
            rates += [] if (rate := _unit_rates(q, model.latent(given))) is None else [rate]
    unit_rates = cast(NDArray[np.float64], torch.cat(rates).double().mean(0).cpu().numpy()) if rates else None
    return Codes(torch.cat(means).float().cpu().numpy(), unit_rates)


def _unit_rates(q: Distribution, prior: Distribution) -> Tensor | None:
    """KL of each unit on its own, shape `(n, latent_dim)`, where posterior and prior both factorise."""
    try:
        return closed_rate(q, prior)[1]
    except NotImplementedError:
        return None


def posterior_metrics(encoded: Codes) -> dict[str, Any]:
    r"""Return the number of active units and the rate of each unit.

    A unit u is active if its posterior mean moves with the data, :math:`\operatorname{Var}_x \mathbb E_q[u] > 0.01`.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), section 5.2.

    Example:
        >>> still, moving = np.zeros(100), np.linspace(-1, 1, 100)
        >>> posterior_metrics(Codes(np.stack([still, moving], 1), None))
        {'active_units': 1, 'latent_dim': 2}
    """
    active = encoded.mean.astype(np.float64).var(axis=0) > ACTIVE_VARIANCE
    result: dict[str, Any] = {"active_units": int(active.sum()), "latent_dim": len(active)}
    if encoded.unit_rates is not None:
        result["unit_rates"] = [round(float(rate), 4) for rate in encoded.unit_rates]
        result["unit_active"] = [bool(a) for a in active]
    return result
