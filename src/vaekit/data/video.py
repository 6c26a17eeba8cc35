r"""Video files: frames as images, with the times at which they are shown."""

__all__ = ["ENDINGS", "holds_videos", "load_video"]

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset
from vaekit.data.folders import any_below, files_below, read_each
from vaekit.data.images import parse_colour, parse_crop, parse_size
from vaekit.data.memory import fits_in_memory
from vaekit.data.sequences import sequential
from vaekit.errors import RequestError

ENDINGS = (
    ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Video:
    """A video as it was read: frames `(n, C, H, W)` and their times in seconds from the first, `(n,)`."""

    name: str
    frames: NDArray[np.uint8]
    times: NDArray[np.float64]


@dataclass(frozen=True)
class _Wanted:
    """What is to be read of a video."""

    size: tuple[int, int]
    crop: int | None
    colour: str
    step: int
    limit: int | None


def load_video(
    path: str | os.PathLike[str],
    *,
    size: int | str | Sequence[int] = 64,
    crop: int | None = None,
    colour: str = "rgb",
    step: int = 1,
    limit: int | None = None,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load a video, or a folder of them, as uint8 of shape `(n, C, H, W)`, 256 levels; any that PyAV reads.

    Every frame is cropped about its centre to the wanted aspect ratio and resized (Lanczos). The context is the time
    in seconds since the first frame, as the file's time stamps say, of shape `(n, 1)`; the sequence is the file. Each
    is cut in time: by default the first 80 % of its frames train, the next 10 % validate and the last 10 % test. In a
    folder, files that cannot be read are skipped, counted in the `note`, and warned of once; of a file that is damaged
    further on, what comes before is kept.

    PyAV comes with the extra "video": `pip install "vaekit[video]"`.

    Arguments:
        path: The file or folder; a folder is searched in depth, hidden files and those without the ending of a video
            are passed over.
        size: Height and width: `64`, `"64x48"` (height first) or `(64, 48)`.
        crop: Side of a square to cut from the centre first, in pixels; a frame that is smaller gives its largest
            square.
        colour: "grey" (C = 1) or "rgb" (C = 3).
        step: Take every so-many-th frame.
        limit: Take at most so many frames of a file, from its beginning; by default all.
        validation: Part or number of the frames of each file to validate on.
        test: Part or number of the frames of each file to test on.

    Raises:
        RequestError: If PyAV is missing, no file can be read, the frames do not fit in memory, or an option is not
            understood.
    """
    place = Path(path)
    asked = parse_size(size)
    if asked is None:
        raise RequestError("size is None; expected pixels, as a video's own size is rarely wanted: pass size=64")
    for name, value in (("step", step), ("limit", 1 if limit is None else limit)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RequestError(f"{name} is {value!r}; expected a number of frames from 1 up: pass {name}=1, say")
    wanted = _Wanted(asked, parse_crop(crop), parse_colour(colour, ("grey", "rgb")), step, limit)
    paths = files_below(place, ENDINGS) if place.is_dir() else [place]
    if not paths:
        raise RequestError(f"the folder {place} holds no video; expected files such as .mp4 or .avi: check the path")
    videos, note = read_each(place, paths, partial(_read, wanted=wanted), "videos" if place.is_dir() else "video")
    data = sequential(
        np.concatenate([video.frames for video in videos]),
        [video.times[:, None] for video in videos],
        [video.name for video in videos],
        name=place.resolve().name if place.is_dir() else place.stem,
        note=note,
        validation=validation,
        test=test,
    )
    # Dark frames are not bits, even if none of their bytes is above 1.
    return replace(data, levels=256, suggested="gaussian")


def holds_videos(folder: Path) -> bool:
    r"""Whether a folder holds videos; an animated picture alone is none."""
    return any_below(folder, set(ENDINGS) - {".gif"})


def _read(path: Path, wanted: _Wanted) -> _Video:
    try:
        import av
    except ModuleNotFoundError:
        raise RequestError(
            f'{path} is a video, and PyAV is not installed; expected it to decode videos: pip install "vaekit[video]"'
        ) from None
    from PIL import Image

    from vaekit.data.pixels import fitted

    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    mode, grey = ("gray", True) if wanted.colour == "grey" else ("rgb24", False)
    with av.open(os.fspath(path)) as container:
        if not container.streams.video:
            raise ValueError("it has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        _check_size(path, stream, wanted)
        try:
            for number, frame in enumerate(container.decode(stream)):
                if number % wanted.step:
                    continue
                if wanted.limit is not None and len(frames) >= wanted.limit:
                    break
                part = _reduction(frame.width, frame.height, wanted)
                small = frame.reformat(
                    max(1, round(frame.width * part)), max(1, round(frame.height * part)), mode, interpolation="AREA"
                )
                image = Image.fromarray(small.to_ndarray())
                if turn := int(getattr(frame, "rotation", 0) or 0):
                    image = image.rotate(turn, expand=True)
                crop = None if wanted.crop is None else max(1, round(wanted.crop * part))
                frames.append(fitted(image, wanted.size, crop, grey))
                rate = float(stream.average_rate or 25)
                times.append(number / rate if frame.time is None else float(frame.time))
        except av.FFmpegError:
            if not frames:
                raise
    if not frames:
        raise ValueError("it has no frames")
    return _Video(path.stem, np.stack(frames), np.asarray(times) - times[0])


def _reduction(width: int, height: int, wanted: _Wanted) -> float:
    """How small a frame may be made before its colours are converted: still twice what is wanted."""
    seen = min(width, height) if wanted.crop is None else min(width, height, wanted.crop)
    return min(1.0, 2 * max(wanted.size) / seen)


def _check_size(path: Path, stream: Any, wanted: _Wanted) -> None:
    """Refuse a video that is surely too large, as far as its header says how long it is."""
    count = stream.frames or int(
        float(stream.duration or 0) * float(stream.time_base or 0) * float(stream.average_rate or 0)
    )
    count = -(-count // wanted.step)
    if wanted.limit is not None:
        count = min(count, wanted.limit)
    width, height = wanted.size
    nbytes = count * width * height * (1 if wanted.colour == "grey" else 3)
    if not fits_in_memory(nbytes):
        raise RequestError(
            f"{path} has {count:,} frames that take {nbytes / 2**30:,.1f} GiB at {height}x{width}, for which memory "
            "has no room; expected less: pass a smaller size, a step or a limit"
        )
