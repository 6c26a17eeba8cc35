r"""The explorer as an object: in a notebook, or as part of a Panel application."""

__all__ = ["Explorer", "bundled"]

import re
from typing import Any

from vaekit.errors import RequestError
from vaekit.explorer.server import page_files
from vaekit.explorer.service import Service

try:
    from panel.custom import JSComponent
except ImportError:
    raise RequestError('the explorer needs Panel: install it with `pip install "vaekit[explore]"`') from None

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)


def bundled(entry: str) -> str:
    r"""Return a module of the page with all that it imports in one, which exports what the entry does.

    Modules of the page import by name only, and no two of them use one name for two things.

    Example:
        >>> text = bundled("notebook.js")
        >>> "import {" in text, "export function render(" in text
        (False, True)
    """
    files = page_files()
    done: dict[str, str] = {}

    def add(name: str) -> None:
        if name in done:
            return
        text = files[name].decode()
        for imported in _IMPORT.findall(text):
            add(imported)
        text = _IMPORT.sub("", text)
        done[name] = text if name == entry else re.sub(r"^export ", "", text, flags=re.MULTILINE)

    add(entry)
    return "\n".join(done.values())


class Explorer(JSComponent):
    r"""The explorer of a latent space, which shows itself in a notebook: load `panel.extension()` there first.

    It is a Panel object, to be put into layouts like any other. The Python that made it answers what the page asks.

    Arguments:
        service: What answers the page.
    """

    _esm = bundled("notebook.js")
    _stylesheets = [page_files()["explorer.css"].decode()]  # noqa: RUF012 - what Panel expects

    def __init__(self, service: Service, **parameters: Any) -> None:
        super().__init__(**{"sizing_mode": "stretch_width", "min_height": 900, **parameters})  # type: ignore[no-untyped-call]
        self._service = service

    def _handle_msg(self, data: Any) -> None:
        message = data.get("message") if isinstance(data, dict) else None
        if isinstance(message, bytes):
            self._send_msg({"message": self._service.answer(message)})
