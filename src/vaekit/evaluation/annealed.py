r"""The likelihood by annealed importance sampling, and how far it is from the truth, from both sides."""

__all__ = ["Annealed", "annealed_log_prob", "annealed_metrics", "annealed_weights", "bidirectional_gap"]

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.errors import RequestError
from vaekit.evaluation.chains import Advance, Annealed, Annealing, Meter, lead
from vaekit.evaluation.geometric_path import GeometricPath, Start, check_parts
from vaekit.evaluation.likelihood import bits_per_dim, mean_and_error
from vaekit.evaluation.posterior import evaluating
from vaekit.models import VAE
from vaekit.models.base import ROWS, seed_of, seeded

CHAINS, TEMPERATURES, STEPS = 16, 100, 10
START: Start = "posterior"
LOOSE_GAP = 0.5  # nats


@torch.no_grad()
def annealed_log_prob(
    model: VAE,
    x: Tensor,
    context: Tensor | None = None,
    *,
    chains: int = CHAINS,
    temperatures: int = TEMPERATURES,
    steps: int = STEPS,
    start: Start = START,
    seed: int = 0,
    rows: int = ROWS,
    advance: Advance | None = None,
) -> Tensor:
    r"""Return the log-likelihood by annealed importance sampling, in nats, shape `(n,)`.

    Chains are drawn from a start s(z) and led to the posterior through
    :math:`f_\beta(z) = s(z)^{1 - \beta} p(x, z)^\beta`, by a transition of Hamiltonian Monte Carlo at each
    temperature. Each collects a weight, and their mean is an unbiased estimate of p(x):

    .. math::
        \log \hat p(x) = \log \frac1C \sum_{c=1}^C \prod_{t=1}^T
            \frac{f_{\beta_t}(z_{c,t-1})}{f_{\beta_{t-1}}(z_{c,t-1})}

    So, by Jensen's inequality, its expectation is a lower bound of :math:`\log p(x)`, whatever the settings, and of
    two settings the one with the higher mean is nearer to the truth. With one temperature it is the
    importance-weighted bound.

    *Start.* By default chains start at the encoder's :math:`q(z \mid x)`, and step sizes are counted in its
    standard deviations. On a model trained on MNIST the estimate from there with 100 temperatures was above the one
    from the prior with 300: the prior has to find first what the encoder already says. Starting from the prior asks
    the encoder for nothing. That is the choice where q is poor or has no density, and for a second opinion where it
    might miss a whole region of z: the bound holds then too, but can be loose without any sign of it in its spread.

    *Step sizes.* Two more chains, the pilots, go first; at each temperature they adapt a step size for each example
    to an acceptance of 65 %, from what was accepted at the temperatures before. The chains that count follow with
    the step sizes found. If they adapted their own, as is often done, a transition would depend on the past of the
    chain that it moves, it would leave no :math:`f_\beta` invariant, and the estimate would be biased, a little,
    and not necessarily downwards. As it is, no chain has a part in its own step size, and nothing is biased.

    The draws belong to parts of `rows // chains` examples: in a longer x, all full parts read the same.

    References:
        Annealed importance sampling (Neal, 2001).
        On the quantitative analysis of decoder-based generative models (Wu et al., 2017).

    Arguments:
        model: The model; its decoder and prior must be differentiable in z.
        x: What the likelihood describes, shape `(n, *data_shape)`.
        context: Context, shape `(n, ...)`.
        chains: Independent chains of an example, C. The pilots come on top.
        temperatures: Steps from the start to the posterior, T. The work is in proportion to
            `temperatures * steps * chains`.
        steps: Leapfrog steps of a transition; 0 for none.
        start: "posterior" or "prior".
        seed: Of every draw.
        rows: How many (example, chain) pairs are held at once, but at least one example.
        advance: Called with numbers of examples that add up to n, while the work goes on.

    Raises:
        RequestError: If a setting makes no sense, or the model has no density to anneal; the message says which.

    Example:
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> with seeded(0):
        ...     encoder, decoder = torch.nn.Linear(3, 2), torch.nn.Linear(1, 3)
        ...     x = torch.randn(5, 3)
        >>> likelihood = Gaussian((3,), variance=1.0)
        >>> model = VAE(Conditional(encoder, DiagonalGaussian(1)), Conditional(decoder, likelihood), StandardNormal(1))
        >>> w = decoder.weight.detach()
        >>> exact = torch.distributions.MultivariateNormal(decoder.bias, w @ w.T + torch.eye(3)).log_prob(x)
        >>> bool((annealed_log_prob(model, x) - exact).mean().abs() < 0.05)
        True
    """
    return annealed_weights(
        model,
        x,
        context,
        chains=chains,
        temperatures=temperatures,
        steps=steps,
        start=start,
        seed=seed,
        rows=rows,
        advance=advance,
    ).log_prob


