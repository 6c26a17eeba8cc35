r"""Picking examples to work on: by number, by class, or from the user's own files."""

__all__ = ["FILE_BYTES", "Encoded", "Picked", "class_numbers", "model_view", "own_images", "pick", "train_codes"]

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.errors import RequestError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from vaekit.data import Dataset
    from vaekit.runs import Run

FILE_BYTES = 32 * 2**20
FITTED = 5_000  # training examples that directions are taken from
_ALIGNED = 178  # pixels across CelebA's images, of which its loader's crop is some


@dataclass(frozen=True)
class Picked:
    r"""Examples as the model sees them, shape `(m, *data_shape)`, what each is called, and what the model is told."""

    x: "Tensor"
    names: list[str]
    given: "Tensor | None"

    @property
    def original(self) -> "NDArray[Any]":
        """The examples as an array."""
        array: NDArray[Any] = self.x.numpy()
        return array


@dataclass(frozen=True)
class Encoded:
    r"""Examples as the model sees them, their codes, and their numbers in the split."""

    x: "Tensor"
    codes: "Tensor"
    rows: "NDArray[np.int64]"


def pick(
    run: "Run",
    *,
    points: "Sequence[int] | None" = None,
    labels: str | None = None,
    files: str | None = None,
    split: str = "test",
    context: str | None = None,
    invert: bool = False,
) -> Picked:
    r"""Return examples of a run's data by number and by class, and the user's own, in this order.

    Arguments:
        run: The run, trained.
        points: Numbers of examples in the split.
        labels: Classes, by name or number between commas: the first example of each, for a class that is named again
            the next one.
        files: Paths of images, or of MIDI files for melodies, between commas.
        split: Which split of the data.
        context: What a conditional model is told of them; by default what is known of them.
        invert: Whether dark and light are swapped in the user's own images.

    Raises:
        RequestError: If there is no such example or class, or a file cannot be read.
    """
    import numpy as np
    import torch

    from vaekit.contexts import contexts_for
    from vaekit.data.rows import take

    chosen: list[int] = list(points or ())
    data = run.data if chosen or labels is not None or run.model.conditional else None
    stored: list[Any] = []
    names: list[str] = []
    if data is not None:
        part = data.splits[split]
        for number in chosen:
            if not 0 <= number < len(part):
                raise RequestError(f"there is no example {number}; the {split} split has 0 to {len(part) - 1}")
        chosen += [] if labels is None else _of_classes(data, split, labels)
        if chosen:
            stored.append(take(part.x, np.asarray(chosen)))
        for number in chosen:
            known = "" if part.labels is None else f" ({_class_name(data, int(part.labels[number]))})"
            names.append(f"{split} {number}{known}")
    paths = [Path(word.strip()) for word in files.split(",")] if files else []
    if paths:
        stored.append(_own_examples(run, paths, invert))
        names += [path.stem for path in paths]
    if not stored:
        raise RequestError("no example is picked; expected some: pass --points 3,17, --labels 3,8 or --files a.png")
    x = model_view(run, np.concatenate(stored))
    if not run.model.conditional or context is not None:
        return Picked(x, names, contexts_for(run, len(names), context))
    assert data is not None
    given = data.splits[split].given
    if paths or given is None:
        raise RequestError(
            f"the model of {run.directory} is conditional and nothing is known of "
            f"{names[-1] if paths else f'the {split} split'}: pass --context"
        )
    return Picked(x, names, torch.from_numpy(given[np.asarray(chosen)]))


def model_view(run: "Run", stored: Any) -> "Tensor":
    r"""Return examples as the model sees them, with the mean in place of what its transform draws.

    So an example has one code, whatever else is looked at.
    """
    import torch

    from vaekit.evaluation.generation import expected

    return expected(run.plan.transform)(torch.from_numpy(stored))


def train_codes(run: "Run", n: int = FITTED) -> Encoded:
    r"""Encode n training examples, drawn at random and the same each time."""
    import torch

    from vaekit.data.rows import take
    from vaekit.evaluation.posterior import random_rows
    from vaekit.latent import mean_codes

    part = run.data.train
    rows = random_rows(len(part), n, 0)
    x = model_view(run, take(part.x, rows))
    given = torch.from_numpy(part.given[rows]) if run.model.conditional and part.given is not None else None
    return Encoded(x, mean_codes(run.model, x, given), rows)


