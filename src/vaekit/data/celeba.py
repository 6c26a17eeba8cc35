r"""CelebA: faces of celebrities with forty attributes, in the layout in which it is published."""

__all__ = ["AttributeDataset", "holds_celeba", "load_celeba"]

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.assembly import assemble
from vaekit.data.dataset import Dataset
from vaekit.data.decoded import DecodedImages
from vaekit.data.images import _each
from vaekit.data.pixels import decode, formats
from vaekit.data.rows import Rows, take
from vaekit.errors import RequestError, nearest

_ATTRIBUTES = "list_attr_celeba.txt"
_PARTITION = "list_eval_partition.txt"
_IMAGES = "img_align_celeba"
_SPLITS = ("train", "validation", "test")  # 0, 1, 2 in the partition
_KEPT_FROM = 20_000  # images, from which decoding takes so long that its result is kept on disk


@dataclass(frozen=True, eq=False, repr=False)
class AttributeDataset(Dataset):
    r"""A dataset whose contexts are attributes: 1 where an example has one, 0 where it has not.

    Arguments:
        context_names: Names of the attributes, in the order of the context's columns.
    """

    context_names: tuple[str, ...] = ()


def holds_celeba(path: Path) -> bool:
    r"""Whether a folder has the layout in which CelebA is published."""
    return _place(path, _ATTRIBUTES) is not None


