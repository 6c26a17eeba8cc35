r"""Posterior collapse and its relatives, told from the numbers in plain words, with what to try."""

__all__ = ["code_use_metrics", "diagnose"]

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.errors import RequestError
from vaekit.evaluation.likelihood import mean_and_error
from vaekit.evaluation.posterior import ACTIVE_VARIANCE, evaluating, random_rows
from vaekit.models import VAE
from vaekit.models.base import seed_of, seeded

_NOTHING = 0.1  # nats: a seventh of a bit about a whole example
_TOLERATED = 0.05  # of the examples may have few effective importance samples
_MANY = 1000  # importance samples that are meant as an estimate of the NLL
_IDLE = 0.2  # of the codes in use in effect; a codebook that collapses has a few
_FEW_DRAWS = 10  # effective importance samples, under which an estimate hangs on a few draws


@torch.no_grad()
def code_use_metrics(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    images: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return how many nats the decoder loses when it gets the code of another example.

    .. math::
        \text{code gain} = \mathbb E_{x, x'} \left[ \mathbb E_{q(z \mid x)} \log p(x \mid z)
        - \mathbb E_{q(z \mid x')} \log p(x \mid z) \right]

    It is zero if the decoder ignores z, whatever the rate says. Where the encoder is the best one for its decoder,
    the gain is at least the mutual information of the aggregate posterior, for else one code for all would be better.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`, of at least 2 examples.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        images: How many examples to use: at random, or all where there are no more.
        seed: Of the transform's draws, of those of z, of the choice of examples and of who gets whose code.
        device: Where to compute.
        advance: Called with the number of examples done.

    Returns:
        `shuffled_distortion`, :math:`-\log p(x \mid z')` with the code z' of another example, and `code_gain`, by
        which that is above the distortion, each with its `_se`, the standard error over examples.

    Raises:
        RequestError: If there are fewer than 2 examples, none of which could then get another's code.

    Example:
        >>> import numpy as np
        >>> from vaekit.data.transforms import Identity
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> decoder = torch.nn.Linear(2, 3)
        >>> _ = torch.nn.init.zeros_(decoder.weight)  # it cannot use its input
        >>> encoder = Conditional(torch.nn.Linear(3, 4), DiagonalGaussian(2))
        >>> model = VAE(encoder, Conditional(decoder, Gaussian((3,))), StandardNormal(2))
        >>> x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
        >>> code_use_metrics(model, x, Identity())["code_gain"]
        0.0
    """
    if min(len(x), images) < 2:
        raise RequestError(
            f"there are {min(len(x), images)} examples; expected at least 2, so that one can get the other's code: "
            "pass more"
        )
    chosen = random_rows(len(x), images, seed)
    x, context = x[chosen], None if context is None else context[chosen]
    shuffled, gain = [], []
    with evaluating(model):
        for number, (block, given) in enumerate(pairs(x, transform, context, seed, device)):
            with seeded(seed_of(seed, number)):
                z = model.encode(block, given).sample()
                order = torch.randperm(len(z)).to(z.device)  # a circle, in which everyone gets the neighbour's
            other = torch.empty_like(z)
            other[order] = z[order.roll(1)]
            distortion = -model.decode(z, given).log_prob(block)
            shuffled.append(-model.decode(other, given).log_prob(block))
            gain.append(shuffled[-1] - distortion)
            if advance is not None:
                advance(len(block))
    result: dict[str, Any] = {}
    for name, values in (("shuffled_distortion", shuffled), ("code_gain", gain)):
        result[name], result[f"{name}_se"] = mean_and_error(torch.cat(values))
    return result | {
        "protocol": f"{len(x):,} examples, each decoded from a draw of its own code and of another example's, seed "
        f"{seed}; nats, ± is one standard error over examples"
    }


def diagnose(metrics: Mapping[str, Any]) -> list[str]:
    r"""Return what is wrong with a model, in plain words, with what to try; an empty list if nothing is seen.

    Each warning looks at the numbers that are there. Options are those of `vaekit train`; a recipe that lacks one
    says so. Differences are held against the rate, which is in nats whatever the data's units are.

    Arguments:
        metrics: Numbers of one split by the names under which the evaluation reports them, families of them nested
            or not: `rate`, `active_units`, `latent_dim`, `unit_rates`, `unit_active`, `perplexity`, `codes`,
            `code_gain`, `amortisation_gap`, `ess`, `ess_low`, `nll_samples`; and `train_elbo` and `validation_elbo`,
            as the log of a run has them.

    Example:
        >>> diagnose({"rate": 25.1, "active_units": 19, "latent_dim": 24})
        []
        >>> diagnose({"rate": 0.01, "active_units": 0, "latent_dim": 24})[0]  # doctest: +ELLIPSIS
        'The posterior has collapsed: the rate is 0.01 nats and none of the 24 units is active, ...'
    """
    return list(_warnings(_Numbers(metrics)))


class _Numbers:
    """Looks numbers up by name, in a mapping and in those within it; what is no finite number is not there."""

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self.flat: dict[str, Any] = {}
        for value in metrics.values():
            if isinstance(value, Mapping):
                self.flat |= _Numbers(value).flat
        self.flat |= {name: value for name, value in metrics.items() if not isinstance(value, Mapping)}

    def __call__(self, name: str) -> float:
        """Return the number, or NaN, with which every comparison is false."""
        value = self.flat.get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan

    def series(self, name: str) -> list[float]:
        value = self.flat.get(name)
        return [float(entry) for entry in value] if isinstance(value, list | tuple) else []


def _warnings(number: _Numbers) -> Iterator[str]:
    rate, active, units = number("rate"), number("active_units"), number("latent_dim")
    if rate < _NOTHING:
        inactive = f" and none of the {units:.0f} units is active" if active == 0 else ""
        yield (
            f"The posterior has collapsed: the rate is {rate:.2g} nats{inactive}, so codes say nothing about x. "
            "Let the weight of the rate rise over more epochs (--warmup 10) or several times (--warmup 5 --cycles 4), "
            "or lower it (--beta 1, then 0.5). With --likelihood squared-error, whose variance is fixed, pass "
            "--likelihood gaussian, which learns it."
        )
    elif active == 0:
        yield (
            f"No unit is active: no posterior mean varies by more than {ACTIVE_VARIANCE} over the data. Train for "
            "more epochs (--epochs), or let the weight of the rate rise more slowly (--warmup 10)."
        )
    elif units >= 10 and active <= units / 10:
        yield (
            f"Only {active:.0f} of {units:.0f} units are active, so nearly all of z is unused. If reconstructions are "
            "poor, let the weight of the rate rise over more epochs (--warmup 10) or lower it (--beta 0.5); if they "
            f"are good, the data need no more, and {2 * active:.0f} units in all would do (--latent-dim)."
        )
    elif active <= units / 2 and units >= 4:
        yield (
            f"{units - active:.0f} of {units:.0f} units are inactive. They cost nothing and do no harm, but "
            f"{math.ceil(1.25 * active):.0f} in all would do as well (--latent-dim); should more of them be of use, "
            "let the weight of the rate rise over more epochs (--warmup 10)."
        )
    perplexity, codes = number("perplexity"), number("codes")
    if perplexity < _IDLE * codes:
        yield (
            f"Most codes are idle: their perplexity is {perplexity:.1f} of {codes:.0f}. Use running means "
            "(--quantiser ema) that start from the data (without --no-kmeans), and put idle codes elsewhere "
            "(--expire 0.3); if they are, train for more epochs (--epochs), or the data need no more codes "
            f"(--codes {max(2, 2 * math.ceil(perplexity)):.0f})."
        )
    yield from _waste(number, rate)
    yield from _gaps(number, rate)


def _waste(number: _Numbers, rate: float) -> Iterator[str]:
    """Rate that buys nothing."""
    pairs = zip(number.series("unit_rates"), number.series("unit_active"), strict=False)
    idle = sum(cost for cost, active in pairs if not active)
    if rate >= _NOTHING and idle > max(_NOTHING, rate / 20):
        yield (
            f"Units that are inactive cost {idle:.2f} of the {rate:.2f} nats of the rate: their posterior is not the "
            "prior, though it is the same for every x. Train for more epochs (--epochs); if it stays, lower the step "
            "size (--learning-rate 0.0003)."
        )
    gain, error = number("code_gain"), number("code_gain_se")
    if rate >= _NOTHING and gain + 2 * (0.0 if math.isnan(error) else error) < rate:
        yield (
            f"The decoder makes little of z: a code costs {rate:.2f} nats, and is worth {gain:.2f} against the code of "
            "another example. Train for more epochs (--epochs), let the weight of the rate rise more slowly "
            "(--warmup 10), or widen the decoder (--hidden)."
        )


def _gaps(number: _Numbers, rate: float) -> Iterator[str]:
    """Bounds that are further from each other, or from the likelihood, than they should be."""
    train, validation = number("train_elbo"), number("validation_elbo")
    if train - validation > max(1.0, rate / 5):
        yield (
            f"The model overfits: the bound is {train - validation:.2f} nats lower in validation than in training. "
            "Stop when validation no longer improves (--patience 5), make the networks smaller (--hidden), or train "
            "on more data."
        )
    gap = number("amortisation_gap")
    if gap > max(1.0, rate / 5):
        yield (
            f"The encoder is {gap:.2f} nats an example off the best posteriors of its family. Widen it (--hidden), or "
            "train for more epochs (--epochs)."
        )
    draws, low = number("ess"), number("ess_low")
    if low > _TOLERATED or (math.isnan(low) and draws < _FEW_DRAWS):
        if (k := number("nll_samples")) < _MANY:  # asked for as a first look, and a long warning would be no news
            yield f"The NLL of {k:.0f} importance samples is likely too high: --nll-samples 5000 comes closer."
            return
        where = "" if math.isnan(low) else f" For {low:.0%} of the examples they are too few."
        yield (
            f"Of the importance samples {draws:.1f} count in effect, so the NLL is likely too high.{where} Take more "
            "(--nll-samples 5000), or rely on annealed importance sampling."
        )