def own_images(run: "Run", paths: "Sequence[Path]", *, invert: bool = False) -> "NDArray[np.uint8 | np.float32]":
    r"""Return images from files as a run's data are stored: upright, cropped about the centre, resized, in its levels.

    For a run on CelebA a photograph is cropped as its images are, in proportion to its size.

    Arguments:
        run: The run, trained.
        paths: The files, at most 32 MiB each, and as many pixels as Pillow's guard allows.
        invert: Whether dark and light are swapped, as for a drawing on paper and data of ink on black.

    Raises:
        RequestError: If the run's data are no images, or a file is not there, too large or no image.
    """
    import numpy as np

    from vaekit.data.pixels import decode, formats, header

    spec = run.config["spec"]
    shape, levels = tuple(spec["shape"]), spec["levels"]
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise RequestError(f"the run's data have shape {shape}; expected images, to read files: pick by --points")
    images = []
    for path in paths:
        _check_file(path, "image")
        known = formats()
        pixels = None
        if (seen := header(path, None, known)) is not None:
            crop = _crop(run, min(seen.size))
            pixels = decode(path, size=(shape[2], shape[1]), crop=crop, grey=shape[0] == 1, formats=known)
        if pixels is None:
            raise RequestError(f"{path} cannot be read; expected an image of a size that Pillow reads: convert it")
        images.append(255 - pixels if invert else pixels)
    x = np.stack(images)
    if levels is None:
        return (x / 255).astype(np.float32)
    scaled: NDArray[np.uint8] = np.rint(x * ((levels - 1) / 255)).astype(np.uint8)
    return scaled


def _own_examples(run: "Run", paths: "Sequence[Path]", invert: bool) -> "NDArray[Any]":
    """Examples from files as a run's data are stored, by whatever reads files of their kind."""
    import numpy as np

    from vaekit.kinds import kind_of_run

    kind = kind_of_run(run)
    if not kind.endings:
        return own_images(run, paths, invert=invert)
    for path in paths:
        _check_file(path, "file")
    return np.stack([kind.read(path) for path in paths])


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise RequestError(f"{path} does not exist; expected a file: check the path")
    if path.stat().st_size > FILE_BYTES:
        raise RequestError(f"{path} has more than {FILE_BYTES // 2**20} MiB; expected a smaller {what}")


def _crop(run: "Run", side: int) -> int | None:
    """The side of the square that the run's loader cuts from an image whose shorter side is this long."""
    asked: int | None = run.config["data"].get("options", {}).get("crop")
    if run.config["data"]["name"] != "celeba":
        return asked
    import inspect

    from vaekit.data.celeba import load_celeba

    crop = inspect.signature(load_celeba).parameters["crop"].default if asked is None else asked
    return round(side * min(crop, _ALIGNED) / _ALIGNED)  # a face in a photograph of another size, as large in it


def _of_classes(data: "Dataset", split: str, asked: str) -> list[int]:
    """The number of an example of each class."""
    import numpy as np

    part = data.splits[split]
    if part.labels is None:
        raise RequestError(f"--labels is {asked!r}, but the {split} split of {data.name} has no labels: pass --points")
    numbers = class_numbers(data)
    used: dict[int, int] = {}
    found = []
    for word in (word.strip() for word in asked.split(",")):
        if word not in numbers:
            listed = ", ".join(data.label_names or numbers)
            raise RequestError(f"--labels has {word!r}; expected classes, of {listed}.{nearest(word, numbers)}")
        rows = np.flatnonzero(part.labels == numbers[word])
        used[numbers[word]] = used.get(numbers[word], -1) + 1
        if used[numbers[word]] >= len(rows):
            raise RequestError(
                f"--labels asks for {used[numbers[word]] + 1} examples of {word!r}; the {split} split has {len(rows)}"
            )
        found.append(int(rows[used[numbers[word]]]))
    return found


def class_numbers(data: "Dataset") -> dict[str, int]:
    r"""Return the numbers of a dataset's classes by number and by name, as words."""
    return {str(c): c for c in range(data.classes or 0)} | {name: c for c, name in enumerate(data.label_names or ())}


def _class_name(data: "Dataset", number: int) -> str:
    return data.label_names[number] if data.label_names else str(number)
