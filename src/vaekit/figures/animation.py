r"""From frames to an animated GIF, or a film."""

__all__ = ["ANIMATED", "save_animation"]

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaekit.errors import RequestError
from vaekit.storage import replace_file

ANIMATED = (".gif", ".mp4")


def save_animation(
    frames: Sequence[NDArray[np.uint8]], path: str | os.PathLike[str], *, fps: int = 8, back: bool = True
) -> Path:
    r"""Write frames as an animated GIF that plays for ever, or as an MP4 (H.264), atomically; return the path.

    The same frames are the same bytes.

    Arguments:
        frames: Pictures, uint8 of shape `(height, width, 3)`, all of one even size.
        path: A file that ends in .gif or .mp4.
        fps: Frames a second.
        back: After the last frame play them backwards, so that it ends where it began.

    Raises:
        RequestError: If there is no frame, the ending is another, or it is .mp4 and PyAV is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_animation([np.zeros((4, 4, 3), np.uint8)] * 2, Path(folder) / "black.gif")
        ...     path.read_bytes()[:6]
        b'GIF89a'
    """
    path = Path(path)
    if not frames:
        raise RequestError("there are no frames; expected at least 1")
    shown = [*frames, *frames[-2:0:-1]] if back else list(frames)
    write = {".gif": _gif, ".mp4": _mp4}.get(path.suffix.lower())
    if write is None:
        raise RequestError(f"{str(path)!r} is no animation; expected a file that ends in {' or '.join(ANIMATED)}")
    return replace_file(path, lambda temporary: write(shown, temporary, fps), durable=False)


def _gif(frames: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    images = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    later = images[1:]
    images[0].save(path, "GIF", save_all=True, append_images=later, duration=round(1000 / fps), loop=0, optimize=False)


def _mp4(frames: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    try:
        import av
    except ImportError:
        raise RequestError('films need PyAV: pip install "vaekit[video]", or write a .gif') from None
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", format="mp4") as film:
        stream: Any = film.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1  # so that the bytes do not depend on the machine's processors
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
