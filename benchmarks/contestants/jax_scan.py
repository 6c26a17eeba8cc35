r"""JAX with a whole epoch in one compiled scan: no Python between steps, buffers donated, Adam by hand."""

__all__ = ["train"]

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from benchmarks.contestants import BATCH, HIDDEN, LATENT, LEARNING_RATE, PIXELS
from benchmarks.laps import Laps

Weights = dict[str, jax.Array]
State = tuple[Weights, Weights, Weights, jax.Array]


def _initial(key: jax.Array) -> Weights:
    shapes = {"1": (PIXELS, HIDDEN), "2": (HIDDEN, 2 * LATENT), "3": (LATENT, HIDDEN), "4": (HIDDEN, PIXELS)}
    weights: Weights = {}
    for part, (name, shape) in zip(jax.random.split(key, 4), shapes.items(), strict=True):
        bound = shape[0] ** -0.5
        weights["w" + name] = jax.random.uniform(part, shape, minval=-bound, maxval=bound)
        weights["b" + name] = jnp.zeros(shape[1])
    return weights


def _loss(w: Weights, x: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the negative bound, in nats, mean over the batch."""
    mean, log_scale = jnp.split(jnp.tanh(x @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"], 2, axis=1)
    z = mean + jnp.exp(log_scale) * noise
    logits = jnp.tanh(z @ w["w3"] + w["b3"]) @ w["w4"] + w["b4"]
    distortion = jnp.sum(jax.nn.softplus(logits) - x * logits)
    rate = jnp.sum(0.5 * (mean**2 + jnp.exp(2 * log_scale) - 1) - log_scale)
    return (distortion + rate) / len(x)


def _adam(state: State, gradient: Weights) -> State:
    w, m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
    size = LEARNING_RATE / (1 - 0.9**t)
    correction = 1 / jnp.sqrt(1 - 0.999**t)
    w = jax.tree.map(lambda w, m, v: w - size * m / (jnp.sqrt(v) * correction + 1e-8), w, m, v)
    return w, m, v, t


def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    """Train, and print the mean loss of every epoch."""
    data = jnp.asarray(x)
    steps = len(x) // BATCH

    def step(state: State, inputs: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
        rows, key = inputs
        for_bits, for_noise = jax.random.split(key)
        grey = data[rows]
        bits = (jax.random.uniform(for_bits, grey.shape) * 255 < grey).astype(jnp.float32)
        noise = jax.random.normal(for_noise, (BATCH, LATENT))
        loss, gradient = jax.value_and_grad(_loss)(state[0], bits, noise)
        return _adam(state, gradient), loss

    def epoch(state: State, key: jax.Array) -> tuple[State, jax.Array]:
        for_order, for_steps = jax.random.split(key)
        rows = jax.random.permutation(for_order, len(data))[: steps * BATCH].reshape(steps, BATCH)
        state, losses = jax.lax.scan(step, state, (rows, jax.random.split(for_steps, steps)))
        return state, losses.mean()

    run = jax.jit(epoch, donate_argnums=0)
    weights = _initial(jax.random.key(0))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state: State = (weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros(()))
    for number in range(laps.epochs):
        state, loss = run(state, jax.random.key(number + 1))
        print(f"epoch {number} loss {float(loss):.3f}")  # float() waits until the epoch is done
        laps()
