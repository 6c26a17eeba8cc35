r"""What commands share: the run they are given, its examples, and the file they write."""

__all__ = [
    "PICTURES",
    "animated",
    "examples_of",
    "free_path",
    "free_paths",
    "open_run",
    "title_of",
    "write",
    "write_binary",
    "write_strips",
]

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from vaekit.kinds import Examples
    from vaekit.runs import Run


def open_run(run: str) -> "Run":
    r"""Return a run directory that holds a trained model, or raise a `RequestError` that says what is missing."""
    from vaekit.runs import Run

    trained = Run(run)
    trained.require_trained()
    return trained


def examples_of(
    run: "Run", data: str | None, options: dict[str, Any] | None, split: str, n: int = 0
) -> "tuple[NDArray[np.int64] | None, Iterator[tuple[Tensor, Tensor | None]]]":
    r"""Return the labels of the first n examples, or all, and by blocks these and what the model is told of them."""
    from vaekit.data.transforms import pairs

    chosen = run.dataset(data, **(options or {})).splits[split]
    if not len(chosen):
        raise RequestError(f"the {split} split is empty: pass --split with another one")
    x = chosen.x[: n or len(chosen)]
    told = chosen.given if run.model.conditional else None
    if told is None and run.model.conditional:
        raise RequestError(
            f"the model of {run.directory} is conditional, but the {split} split has neither labels nor contexts: "
            "pass data that have them"
        )
    return chosen.labels, pairs(x, run.plan.transform, None if told is None else told[: len(x)])


def free_path(run: "Run", out: str | None, default: str, endings: tuple[str, ...], force: bool) -> Path:
    r"""Return where a command writes, once it is seen that it may.

    Raises:
        RequestError: If the ending is none of `endings`, there is no such folder, or a file is in the way.
    """
    path = run.directory / default if out is None else Path(out)
    if path.suffix.lower() not in endings:
        raise RequestError(f"--out is {str(path)!r}; expected a file that ends in {' or '.join(endings)}: rename it")
    if not path.parent.is_dir():
        raise RequestError(f"--out is {str(path)!r}, in a folder that does not exist: make {path.parent} first")
    if path.is_dir():
        raise RequestError(f"--out is {str(path)!r}, a folder; expected a file: pass another name")
    if path.exists() and not force:
        raise RequestError(f"{path} exists: pass another --out, or --force to write over it")
    return path


def free_paths(
    run: "Run", out: str | None, default: str, endings: tuple[str, ...], kind: "Examples", force: bool
) -> list[Path]:
    r"""Return where a command writes examples of a kind: one file, or by default one of each ending that the kind has.

    Raises:
        RequestError: As `free_path`.
    """
    if out is not None:
        return [free_path(run, out, default, (*endings, *kind.endings), force)]
    names = [default, *(Path(default).with_suffix(ending).name for ending in kind.endings)]
    return [free_path(run, None, name, (*endings, *kind.endings), force) for name in names]


def write(paths: Sequence[Path], x: "NDArray[Any]", kind: "Examples", draw: "Callable[[], Figure]") -> Path:
    r"""Write examples as the endings ask: an array, what `draw` makes, or what the kind writes; return the first."""
    import numpy as np

    for path in paths:
        ending = path.suffix.lower()
        if ending == ".png":
            from vaekit import figures

            figures.save(draw(), path)
        elif ending in kind.endings:
            kind.save(path, x)
        else:
            write_binary(path, lambda file: np.save(file, x))
    return paths[0]


def write_binary(path: Path, write: Callable[[Any], object]) -> Path:
    r"""Write a file through an open handle, whole or not at all."""
    from vaekit.storage import replace_file

    def to_file(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # numpy appends its own ending to a name
            write(file)

    return replace_file(path, to_file)


PICTURES = (".png", ".gif", ".mp4")


def write_strips(
    paths: Sequence[Path],
    grid: "NDArray[Any]",
    kind: "Examples",
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
    back: bool = True,
) -> Path:
    r"""Write rows of examples as the endings ask: a picture, an animation whose frames are the columns, or others."""
    from vaekit.figures.animation import ANIMATED, save_animation

    for path in paths:
        if path.suffix.lower() in ANIMATED:
            save_animation(kind.frames(grid, rows=rows, columns=columns, title=title), path, back=back)
        else:
            write([path], grid, kind, lambda: kind.strips(grid, rows=rows, columns=columns, title=title))
    return paths[0]


def animated(paths: Sequence[Path]) -> bool:
    r"""Whether a command writes an animation."""
    from vaekit.figures.animation import ANIMATED

    return paths[0].suffix.lower() in ANIMATED


def title_of(run: "Run") -> str:
    r"""Return what a run is, in few words."""
    config = run.config
    return f"{config['recipe'] or config['arguments']['model']} on {config['data']['name']}"
