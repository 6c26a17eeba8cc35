r"""The server of the page: on this machine only, for those who have its address, and with nothing to open but the page.

Panel's own server, which the notebook needs, is left out here: its page loads a library of several megabytes, and its
messages wait for its loop. Tornado, on which it stands, carries the same messages as they are.
"""

__all__ = ["Server"]

import asyncio
import contextlib
import gzip
import hmac
import json
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from vaekit.errors import RequestError
from vaekit.explorer.service import Service
from vaekit.explorer.wire import MESSAGE_BYTES

try:
    from tornado import httpserver, netutil, web, websocket
except ImportError:
    raise RequestError('the explorer needs Panel and what comes with it: pip install "vaekit[explore]"') from None

_ADDRESS = "127.0.0.1"
_HERE = ("127.0.0.1", "localhost", "::1")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
}
_WAITING = 64  # messages of one page that may be unanswered
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def page_files() -> dict[str, bytes]:
    """Return the files of the page by name."""
    folder = resources.files("vaekit.explorer") / "page"
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name.endswith((".js", ".css", ".html"))}


class Server:
    r"""Serves one page on the loopback address, under an address that nobody can guess.

    Everything is in memory before the first request; a request that does not have the token gets 403, whatever it asks
    for, and so does one that another site's page sends, or that comes under another name than this machine's.

    Arguments:
        service: What answers the page.
        port: Where to listen; 0 for any free port.

    Raises:
        RequestError: If the port is taken, or Tornado is not installed.
    """

    def __init__(self, service: Service, port: int = 0) -> None:
        if not 0 <= port < 2**16:
            raise RequestError(f"port is {port}; expected 0 for any, or 1 to 65535: pass --port 0")
        self.token = secrets.token_urlsafe(24)
        files = page_files()
        files[""] = files.pop("index.html")
        files["description.json"] = json.dumps(service.description, allow_nan=False).encode()
        shared = {"token": self.token}
        # One thread computes, so that answers come in the order of the questions while the loop goes on listening.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="vaekit-explorer")
        application = web.Application(
            [
                (r"/([^/]*)/live", _Live, {**shared, "service": service, "worker": self._worker}),
                (r"/([^/]*)/([^/]*)", _File, {**shared, "files": {name: _File.ready(c) for name, c in files.items()}}),
            ],
            default_handler_class=_Guarded,
            websocket_max_message_size=MESSAGE_BYTES,
            websocket_ping_interval=30,
            log_function=lambda handler: None,
        )
        try:
            self._sockets = netutil.bind_sockets(port, _ADDRESS, family=socket.AF_INET)
        except OSError as error:
            raise RequestError(
                f"port {port} cannot be had ({error.strerror}): pass --port 0 for any free one"
            ) from None
        self._http = httpserver.HTTPServer(application, max_body_size=1024, max_header_size=16384)
        self.port = int(self._sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{_ADDRESS}:{self.port}/{self.token}/"

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until the event is set."""
        self._http.add_sockets(self._sockets)
        try:
            await stop.wait()
        finally:
            self._http.stop()
            await self._http.close_all_connections()
            self._worker.shutdown(wait=False, cancel_futures=True)


class _Guarded(web.RequestHandler):
    token: str | None = None

    def initialize(self, **given: Any) -> None:
        self.__dict__ |= given

    def prepare(self) -> None:
        given = (self.path_args or [""])[0] or ""
        name = urlsplit(f"//{self.request.host}").hostname
        known = self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())
        if name not in _HERE or not known:
            raise web.HTTPError(403)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "no-referrer")  # the token is in the address
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("Open the address that `vaekit explore` printed, with all of its letters.\n")


class _File(_Guarded):
    files: dict[str, tuple[bytes, bytes]]

    @staticmethod
    def ready(content: bytes) -> tuple[bytes, bytes]:
        """Return a file as it is and packed."""
        return content, gzip.compress(content, 1)

    def get(self, token: str, name: str) -> None:
        if name not in self.files:
            raise web.HTTPError(404)
        plain, packed = self.files[name]
        suffix = "." + name.rpartition(".")[2] if name else ".html"
        self.set_header("Content-Type", _TYPES[suffix])
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            plain = packed
        self.finish(plain)


class _Live(_Guarded, websocket.WebSocketHandler):
    service: Service
    worker: ThreadPoolExecutor

    def initialize(self, **given: Any) -> None:
        super().initialize(**given)
        self.answers: set[asyncio.Task[None]] = set()

    def check_origin(self, origin: str) -> bool:
        """Let in the page itself, and no page of another site."""
        return urlsplit(origin).netloc == self.request.headers.get("Host")

    def open(self, *_: str) -> None:
        self.set_nodelay(True)  # an answer is one small packet, and somebody waits for it

    def on_message(self, message: str | bytes) -> None:
        if isinstance(message, str) or len(self.answers) >= _WAITING:
            self.close(1008, "not a message of the page")
            return
        task = asyncio.ensure_future(self._answer(message))
        self.answers.add(task)
        task.add_done_callback(self.answers.discard)

    async def _answer(self, message: bytes) -> None:
        with contextlib.suppress(websocket.WebSocketClosedError, RuntimeError):  # the page, or the server, has gone
            answer = await asyncio.get_running_loop().run_in_executor(self.worker, self.service.answer, message)
            await self.write_message(answer, binary=True)
