r"""How many symbols of a sequence come back from its code, with the true ones before them and without."""

__all__ = ["accuracy_metrics", "require_numbers"]

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.distributions.autoregressive_sequence import AutoregressiveSequence
from vaekit.errors import RequestError
from vaekit.evaluation.likelihood import mean_and_error
from vaekit.evaluation.posterior import evaluating
from vaekit.models import VAE
from vaekit.models.base import seed_of, seeded
from vaekit.music.tokens import NO_EVENT, NOTE_OFF, STEPS_PER_BAR, SYMBOLS

# What of the families is measured of numbers, and why symbols will not do.
_OF_NUMBERS = {
    "reconstruction": "it takes squared differences: measure accuracy",
    "generation": "it holds means and covariances of values or of features against each other: leave it out",
}


def require_numbers(family: str, data: Any) -> None:
    r"""Refuse data of symbols for a family of metrics that is measured of numbers.

    Raises:
        RequestError: If they are.
    """
    if data.suggested == "categorical" and family in _OF_NUMBERS:
        raise RequestError(f"examples are symbols, whose numbers are names, but {_OF_NUMBERS[family]}")


@torch.no_grad()
def accuracy_metrics(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return the share of symbols that come back from the mean of the posterior, in three ways of decoding.

    .. math::
        \text{teacher-forced} = \frac1T \sum_t \Big[ \arg\max_s p(s \mid x_{<t}, z) = x_t \Big], \qquad
        \text{free-running} = \frac1T \sum_t \Big[ \hat x_t = x_t \Big], \quad
        \hat x_t = \arg\max_s p(s \mid \hat x_{<t}, z)

    The first guesses each symbol from the true ones before it, the second from its own guesses, as the model does when
    it is used: what it lacks beside the first was not in the code. The third draws symbols as they are probable, at
    a temperature. `chance` is the share of the most common symbol of these examples, which a guess that knows nothing
    reaches: of a melody, that no note begins and none ends.

    Of melodies, `notes` are counted beside these: the share of the steps where a note begins whose symbol, the pitch,
    comes back. Nothing is won there by guessing what is common. Told bar by bar they show how far into a melody the
    code reaches: where the share falls to that of a decoder without a code, the code says nothing any more.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), table 1,
        whose free-running decoder draws its symbols.

    Arguments:
        model: A model whose decoder's distribution is an `AutoregressiveSequence`.
        x: Data as stored, shape `(n, steps)`.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        temperature: Of the symbols that are drawn.
        seed: Of these draws.
        device: Where to compute.
        advance: Called with the number of examples done.

    Returns:
        `teacher_forced`, `free_running` and `sampled`, means over sequences of each one's share, and `chance`; for
        melodies the same of notes, `notes_teacher_forced` and so on, of the sequences that have any, and `notes`, how
        many begin in all of them; each share with its `_se`, the standard error over sequences; of all notes of each
        bar the share that comes back, in lists, `bars_teacher_forced` and so on; and the `protocol`.

    Raises:
        RequestError: If the model is none of sequences of symbols, or the temperature is negative.
    """
    shares: dict[str, list[Tensor]] = {}
    bars: dict[str, Tensor] = {}
    notes = common = 0
    melodies = False
    with evaluating(model):
        for number, (block, given) in enumerate(pairs(x, transform, context, seed, device)):
            p = model.decode(model.encode(block, given).mean, given)
            if not isinstance(p, AutoregressiveSequence):
                raise RequestError(
                    f"the model gives {type(p).__name__} and no sequence of symbols; expected one to count symbols "
                    "of: measure reconstruction, or train the recipe music-vae-2bar"
                )
            if number == 0:
                melodies = p.network.levels == SYMBOLS
                common = int(np.bincount(np.asarray(x[:]).astype(np.int64).ravel()).argmax())
            with seeded(seed_of(seed, number)):
                drawn = p.sample(temperature=temperature)
            guesses = {
                "teacher_forced": _likeliest(p, block),
                "free_running": p.mean,
                "sampled": drawn,
                "chance": torch.full_like(block, common),
            }
            begins = (block != NOTE_OFF) & (block != NO_EVENT)
            some = begins.any(1)
            notes += int(begins.sum())
            for name, guess in guesses.items():
                right = (guess == block).double()
                shares.setdefault(name, []).append(right.mean(1))
                if melodies and name != "chance":
                    of_notes = (right * begins)[some].sum(1) / begins[some].sum(1)
                    shares.setdefault(f"notes_{name}", []).append(of_notes)
                    bars[name] = bars.get(name, 0.0) + _by_bar(right * begins)
            if melodies:
                bars["all"] = bars.get("all", 0.0) + _by_bar(begins.double())
            if advance is not None:
                advance(len(block))
    result: dict[str, Any] = {"notes": notes} if melodies else {}
    for name, parts in shares.items():
        if len(values := torch.cat(parts)):
            result[name], result[f"{name}_se"] = mean_and_error(values)
    for name in bars.keys() - {"all"}:
        result[f"bars_{name}"] = [
            right / count if count else None
            for right, count in zip(bars[name].tolist(), bars["all"].tolist(), strict=True)
        ]
    return result | {"protocol": _protocol(len(x), temperature, melodies, seed)}


def _by_bar(marks: Tensor) -> Tensor:
    """Add up marks of steps, shape `(n, steps)`, over examples and over the steps of each bar."""
    return torch.stack([bar.sum() for bar in marks.split(STEPS_PER_BAR, dim=1)])


def _likeliest(p: AutoregressiveSequence, x: Tensor) -> Tensor:
    """The likeliest symbol given the true ones before it, of a few sequences at a time: logits take memory."""
    found = []
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        few = AutoregressiveSequence(p.network, p.codes[rows], p.event_shape[0])
        found.append(few.logits(x[rows]).argmax(-1))
    return torch.cat(found)


_ROWS = 100


def _protocol(n: int, temperature: float, melodies: bool, seed: int) -> str:
    parts = [
        f"{n:,} sequences; share of the symbols that come back from the mean of the posterior",
        "teacher_forced: the likeliest given the true ones before it; free_running: the likeliest given its own; "
        f"sampled: drawn at temperature {temperature:g}, seed {seed}",
        "chance: the most common symbol always",
    ]
    if melodies:
        parts.append("notes: of the steps where a note begins, those with its pitch")
    return "; ".join([*parts, "means over sequences, ± is one standard error"])
