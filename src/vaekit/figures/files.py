r"""From a figure to a file or a page."""

__all__ = ["save", "data_uri"]

import base64
import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from vaekit.errors import RequestError
from vaekit.figures.style import DPI, styled
from vaekit.storage import replace_file


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    r"""Write `figure` as a PNG at 120 dots an inch, atomically, and return the path.

    The file holds neither date nor version, so that the same figure is the same bytes. Missing folders are made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(Figure(), Path(folder) / "empty.png").read_bytes()[1:4]
        b'PNG'
    """
    content = _png(figure)
    return replace_file(path, lambda temporary: temporary.write_bytes(content), durable=False)


def data_uri(figure: Figure | str | os.PathLike[str]) -> str:
    r"""Return a figure, or the PNG file at a path, as a `data:` URI for a page that needs no other file.

    Raises:
        RequestError: If there is no file at the path, or it is not a PNG.

    Example:
        >>> data_uri(Figure())[:26]
        'data:image/png;base64,iVBO'
    """
    if isinstance(figure, Figure):
        content = _png(figure)
    else:
        path = Path(figure)
        content = path.read_bytes() if path.is_file() else b""
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            raise RequestError(f"{str(path)!r} is not a PNG file; draw it with vaekit.figures.save")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


@styled
def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # the constrained layout starts from its last result: freeze it, or bytes drift
    return buffer.getvalue()
