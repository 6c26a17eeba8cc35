r"""Moves in latent space: paths between examples, one unit at a time, and the surface of two."""

__all__ = ["interpolate", "manifold", "traverse"]

from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.api import Split
from vaekit.commands.files import PICTURES, animated, free_paths, open_run, title_of, write, write_strips
from vaekit.commands.picking import pick, train_codes
from vaekit.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from vaekit.runs import Run

_LINES = 8  # rows of a surface of vectors
_UNITS, _SAYS_NOTHING = 24, 0.01  # rows of a traversal, and the rate in nats below which a unit is left out


def interpolate(
    run: str,
    points: tuple[int, ...] | None = None,
    labels: str | None = None,
    files: str | None = None,
    steps: int = 12,
    spherical: bool = False,
    split: Split = "test",
    context: str | None = None,
    invert: bool = False,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Decode a path through latent space between examples, to a picture (.png) or an animation (.gif, .mp4).

    Arguments:
        run: The run directory.
        points: Numbers of the examples to pass, in the split; two or more, together with the labels and files.
        labels: Classes to pass, by name or number between commas: the first example of each.
        files: Images of your own to pass, or files of melodies (MIDI) or tables (.csv), paths between commas.
        steps: Points on each leg, both its ends among them.
        spherical: Turn about the centre of a Gaussian prior, instead of going straight.
        split: Which split of the data.
        context: What a conditional model is told of the examples: class names or numbers between commas; by default
            what is known of them.
        invert: Swap dark and light in your own images, as for a drawing on white paper.
        out: The file, .png, .gif or .mp4, of tables also .csv, of melodies .mid or .wav; by default interpolation.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, no such example, or the file cannot be written.
    """
    import numpy as np

    from vaekit.kinds import kind_of_run
    from vaekit.latent import interpolate as between

    trained = open_run(run)
    kind = kind_of_run(trained)
    paths = free_paths(trained, out, "interpolation.png", PICTURES, kind, force)
    picked = pick(trained, points=points, labels=labels, files=files, split=split, context=context, invert=invert)
    if len(picked.names) < 2:
        raise RequestError(f"{picked.names[0]} is the only example; expected at least 2: pass --points 3,17, say")
    x = between(trained.model, picked.x, steps, spherical=spherical, context=picked.given).x.numpy()
    title = f"{'Spherical' if spherical else 'Linear'} interpolation, {title_of(trained)}"
    if animated(paths):
        names = " → ".join(picked.names)
        return write_strips(paths, x[None], kind, title=f"{title}: {names}")
    legs = [x[i * (steps - 1) : (i + 1) * (steps - 1) + 1] for i in range(len(picked.names) - 1)]
    ends = [(picked.original[i], picked.original[i + 1]) for i in range(len(legs))]
    grid = np.stack([np.concatenate([a[None], leg, b[None]]) for (a, b), leg in zip(ends, legs, strict=True)])
    columns = ["from", *(f"{t:.0%}" for t in np.linspace(0, 1, steps)), "to"]
    rows = [f"{a} → {b}" for a, b in zip(picked.names[:-1], picked.names[1:], strict=True)]
    return write_strips(paths, grid, kind, rows=rows, columns=columns, title=title)


def traverse(
    run: str,
    units: str = "all",
    point: int | None = None,
    label: str | None = None,
    file: str | None = None,
    steps: int = 11,
    split: Split = "test",
    context: str | None = None,
    invert: bool = False,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Move one latent unit at a time over the quantiles of its prior, to a picture or an animation.

    The units are sorted by their rate, in nats: how much each says of an example.

    Arguments:
        run: The run directory.
        units: Which units, numbers between commas, or all: the 24 with the largest rates, and of these not those that
            say nothing, less than 0.01 nats.
        point: Number of the example at which the others stay; by default they stay at the medians of the prior.
        label: The first example of this class instead.
        file: An image of your own instead, or a MIDI file for melodies, a .csv file for tables.
        steps: How many quantiles, evenly from 1% to 99%.
        split: Which split of the data.
        context: What a conditional model is told: a class name or number; by default what is known of the example.
        invert: Swap dark and light in your own image, as for a drawing on white paper.
        out: The file, .png, .gif or .mp4, of tables also .csv, of melodies .mid or .wav; by default traversal.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, no such unit or example, or the file cannot be written.
    """
    import numpy as np

    from vaekit.kinds import kind_of_run
    from vaekit.latent import traverse as traversal
    from vaekit.latent.traversal import ENDS

    trained = open_run(run)
    kind = kind_of_run(trained)
    paths = free_paths(trained, out, "traversal.png", PICTURES, kind, force)
    at, given, where = _place(trained, point, label, file, split, context, invert)
    rates, says, order = _rates(trained)
    if units == "all":
        chosen = [unit for unit in order if rates[unit] >= _SAYS_NOTHING][:_UNITS] or order[:_UNITS]
    else:
        asked = _numbers("units", units, len(order))
        chosen = [unit for unit in order if unit in asked]
    x = traversal(trained.model, chosen, at=at, quantiles=steps, context=given).x.numpy()
    rows = [f"unit {unit}: {says[unit]}" for unit in chosen]
    columns = [f"{u:.0%}" for u in np.linspace(*ENDS, steps)]
    title = f"Each unit over the quantiles of its prior, {where}, {title_of(trained)}"
    return write_strips(paths, x, kind, rows=rows, columns=columns, title=title)


def manifold(
    run: str,
    units: str = "0,1",
    principal: bool = False,
    n: int = 20,
    point: int | None = None,
    label: str | None = None,
    file: str | None = None,
    split: Split = "test",
    context: str | None = None,
    invert: bool = False,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Decode the plane of two latent units, or of the two principal directions of the codes, to a picture.

    Arguments:
        run: The run directory.
        units: Which unit runs across and which up, two numbers with a comma between.
        principal: Take the two directions in which the codes of data spread most instead, through their mean.
        n: Cells on a side.
        point: Number of the example at which the other units stay; by default they stay at the medians of the prior.
        label: The first example of this class instead.
        file: An image of your own instead, or a MIDI file for melodies, a .csv file for tables.
        split: Which split of the data.
        context: What a conditional model is told: a class name or number; by default what is known of the example.
        invert: Swap dark and light in your own image, as for a drawing on white paper.
        out: The file, .png, .gif or .mp4, of tables also .csv, of melodies .mid or .wav; by default manifold.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, no such units or example, or the file cannot be written.
    """
    from vaekit import figures
    from vaekit.figures.strips import titled
    from vaekit.kinds import kind_of_run
    from vaekit.latent import manifold_grid, principal_directions, principal_grid

    trained = open_run(run)
    kind = kind_of_run(trained)
    paths = free_paths(trained, out, "manifold.png", PICTURES, kind, force)
    if principal and (point is not None or label is not None or file is not None):
        raise RequestError("principal directions go through the mean of the codes: leave --point out, or --principal")
    at, given, where = _place(trained, point, label, file, split, context, invert)
    _, says, order = _rates(trained)
    if principal:
        found = principal_directions(train_codes(trained).codes)
        grid, quantiles = principal_grid(trained.model, found, n, context=given)
        names = tuple(
            f"{which} principal direction, deviation {scale:.2f}"
            for which, scale in zip(("first", "second"), found.scale.tolist(), strict=False)
        )
        title = f"The two principal directions of the codes, {title_of(trained)}"
    else:
        pair = _numbers("units", units, len(order))
        if len(pair) != 2:
            raise RequestError(f"--units is {units!r}; expected two numbers with a comma between, such as 0,1")
        grid, quantiles = manifold_grid(trained.model, n, units=(pair[0], pair[1]), at=at, context=given)
        names = tuple(f"unit {unit}, {says[unit]}" for unit in pair)
        rest = f", {where}" if len(order) > 2 or at is not None else ""
        title = f"Units {pair[0]} and {pair[1]}{rest}, {title_of(trained)}"
    x = grid.numpy()
    labels = [f"{u:.0%}" for u in quantiles]
    if animated(paths):  # a frame for each height, from low to high
        captions = [f"{names[1]} at {u}" for u in labels]
        return write_strips(paths, x[::-1].swapaxes(0, 1), kind, rows=labels, columns=captions, title=title)

    def draw() -> "Figure":
        tiles = kind.tiles(x)
        if tiles.ndim != 5:  # rows of lines: the first unit from dark to light
            kept = range(0, n, -(-n // _LINES))
            rows = [labels[::-1][i] for i in kept]
            return kind.strips(x[list(kept)], rows=rows, columns=labels, title=f"{title}; up: {names[1]}")
        figure = titled(figures.manifold(tiles, quantiles=(quantiles, quantiles), axes=(names[0], names[1])), title)
        if principal:
            figure.axes[0].set(xlabel=f"Gaussian quantile of {names[0]}", ylabel=f"Gaussian quantile of {names[1]}")
        return figure

    return write(paths, x, kind, draw)


def _place(
    run: "Run",
    point: int | None,
    label: str | None,
    file: str | None,
    split: str,
    context: str | None,
    invert: bool,
) -> "tuple[torch.Tensor | None, torch.Tensor | None, str]":
    """The latent point of an example, what the model is told there, and where that is in words."""
    from vaekit.contexts import contexts_for
    from vaekit.latent import mean_codes

    if point is None and label is None and file is None:
        return None, contexts_for(run, 1, context), "the others at their medians"
    points = None if point is None else (point,)
    picked = pick(run, points=points, labels=label, files=file, split=split, context=context, invert=invert)
    if len(picked.names) > 1:
        raise RequestError(
            f"{', '.join(picked.names)} are {len(picked.names)} examples; expected one: leave the others"
        )
    return mean_codes(run.model, picked.x, picked.given)[0], picked.given, f"at {picked.names[0]}"


def _rates(run: "Run") -> "tuple[NDArray[np.float64], list[str], list[int]]":
    """How much each unit says, the same in words, and the units from most to least."""
    import numpy as np

    known = run.metrics.get("test", {}).get("unit_rates") if (run.directory / "metrics.json").is_file() else None
    if known is not None:
        values, said = np.asarray(known, dtype=np.float64), "{:.2f} nats"
    else:  # a code without a rate, or of one piece
        values, said = train_codes(run).codes.double().std(0).numpy(), "deviation {:.2f}"
    return values, [said.format(value) for value in values], np.argsort(-values, kind="stable").tolist()


def _numbers(name: str, asked: str, n: int) -> list[int]:
    words = [word.strip() for word in asked.split(",")]
    if not all(word.isdecimal() and int(word) < n for word in words):
        raise RequestError(f"--{name} is {asked!r}; expected numbers between commas, from 0 to {n - 1}")
    return [int(word) for word in words]
