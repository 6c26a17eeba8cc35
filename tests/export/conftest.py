r"""What tests of the exported page share: a server of one folder, and onnxruntime-web where it is."""

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def onnxruntime_web() -> Path:
    """The package onnxruntime-web, as a folder or its archive."""
    named = os.environ.get("ONNXRUNTIME_WEB")
    if named:
        return Path(named)
    installed = Path(__file__).parents[2] / "node_modules" / "onnxruntime-web"
    if not installed.is_dir():
        pytest.skip(
            "the exported page is run only where onnxruntime-web is: `npm pack onnxruntime-web@1.30.0`, and name the "
            "file in ONNXRUNTIME_WEB"
        )
    return installed


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A static host: the folder that it serves, and its address."""
    root = tmp_path_factory.mktemp("host")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield root, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
