r"""From frames to an animated GIF, or a film."""

__all__ = ["ANIMATED", "save_animation"]

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaekit.errors import RequestError
from vaekit.storage import replace_file

ANIMATED = (".gif", ".mp4")


def save_animation(
    frames: Iterable[NDArray[np.uint8]], path: str | os.PathLike[str], *, fps: float = 8, back: bool = True
) -> Path:
    r"""Write frames as an animated GIF that plays for ever, or as an MP4 (H.264), atomically; return the path.

    The same frames are the same bytes. A GIF has 256 colours a frame and times in hundredths of a second, and viewers
    slow down what is faster than 50 frames a second: there frames are left out of it, and the whole takes as long as
    it should. An odd side of a film is padded with white.

    Arguments:
        frames: Pictures, uint8 of shape `(height, width, 3)`, all of one size. An iterator is read one by one.
        path: A file that ends in .gif or .mp4.
        fps: Frames a second.
        back: After the last frame play them backwards, so that it ends where it began.

    Raises:
        RequestError: If there is no frame, frames differ in size or type, `fps` is not above 0, the ending is
            another, or it is .mp4 and PyAV is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_animation([np.zeros((4, 4, 3), np.uint8)] * 2, Path(folder) / "black.gif")
        ...     path.read_bytes()[:6]
        b'GIF89a'
    """
    path = Path(path)
    write = {".gif": _gif, ".mp4": _mp4}.get(path.suffix.lower())
    if write is None:
        raise RequestError(f"{str(path)!r} is no animation; expected a file that ends in {' or '.join(ANIMATED)}")
    if not 0 < fps < math.inf:
        raise RequestError(f"fps is {fps!r}; expected frames a second, above 0: pass fps=30")
    shown: Iterator[NDArray[np.uint8]] = iter(frames)
    if back:
        there = list(shown)
        shown = iter([*there, *there[-2:0:-1]])
    first = next(shown, None)
    if first is None:
        raise RequestError("there are no frames; expected at least 1")
    whole = _alike(itertools.chain([first], shown), first.shape)
    return replace_file(path, lambda temporary: write(whole, temporary, fps), durable=False)


def _alike(frames: Iterator[NDArray[np.uint8]], shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    """Pass frames on, and see that they are of one size."""
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise RequestError(
                f"a frame has shape {frame.shape} and type {frame.dtype}, the first {shape}; expected uint8 of one "
                "shape, (height, width, 3): convert them"
            )
        yield frame


def _gif(frames: Iterator[NDArray[np.uint8]], path: Path, fps: float) -> None:
    step = math.ceil(fps / 50)
    chosen = itertools.islice(frames, 0, None, step)
    images = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in chosen]
    # Rounded over the whole, so that errors do not add up.
    ends = [round(100 * step * number / fps) for number in range(len(images) + 1)]
    times = [10 * (end - start) for start, end in itertools.pairwise(ends)]
    later = images[1:]
    images[0].save(path, "GIF", save_all=True, append_images=later, duration=times, loop=0, optimize=False)


def _mp4(frames: Iterator[NDArray[np.uint8]], path: Path, fps: float) -> None:
    try:
        import av
    except ImportError:
        raise RequestError('films need PyAV: pip install "vaekit[video]", or write a .gif') from None
    with av.open(str(path), "w", format="mp4") as film:
        rate = Fraction(fps).limit_denominator(60_060)
        stream: Any = film.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # so that the bytes do not depend on the machine's processors
        for number, frame in enumerate(frames):
            height, width = frame.shape[:2]
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=255)
            if number == 0:
                stream.height, stream.width = even.shape[:2]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        film.mux(stream.encode())