@torch.no_grad()
def annealed_weights(
    model: VAE,
    x: Tensor,
    context: Tensor | None = None,
    *,
    chains: int = CHAINS,
    temperatures: int = TEMPERATURES,
    steps: int = STEPS,
    start: Start = START,
    seed: int = 0,
    rows: int = ROWS,
    advance: Advance | None = None,
) -> Annealed:
    r"""Return the log weight of every chain, and how often transitions were accepted.

    Arguments and errors are those of `annealed_log_prob`.
    """
    settings = Annealing(chains, temperatures, steps, start)
    found = []
    with _undisturbed(model):
        for number, part in enumerate(_parts(len(x), chains, rows)):
            few, given = _plain(x[part]), None if context is None else _plain(context[part])
            meter = Meter(advance, len(few), settings.tuning + settings.annealing)
            with seeded(seed_of(seed, number)):
                ladder = settings.tuned(model, few, given, meter)
                path = GeometricPath(model, few, given, start, chains)
                found.append(lead(path, path.draw(), ladder, steps, meter))
            meter.finish()
    return _joined(found)


@torch.no_grad()
def bidirectional_gap(
    model: VAE,
    n: int = 32,
    context: Tensor | None = None,
    *,
    chains: int = CHAINS,
    temperatures: int = TEMPERATURES,
    steps: int = STEPS,
    start: Start = START,
    seed: int = 0,
    rows: int = ROWS,
    advance: Advance | None = None,
) -> dict[str, float]:
    r"""Return bounds of the mean log-likelihood from both sides, on data that the model itself generates.

    Draw z from the prior and x from :math:`p(x \mid z)`; then z is an exact draw from the posterior of x. Chains
    that start there and go the path backwards, through the same step sizes, estimate :math:`1 / p(x)` without bias,
    so that minus the logarithm of their mean is an upper bound of :math:`\log p(x)` in expectation, as annealing
    forwards is a lower one. The truth is between the two, and the gap is the sum of their errors. Data that resemble
    what the model generates can be expected to have errors of that size; it is no proof for other data.

    References:
        Sandwiching the marginal likelihood using bidirectional Monte Carlo (Grosse, Ghahramani and Adams, 2015).
        On the quantitative analysis of decoder-based generative models (Wu et al., 2017), section 4.2.

    Arguments:
        model: The model.
        n: How many examples to generate.
        context: Context of each of them, shape `(n, ...)`.
        chains: As for `annealed_log_prob`, and so the rest; the upper bound has chains of its own.
        temperatures: Steps from the start to the posterior.
        steps: Leapfrog steps of a transition.
        start: "posterior" or "prior".
        seed: Of every draw.
        rows: How many (example, chain) pairs are held at once.
        advance: Called with numbers of examples that add up to n.

    Returns:
        `lower`, `upper` and `gap` in nats, and `acceptance`, each with its `_se`, the standard error over examples.

    Raises:
        RequestError: As for `annealed_log_prob`; and if n is less than 2, or the model cannot draw x.
    """
    settings = Annealing(chains, temperatures, steps, start)
    if n < 2:
        raise RequestError(f"n is {n}; expected at least 2 simulated examples, for a standard error: pass 32")
    lower, upper = [], []
    with _undisturbed(model):
        for number, part in enumerate(_parts(n, chains, rows)):
            given = None if context is None else _plain(context[part])
            meter = Meter(advance, len(range(n)[part]), settings.tuning + 2 * settings.annealing)
            with seeded(seed_of(seed, number)):
                z, x = _simulate(model, len(range(n)[part]), given)
                ladder = settings.tuned(model, x, given, meter)
                path = GeometricPath(model, x, given, start, chains)
                lower.append(lead(path, path.draw(), ladder, steps, meter))
                upper.append(lead(path, z.expand(chains, *z.shape), ladder.reversed(), steps, meter))
            meter.finish()
    forward, backward = _joined(lower), _joined(upper)
    sides = {"lower": forward.log_prob, "upper": -backward.log_prob}
    sides |= {"gap": sides["upper"] - sides["lower"], "acceptance": (forward.acceptance + backward.acceptance) / 2}
    result = {}
    for name, values in sides.items():
        result[name], result[f"{name}_se"] = mean_and_error(values)
    return result


