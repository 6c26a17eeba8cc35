r"""One way in: a name, a path, an array or a dataset, to a dataset."""

__all__ = ["catalogue", "load_dataset"]

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.arrays import load_file
from vaekit.data.assembly import from_arrays
from vaekit.data.celeba import holds_celeba, load_celeba
from vaekit.data.dataset import Dataset
from vaekit.data.digits import load_digits
from vaekit.data.images import holds_images, load_images
from vaekit.data.melodies import ENDINGS as MELODY_ENDINGS
from vaekit.data.melodies import holds_melodies, load_melodies, load_tunes
from vaekit.data.mnist import load_mnist, load_static_mnist
from vaekit.data.motion import holds_motion, holds_positions, load_clips, load_motion
from vaekit.data.olivetti import load_olivetti
from vaekit.data.paired import holds_pairs, load_pairs
from vaekit.data.sprites import holds_dsprites, load_dsprites, load_sprites
from vaekit.data.swiss_roll import load_swiss_roll
from vaekit.data.tables import ENDINGS as TABLE_ENDINGS
from vaekit.data.tables import load_table
from vaekit.data.video import ENDINGS as VIDEO_ENDINGS
from vaekit.data.video import holds_videos, load_video
from vaekit.errors import RequestError, nearest

Loader = Callable[..., Dataset]

# A new source is one line here.
_NAMED: dict[str, tuple[Loader, str]] = {
    "mnist": (load_mnist, "70,000 handwritten digits, 28×28, grey: the field's yardstick"),
    "mnist-static": (load_static_mnist, "MNIST in bits, Larochelle's fixed binarisation, for published comparisons"),
    "digits": (load_digits, "1,797 handwritten digits, 8×8, 17 levels of grey: trains in seconds"),
    "olivetti": (
        load_olivetti,
        "400 faces of 40 people, 64×64, grey: downloaded once by scikit-learn (option: folder)",
    ),
    "sprites": (load_sprites, "737,280 images of six known factors, 64×64, bits: shapes, sizes, angles, places"),
    "clips": (
        load_clips,
        "1,620 poses of 15 motion-capture clips, with their times: walk, run, jump, dance, roll, ...",
    ),
    "melodies": (load_tunes, "old songs, hymns, dances and themes, in windows of 2 bars (options: bars, repeat)"),
    "swiss-roll": (load_swiss_roll, "a rolled-up sheet of points in three dimensions (options: n, noise, seed)"),
}

# A new kind of data is one line here, and how it is recognised one in `_recognise`.
_KINDS: dict[str, Loader] = {
    "arrays": load_file,
    "table": load_table,
    "images": load_images,
    "motion": load_motion,
    "video": load_video,
    "pairs": load_pairs,
    "melodies": load_melodies,
}

_FILES: dict[str, str] = {
    ".npy": "arrays",
    ".npz": "arrays",
    ".bvh": "motion",
    ".json": "motion",
    ".txt": "motion",
    **dict.fromkeys(TABLE_ENDINGS, "table"),
    **dict.fromkeys(VIDEO_ENDINGS, "video"),
    **dict.fromkeys(MELODY_ENDINGS, "melodies"),
}

_HELD = ("gap", "hole", "hole_seed", "validate", "validate_on")  # options of vaekit.data.holdout

_PATHS = (
    "a path to a .npy or .npz file, a table (.csv, .tsv, .parquet), motion (.bvh), a video (.mp4) or melodies (.mid, "
    ".abc, .zip), or to a folder of the last three or a folder of images"
)


def catalogue() -> dict[str, str]:
    r"""Return the datasets that have a name, with one line on each. Nothing is loaded.

    Example:
        >>> list(catalogue())
        ['mnist', 'mnist-static', 'digits', 'olivetti', 'sprites', 'clips', 'melodies', 'swiss-roll']
    """
    return {name: line for name, (_, line) in _NAMED.items()}


