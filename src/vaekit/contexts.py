r"""What a conditional model is told: contexts for new samples, from words or from data."""

__all__ = ["contexts_for"]

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.errors import RequestError, nearest
from vaekit.networks import OneHot

if TYPE_CHECKING:
    from vaekit.runs import Run


def contexts_for(run: "Run", n: int, asked: str | None = None) -> Tensor | None:
    r"""Return contexts for n new examples of a run's model, or None if it is not conditional.

    Arguments:
        run: The run, trained.
        n: How many.
        asked: Class names or numbers between commas, taken in turn; or for other contexts the path of an .npy file
            with one row for each example, or one for all. By default every class in turn, or the contexts of the
            first test examples.

    Raises:
        RequestError: If the model is not conditional but contexts are asked for, there is no such class, or the file
            does not fit.
    """
    model = run.model
    if not model.conditional:
        if asked is not None:
            raise RequestError(
                f"--context is {asked!r} but the model of {run.directory} is not conditional: leave it out, or train "
                "the recipe cvae"
            )
        return None
    if isinstance(model.context_network, OneHot):
        classes = model.context_network.size
        chosen = torch.arange(classes) if asked is None else _classes(asked, classes, run.data.label_names)
        return chosen.repeat(-(-n // len(chosen)))[:n]
    rows = run.data.test.given if asked is None else _rows(Path(asked), tuple(run.config["spec"]["context_shape"]))
    assert rows is not None
    return torch.from_numpy(np.resize(rows, (n, *rows.shape[1:])).astype(np.float32))


def _classes(asked: str, classes: int, names: Sequence[str] | None) -> Tensor:
    """Read class names or numbers between commas."""
    known = {str(number): number for number in range(classes)}
    known |= {name: number for number, name in enumerate(names or ())}
    words = [word.strip() for word in asked.split(",")]
    for word in words:
        if word not in known:
            listed = ", ".join(names or map(str, range(classes)))
            raise RequestError(f"--context has {word!r}; expected classes, of {listed}.{nearest(word, known)}")
    return torch.tensor([known[word] for word in words])


def _rows(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read contexts from a file."""
    try:
        rows = np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise RequestError(
            f"--context is {str(path)!r}, which cannot be read ({error}); expected an .npy file of contexts"
        ) from None
    if rows.shape == shape:
        rows = rows[None]
    if rows.shape[1:] != shape or not len(rows) or not np.isfinite(rows).all():
        raise RequestError(
            f"{path} holds an array of shape {rows.shape}; expected finite numbers of shape (n, "
            f"{', '.join(map(str, shape))}), as in training: reshape it"
        )
    return rows