def annealed_metrics(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    chains: int = CHAINS,
    temperatures: int = TEMPERATURES,
    steps: int = STEPS,
    start: Start = START,
    simulated: int = 32,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Advance | None = None,
) -> dict[str, Any]:
    r"""Return the negative log-likelihood of data by annealing, in nats, and the gap of both bounds on simulated data.

    The transform's draws are those of `likelihood_metrics` with the same seed, so that both describe the same data.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        chains: As for `annealed_log_prob`, and so the next three.
        temperatures: Steps from the start to the posterior.
        steps: Leapfrog steps of a transition.
        start: "posterior" or "prior".
        simulated: Examples of the bidirectional check; 0 for none.
        seed: Of the transform's draws and of the chains'.
        device: Where to compute.
        advance: Called with numbers of examples that add up to `len(x) + simulated`.

    Returns:
        `nll_ais`, `acceptance` and, if asked for, `bdmc_lower`, `bdmc_upper`, `bdmc_gap` of log-likelihoods, each
        with its `_se`, the standard error over examples; `bits_per_dim_ais` where the transform dequantises;
        the settings; `protocol`, and `warning` where the check finds the bound loose, in words.

    Raises:
        RequestError: As for `annealed_log_prob`.
    """
    settings = Annealing(chains, temperatures, steps, start)
    options: dict[str, Any] = {"chains": chains, "temperatures": temperatures, "steps": steps, "start": start}
    found = [
        annealed_weights(model, block, given, seed=seed_of(seed, number), advance=advance, **options)
        for number, (block, given) in enumerate(pairs(x, transform, context, seed, device))
    ]
    nll, error = mean_and_error(-torch.cat([block.log_prob for block in found]))
    result: dict[str, Any] = {"nll_ais": nll, "nll_ais_se": error}
    for name, value in bits_per_dim(nll, error, transform, x.shape[1:]).items():
        result[name.replace("bits_per_dim", "bits_per_dim_ais")] = value
    result["acceptance"], result["acceptance_se"] = mean_and_error(torch.cat([block.acceptance for block in found]))
    if simulated:
        told = None if context is None else torch.as_tensor(np.resize(context, (simulated, *context.shape[1:])))
        given = None if told is None else told.to(device)
        check = bidirectional_gap(model, simulated, given, seed=seed_of(seed, -1), advance=advance, **options)
        result |= {f"bdmc_{name}": value for name, value in check.items() if not name.startswith("acceptance")}
        result["bdmc_examples"] = simulated
        if check["gap"] > LOOSE_GAP:
            result["warning"] = (
                f"on data of the model's own, the annealed bounds from below and above are {check['gap']:.2g} nats "
                f"apart, so the NLL may be too high by up to about as much: pass more temperatures ({4 * temperatures})"
            )
    result |= options
    result["protocol"] = _protocol(settings, transform, len(x), simulated, seed)
    return result


def _protocol(settings: Annealing, transform: Transform, n: int, simulated: int, seed: int) -> str:
    parts = [
        f"{n:,} examples",
        transform.describe() + (f" drawn once, seed {seed}" if transform.random else ""),
        f"NLL by annealed importance sampling from the {settings.start}, {settings.chains} chains, "
        f"{settings.temperatures:,} temperatures, {settings.steps} leapfrog steps",
    ]
    if simulated:
        parts.append(f"both bounds on {simulated} simulated examples")
    return "; ".join([*parts, f"seed {seed}, nats an example, ± is one standard error over examples"])


def _parts(n: int, chains: int, rows: int) -> Iterator[slice]:
    examples = max(1, rows // chains)
    for first in range(0, n, examples):
        yield slice(first, min(first + examples, n))


def _joined(parts: list[Annealed]) -> Annealed:
    if not parts:
        raise RequestError("there are no examples to anneal: pass at least 1")
    return Annealed(torch.cat([part.log_weights for part in parts], 1), torch.cat([part.acceptance for part in parts]))


def _simulate(model: VAE, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Draw z from the prior, and x from the decoder at z."""
    prior = model.latent(context)
    z = prior.sample(() if prior.batch_shape else (n,))
    try:
        return z, model.decode(z, context).sample()
    except NotImplementedError:
        raise RequestError(
            "the decoder's distribution cannot be drawn from, and bounds from both sides need simulated data: "
            "pass simulated=0"
        ) from None


def _plain(x: Tensor) -> Tensor:
    # A tensor made in inference mode takes no part in gradients, even as a constant.
    return x.clone() if x.is_inference() else x


@contextlib.contextmanager
def _undisturbed(model: VAE) -> Iterator[None]:
    """Evaluate the model as it is after training, with gradients possible whatever the caller's mode."""
    check_parts(model)
    with evaluating(model), torch.inference_mode(False), torch.no_grad():
        yield
