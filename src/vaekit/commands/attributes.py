r"""Attributes: examples moved along the direction in latent space in which one of them lies."""

__all__ = ["attribute", "attribute_values", "direction", "known_attributes"]

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vaekit.api import Split
from vaekit.commands.files import PICTURES, animated, free_paths, open_run, title_of, write_strips
from vaekit.commands.picking import class_numbers, pick, train_codes
from vaekit.errors import RequestError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from vaekit.commands.picking import Encoded
    from vaekit.runs import Run

_METHODS = {"difference": "mean difference", "classifier": "classifier's normal"}


def attribute(
    run: str,
    attribute: str | None = None,
    against: str | None = None,
    strength: str = "-3:3",
    steps: int = 9,
    method: Literal["difference", "classifier"] = "difference",
    n: int = 8,
    points: tuple[int, ...] | None = None,
    labels: str | None = None,
    files: str | None = None,
    split: Split = "test",
    context: str | None = None,
    invert: bool = False,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Give examples more and less of an attribute, to a picture (.png) or an animation (.gif, .mp4).

    Its direction is learned from 5,000 training examples: strength 1 is as far as from the mean code of those
    without it to that of those with it, or as one standard deviation of a quantity moves the codes.

    Arguments:
        run: The run directory.
        attribute: Which: a name that the data have, such as Smiling; label:3 or label:NAME for a class; or, measured
            on images, thickness, slant or width, and of melodies density, range or syncopation.
        against: Others that should stay as they are, names between commas; the direction is made orthogonal to
            theirs.
        strength: From which strength to which, with a colon between, as -3:3. A single number is both ways.
        steps: How many strengths.
        method: Take the difference of means, or the normal of a linear classifier, which discounts what only goes
            along with the attribute.
        n: How many of the first examples, where none are picked.
        points: Numbers of the examples, in the split.
        labels: Classes, by name or number between commas: the first example of each.
        files: Images of your own, or files of melodies (MIDI) or tables (.csv), paths between commas.
        split: Which split of the data the examples are from.
        context: What a conditional model is told of the examples: class names or numbers between commas; by default
            what is known of them.
        invert: Swap dark and light in your own images, as for a drawing on white paper.
        out: The file, .png, .gif or .mp4, of tables also .csv, of melodies .mid or .wav; by default NAME.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, no such attribute or example, or the file cannot be written.
    """
    from vaekit.kinds import kind_of_run
    from vaekit.latent import mean_codes, move

    trained = open_run(run)
    known = known_attributes(trained)
    if attribute is None:
        raise RequestError(f"no attribute is named; expected one of {', '.join(known)}: pass --attribute {known[-1]}")
    low, high = _range(strength)
    if steps < 2:
        raise RequestError(f"steps is {steps}; expected at least 2 strengths: pass --steps 9, say")
    kind = kind_of_run(trained)
    name = f"{attribute.replace(':', '-').replace('/', '-')}.png"
    paths = free_paths(trained, out, name, PICTURES, kind, force)
    others = [word.strip() for word in against.split(",")] if against else []
    vector = direction(trained, attribute, others, method)
    if points is None and labels is None and files is None:
        if n < 1:
            raise RequestError(f"n is {n}; expected at least 1 example: pass --n 8")
        points = tuple(range(min(n, len(trained.data.splits[split]))))
    picked = pick(trained, points=points, labels=labels, files=files, split=split, context=context, invert=invert)
    strengths = [low + (high - low) * i / (steps - 1) for i in range(steps)]
    x = move(
        trained.model, mean_codes(trained.model, picked.x, picked.given), vector, strengths, picked.given
    ).x.numpy()
    beside = f", orthogonal to {', '.join(others)}" if others else ""
    title = f"{attribute} by the {_METHODS[method]}{beside}, {title_of(trained)}"
    columns = [_signed(s) for s in strengths]
    if not animated(paths):
        import numpy as np

        x, columns = np.concatenate([picked.original[:, None], x], 1), ["example", *columns]
    return write_strips(paths, x, kind, rows=picked.names, columns=columns, title=title)


def direction(
    run: "Run", attribute: str, others: list[str] | tuple[str, ...], method: Literal["difference", "classifier"]
) -> "Tensor":
    r"""Return the vector of an attribute of a run's data, orthogonal to those of others; see `attribute_vector`.

    Raises:
        RequestError: If there is no such attribute, or nothing of it is left beside the others.
    """
    import numpy as np

    from vaekit.latent import attribute_vector

    for name in (attribute, *others):
        _check(run, name)
    encoded = train_codes(run)

    def vector(name: str, *beside: "Tensor") -> "Tensor":
        values = attribute_values(run, name, encoded)
        kept = np.isfinite(values)
        return attribute_vector(encoded.codes[kept], values[kept], method, others=list(beside))

    return vector(attribute, *(vector(other) for other in others))


def known_attributes(run: "Run") -> list[str]:
    r"""Return the names of the attributes of a run's data: given with them, classes, and measured."""
    from vaekit.kinds import kind_of

    data = run.data
    names = list(getattr(data, "context_names", ()))
    names += [f"label:{name}" for name in data.label_names or map(str, range(data.classes or 0))]
    return names + list(kind_of(data).measures)


def attribute_values(run: "Run", name: str, encoded: "Encoded") -> "NDArray[Any]":
    r"""Return an attribute of training examples: booleans, or real numbers, NaN where it cannot be measured.

    Arguments:
        run: The run, trained.
        name: The attribute, one of `known_attributes`.
        encoded: The examples, as `train_codes` returns them.

    Raises:
        RequestError: If there is no such attribute.
    """
    from vaekit.kinds import kind_of

    _check(run, name)
    data, part = run.data, run.data.train
    given = getattr(data, "context_names", ())
    if name in given:
        assert part.context is not None
        present: NDArray[Any] = part.context[encoded.rows, given.index(name)] > 0.5
        return present
    measures = kind_of(data).measures
    if name in measures:
        return measures[name](encoded.x.numpy())
    assert part.labels is not None
    which: NDArray[Any] = part.labels[encoded.rows] == class_numbers(data)[name.removeprefix("label:")]
    return which


def _check(run: "Run", name: str) -> None:
    known = known_attributes(run)
    if name in known or (name.startswith("label:") and name.removeprefix("label:") in class_numbers(run.data)):
        return
    raise RequestError(f"unknown attribute {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}")


def _range(asked: str) -> tuple[float, float]:
    words = asked.split(":")
    try:
        ends = [float(word) for word in words]
    except ValueError:
        ends = []
    if len(ends) == 1:
        ends = [-abs(ends[0]), abs(ends[0])]
    if len(ends) != 2 or not -1e6 < ends[0] < ends[1] < 1e6:
        raise RequestError(f"--strength is {asked!r}; expected from where to where, as --strength -3:3, or one number")
    return ends[0], ends[1]


def _signed(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:+.3g}".replace("-", "−")
