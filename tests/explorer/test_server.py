import asyncio
import json
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("tornado", reason="the extra explore is not installed")

from vaekit.errors import RequestError
from vaekit.explorer.description import description_of
from vaekit.explorer.server import Server
from vaekit.explorer.service import Service
from vaekit.explorer.wire import pack, unpack


@pytest.fixture(scope="module")
def server(small, served):
    subject = small(3)
    with served(Service(subject, description_of(subject))) as running:
        yield running


def raw(server, text):
    """Send bytes as they are, for clients tidy up paths, and return the status line and the rest."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(text.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
            answer += part
    return answer.decode("latin-1")


def request(server, path, host=None, **headers):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{server.port}'}", "Connection: close"]
    return raw(server, "\r\n".join([*lines, *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()), "", ""]))


UPGRADE = {
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def upgrade(server, path, **headers):
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Connection: Upgrade"]
    given = {**UPGRADE, **headers}
    return raw(server, "\r\n".join([*lines, *(f"{k.replace('_', '-')}: {v}" for k, v in given.items()), "", ""]))


def test_the_page_and_its_files_are_served_with_the_token(server):
    with urllib.request.urlopen(server.url) as answer:
        assert b'<div id="explorer">' in answer.read()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    with urllib.request.urlopen(server.url + "description.json") as answer:
        assert json.load(answer)["latent"]["dim"] == 3
    with urllib.request.urlopen(server.url + "explorer.js") as answer:
        assert answer.headers["Content-Type"].startswith("text/javascript")


def test_everything_else_is_refused_without_the_token(server):
    for path in (
        "/",
        "/live",
        "/explorer.js",
        "/description.json",
        "/x/explorer.js",
        f"/{server.token[:-1]}/",
        "/a/b/c",
    ):
        assert " 403 " in request(server, path).splitlines()[0], path
    assert " 403 " in request(server, f"/?token={server.token}").splitlines()[0]


@pytest.mark.parametrize(
    "path",
    [
        "../description.py", "..%2fdescription.py", "%2e%2e/server.py", "../../../etc/passwd", "/etc/passwd",
        "....//server.py", "explorer.js/../../server.py", "config.json", "model.safetensors", ".", "..",
        "static/js/bokeh.js",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(server, path):
    status = request(server, f"/{server.token}/{path}").splitlines()[0]
    assert " 404 " in status or " 403 " in status


def test_it_listens_on_the_loopback_address_alone(server):
    assert [s.getsockname()[0] for s in server._sockets] == ["127.0.0.1"]


def test_another_name_of_this_machine_is_refused(server):
    # What a page of another site could have its own name point to.
    assert " 200 " in request(server, f"/{server.token}/", host=f"localhost:{server.port}").splitlines()[0]
    assert " 403 " in request(server, f"/{server.token}/", host=f"evil.example:{server.port}").splitlines()[0]


def test_a_websocket_needs_token_and_origin(server):
    own = f"http://127.0.0.1:{server.port}"
    assert " 101 " in upgrade(server, f"/{server.token}/live", Origin=own).splitlines()[0]
    assert " 403 " in upgrade(server, f"/{server.token}/live", Origin="http://evil.example").splitlines()[0]
    assert (
        " 403 "
        in upgrade(server, f"/{server.token}/live", Origin=f"http://127.0.0.1:{server.port - 1}").splitlines()[0]
    )
    assert " 403 " in upgrade(server, "/wrong/live", Origin=own).splitlines()[0]
    assert " 403 " in upgrade(server, "/live", Origin=own).splitlines()[0]


def test_messages_are_answered_over_the_websocket(server):
    from tornado.websocket import websocket_connect

    async def talk():
        line = await websocket_connect(server.url.replace("http", "ws") + "live")
        await line.write_message(pack({"id": "a", "op": "decode"}, np.zeros(6, "<f4").tobytes()), binary=True)
        header, content = unpack(await line.read_message())
        assert header == {"id": "a"}
        assert len(content) == 4 * 2 * 16
        await line.write_message(b"nonsense", binary=True)
        assert "error" in unpack(await line.read_message())[0]
        await line.write_message("text")
        assert await line.read_message() is None  # closed

    asyncio.run(talk())


def test_tokens_are_not_guessed(small):
    service = Service(small(2), {})
    tokens = {Server(service).token for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) == 32 for token in tokens)  # 192 bits


def test_a_port_that_is_taken_is_said(server):
    with pytest.raises(RequestError, match=rf"port {server.port} cannot be had"):
        Server(Service(server, {}), server.port)
    with pytest.raises(RequestError, match="expected 0 for any"):
        Server(Service(server, {}), 70_000)
