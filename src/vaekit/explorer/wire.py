r"""Messages between the page and the model: a header in JSON, and numbers or a file as they are."""

__all__ = ["HEADER_BYTES", "MESSAGE_BYTES", "pack", "unpack"]

import json
from typing import Any

from vaekit.errors import RequestError
from vaekit.explorer.views import UPLOAD_BYTES

HEADER_BYTES = 2**16
MESSAGE_BYTES = 4 + HEADER_BYTES + UPLOAD_BYTES


def pack(header: dict[str, Any], payload: bytes = b"") -> bytes:
    r"""Return a message: the header's length in four bytes, little-endian, the header, and the payload.

    The header is filled up with spaces to a multiple of four bytes, so that float32 behind it are read in place.

    Example:
        >>> unpack(pack({"op": "decode"}, b"1234"))
        ({'op': 'decode'}, b'1234')
    """
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + payload


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    r"""Return header and payload of a message that anybody may have sent.

    Raises:
        RequestError: If it is none.
    """
    size = int.from_bytes(message[:4], "little")
    if len(message) < 4 or size > min(HEADER_BYTES, len(message) - 4):
        raise RequestError("the message is cut short; expected a header and its length: reload the page")
    try:
        header = json.loads(message[4 : 4 + size])
    except (ValueError, RecursionError):
        raise RequestError("the message has no header in JSON: reload the page") from None
    if not isinstance(header, dict):
        raise RequestError("the message's header is no JSON object: reload the page")
    return header, message[4 + size :]