def load_dataset(reference: str | os.PathLike[str] | Dataset | NDArray[Any], **options: Any) -> Dataset:
    r"""Load a dataset.

    Arguments:
        reference: A name of the `catalogue`, in any case and with `_` or `-`; a path to a file of arrays (`.npy`,
            `.npz`), a table (`.csv`, `.tsv`, `.parquet`), motion (`.bvh`, DeepMimic's `.txt`, `.npy` of real numbers
            of shape `(T, J, 3)`) or a video; a path to melodies, in MIDI, ABC or kern, or to an archive of them; a
            path to a folder of images, where CelebA's published layout and a file of poses are recognised, of motion,
            of videos or of melodies; an array; or a dataset, which is returned as it is. A name wins over a path of
            the same spelling: write `./mnist` for the path.
        options: What the loader takes: see `load_olivetti`, `load_swiss_roll`, `load_clips`, `load_tunes`, `load_file`,
            `load_table`, `load_images`, `load_celeba`, `load_motion`, `load_video`, `load_pairs`, `load_melodies` and
            `from_arrays`. For a path also `kind`, where what is there is not recognised: arrays, table, images,
            motion, video, pairs or melodies. For sequences also `gap`, `hole`, `hole_seed`, `validate`, which is 5
            unless said, and `validate_on`: frames are then held out for testing as `vaekit.data.holdout.hold_out`
            does, and one in so many of those observed, or of those held out, validates.

    Raises:
        RequestError: If the reference is no known name and no path that can be read, the loader has no such option,
            or the data are not usable, and says what to do.

    Example:
        >>> load_dataset("swiss-roll", n=100)
        <Dataset 'swiss-roll': 80 train, 10 validation and 10 test examples of shape (3,), real numbers>
        >>> load_dataset("minst")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: data is 'minst'; expected one of mnist, ... Did you mean 'mnist'?
    """
    if isinstance(reference, Dataset):
        if options:
            raise RequestError(
                f"the data are loaded already, and {', '.join(options)} cannot change them; expected no options: "
                "pass them when loading"
            )
        return reference
    if isinstance(reference, np.ndarray):
        _check(from_arrays, options, "an array")
        data = from_arrays(reference, **options)
        # Labels are data, not an option that could be written down.
        return replace(data, options={name: value for name, value in options.items() if name != "labels"})
    if not isinstance(reference, (str, os.PathLike)):
        raise RequestError(
            f"data is a {type(reference).__name__}; expected a name, a path, a numpy array or a Dataset: "
            "convert it, as with numpy.asarray"
        )
    typed = os.fspath(reference)
    loader, arguments, wanted = _find(reference, typed, options)
    held = {name: wanted[name] for name in _HELD if name in wanted and _takes(loader, "test")}
    wanted = {name: value for name, value in wanted.items() if name not in held}
    _check(loader, wanted, typed)
    if not held:
        return replace(loader(*arguments, **wanted), reference=typed, options=dict(options))
    if clash := {"validation", "test"} & wanted.keys():
        raise RequestError(
            f"{typed} was given {' and '.join(sorted(clash))} beside {' and '.join(held)}; expected one way to say "
            "what is held out: leave the former away"
        )
    from vaekit.data.holdout import hold_out

    data = loader(*arguments, **wanted, validation=0, test=0)
    data = hold_out(
        data,
        gap=held.get("gap"),
        hole=held.get("hole"),
        seed=held.get("hole_seed", 0),
        validate=held.get("validate", 5),
        validate_on=held.get("validate_on", "observed"),
    )
    return replace(data, reference=typed, options=dict(options))


def _find(
    reference: str | os.PathLike[str], typed: str, options: dict[str, Any]
) -> tuple[Loader, tuple[Path, ...], dict[str, Any]]:
    """Find who loads a name or path, and with which arguments and options."""
    name = typed.lower().replace("_", "-")
    if isinstance(reference, str) and name in _NAMED:
        return _NAMED[name][0], (), options
    path = Path(typed).expanduser()
    if not typed or not path.exists():
        # A path was surely meant where there is a separator or a known ending; the names would then be noise.
        if typed and ({"/", os.sep} & set(typed) or path.suffix.lower() in _FILES):
            raise RequestError(f"data is {typed!r}, which does not exist; expected {_PATHS}: check the path")
        raise RequestError(
            f"data is {typed!r}; expected one of {', '.join(_NAMED)}, or {_PATHS}.{nearest(name, _NAMED)}"
        )
    if "kind" not in options:
        return _recognise(path, typed), (path,), options
    kind = options["kind"]
    if kind not in _KINDS:
        raise RequestError(f"kind is {kind!r}; expected one of {', '.join(_KINDS)}.{nearest(str(kind), _KINDS)}")
    return _KINDS[kind], (path,), {name: value for name, value in options.items() if name != "kind"}


def _recognise(path: Path, typed: str) -> Loader:
    """Tell what a file or folder holds."""
    if path.is_dir():
        if holds_celeba(path):
            return load_celeba
        if holds_images(path):
            return load_pairs if holds_pairs(path) else load_images
        if holds_melodies(path):
            return load_melodies
        return load_motion if holds_motion(path) else load_video if holds_videos(path) else load_images
    ending = path.suffix.lower()
    if ending not in _FILES:
        raise RequestError(
            f"data is {typed!r}, a file that ends in {path.suffix!r}; expected {_PATHS}: convert it, or pass its folder"
        )
    if ending == ".npy" and holds_positions(path):
        return load_motion
    return load_dsprites if holds_dsprites(path) else _KINDS[_FILES[ending]]


def _takes(loader: Loader, option: str) -> bool:
    return option in inspect.signature(loader).parameters


def _check(loader: Loader, options: dict[str, Any], what: str) -> None:
    known = [name for name, p in inspect.signature(loader).parameters.items() if name not in ("path", "x")]
    for name in options:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "no options"
            raise RequestError(f"{what} was given the option {name!r}; expected {expected}.{nearest(name, known)}")