def load_celeba(
    path: str | os.PathLike[str],
    *,
    size: int = 64,
    crop: int = 148,
    label: str | None = None,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
) -> AttributeDataset:
    r"""Load CelebA's aligned faces as uint8 of shape `(n, 3, size, size)`, with their attributes as contexts.

    The folder holds `img_align_celeba/*.jpg`, `list_attr_celeba.txt` and `list_eval_partition.txt`, side by side or in
    the folders `Img`, `Anno` and `Eval` of the original. Every face is cropped to the square at its centre and
    resized (Lanczos). The context of a face, float32 of shape `(40,)`, has a 1 for each attribute that it has, and
    `context_names` says which is which.

    The splits are those of the partition: of the whole, 162,770 train, 19,867 validate, 19,962 test, and nobody is in
    two of them. Where there is no partition, or no face of a split of it, that split is drawn from the faces to train
    on.

    Images that are missing or damaged are skipped, counted in the `note`, and warned of once. From 20,000 images on,
    they are decoded once, to a file of bytes in the cache folder (`VAEKIT_CACHE`, else `~/.cache/vaekit`), which can
    be deleted at any time; it is read from there as needed if it does not fit in memory.

    References:
        Deep learning face attributes in the wild (Liu, Luo, Wang and Tang, 2015).

    Arguments:
        path: The folder.
        size: Height and width.
        crop: Side of the square, in pixels of the 178 by 218 that there are.
        label: An attribute to be the class, such as "Smiling"; by default there are no classes.
        seed: Seed of a split that is drawn.
        validation: Part or number of the images to validate on, where it is drawn.
        test: Part or number of the images to test on, where it is drawn.

    Raises:
        RequestError: If a list is not as published, there is no face to train on, or no such attribute.
    """
    root = Path(path)
    for name, value in (("size", size), ("crop", crop)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RequestError(f"{name} is {value!r}; expected pixels, from 1 up: pass {name}=64, say")
    names, listed, attributes = _attributes(root)
    if label is not None and label not in names:
        raise RequestError(f"label is {label!r}; expected one of {', '.join(names)}.{nearest(label, names)}")
    folder = _place(root, _IMAGES)
    if folder is None:
        raise RequestError(f"{root} has {_ATTRIBUTES} but no folder {_IMAGES}; expected the images there: unpack them")
    x, rows = _images(root, [folder / name for name in listed], size, crop)
    kept = np.asarray(rows, np.int64)
    note = f"{len(kept):,} faces, cropped to {crop} and resized to {size}"
    if skipped := len(listed) - len(kept):
        note += f"; {skipped:,} skipped because missing or damaged"
        first = listed[np.setdiff1d(np.arange(len(listed)), kept)[0]]
        warnings.warn(f"{root}: {skipped:,} of {len(listed):,} images are missing or damaged, as {first}", stacklevel=2)
    numbers = _partition(root, listed)[kept]
    found = {split: np.flatnonzero(numbers == number) for number, split in enumerate(_SPLITS)}
    if not len(found["train"]):
        raise RequestError(f"{root} has no face to train on that can be read; expected at least one: check the images")
    found = {split: places for split, places in found.items() if len(places)}
    has = attributes[kept]
    labels = None if label is None else has[:, names.index(label)]
    data = assemble(
        {s: (_part(x, places), None if labels is None else labels[places]) for s, places in found.items()},
        contexts={s: has[places] for s, places in found.items()},
        name="celeba",
        seed=seed,
        validation=validation,
        test=test,
        note=note,
    )
    # Dark images are not bits, even if none of their bytes is above 1.
    known = {field.name: getattr(data, field.name) for field in fields(data)} | {
        "levels": 256,
        "suggested": "gaussian",
        "label_names": None if label is None else (f"not {label}", label),
        "source": "CelebFaces Attributes (Z. Liu, P. Luo, X. Wang, X. Tang, 2015), for non-commercial research",
    }
    return AttributeDataset(**known, context_names=names)


def _place(root: Path, name: str) -> Path | None:
    """Find a file or folder of the published layout, flat or in the original's folders."""
    places = (root / name, root / "Anno" / name, root / "Eval" / name, root / "Img" / name)
    return next((place for place in places if place.exists()), None)


def _attributes(root: Path) -> tuple[tuple[str, ...], list[str], NDArray[np.float32]]:
    """Read the names of the attributes, those of the images, and who has what, shape `(n, attributes)`."""
    path = _place(root, _ATTRIBUTES)
    if path is None:
        raise RequestError(f"{root} has no {_ATTRIBUTES}; expected CelebA's layout: pass its folder, or load_images")
    lines = _lines(path)
    names = tuple(lines[1].split()) if len(lines) > 2 else ()
    rows = [line.split() for line in lines[2:]]
    for number, row in enumerate(rows, 3):
        if len(row) != len(names) + 1 or not set(row[1:]) <= {"1", "-1"}:
            raise RequestError(
                f"{path} has {' '.join(row)[:40]!r} in line {number}; expected the name of an image and {len(names)} "
                "numbers that are 1 or -1: fetch the file again"
            )
    if not rows:
        raise RequestError(
            f"{path} holds {len(lines)} lines; expected a count, the names of the attributes, and a line for each "
            "image: fetch the file again"
        )
    return names, [row[0] for row in rows], (np.array([row[1:] for row in rows]) == "1").astype(np.float32)


def _partition(root: Path, listed: list[str]) -> NDArray[np.int64]:
    """Return the number of each image's split; all are to train on where there is no partition."""
    path = _place(root, _PARTITION)
    if path is None:
        return np.zeros(len(listed), np.int64)
    rows = [line.split() for line in _lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or row[1] not in ("0", "1", "2"):
            raise RequestError(
                f"{path} has {' '.join(row)[:40]!r} in line {number}; expected the name of an image and 0, 1 or 2: "
                "fetch the file again"
            )
    known = {row[0]: int(row[1]) for row in rows}
    if missing := [name for name in listed if name not in known]:
        raise RequestError(
            f"{path} lacks {len(missing):,} of the images of {_ATTRIBUTES}, as {missing[0]}; expected all of them: "
            "fetch the file again"
        )
    return np.array([known[name] for name in listed], np.int64)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read ({error}); expected CelebA's list: fetch the file again") from error


def _images(root: Path, paths: list[Path], size: int, crop: int) -> tuple[Rows, list[int]]:
    """Return the images that can be read, and which they are: from memory, or from the file they are kept in."""
    cache = DecodedImages(root, paths, {"celeba": True, "size": size, "crop": crop})
    if found := cache.find():
        return found
    read = partial(decode, size=(size, size), crop=crop, grey=False, formats=formats())
    decoded: Iterable[tuple[int, Any]] = enumerate(_each(read, paths, "Reading faces"))
    images = ((row, pixels) for row, pixels in decoded if pixels is not None)
    shape = (len(paths), 3, size, size)
    if len(paths) >= _KEPT_FROM:
        written = cache.write(shape, images)
        return cache.find() or written
    x = np.empty(shape, np.uint8)
    rows: list[int] = []
    for row, pixels in images:
        x[len(rows)] = pixels
        rows.append(row)
    return x[: len(rows)], rows


def _part(x: Rows, places: NDArray[np.int64]) -> Any:
    """Take a slice where it can be, so that the images are not in memory twice."""
    together = places[-1] - places[0] + 1 == len(places)
    return x[int(places[0]) : int(places[-1]) + 1] if together else take(x, places)
