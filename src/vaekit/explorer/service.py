r"""The service: what the page may ask of a model, each message checked as if a stranger had sent it."""

__all__ = ["MOST", "Service"]

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.distributions.rates import closed_rate
from vaekit.errors import RequestError
from vaekit.explorer.subject import Subject
from vaekit.explorer.wire import pack, unpack
from vaekit.latent import mean_codes, mean_data
from vaekit.models.base import seeded

MOST = 256  # latent points or examples of one message
_SEEDS = 2**31

Array = NDArray[np.float32]
Reply = tuple[dict[str, Any], bytes]


class Service:
    r"""Answers the messages of the page; see `OPERATIONS` for what these may be.

    A message is a header, `{"id", "op", ...}`, and a payload; see `vaekit.explorer.wire`. The answer has the same `id`,
    and `error`, one line for the user, where the request cannot be met. Nothing that a message says names a file.

    Arguments:
        subject: The model and its data.
        description: What `vaekit.explorer.describe` says of it.

    Example:
        >>> from vaekit.explorer.wire import pack, unpack
        >>> unpack(Service(None, {}).answer(pack({"id": 7, "op": "open", "path": "/etc/passwd"})))[0]["id"]
        7
    """

    def __init__(self, subject: Subject, description: dict[str, Any]) -> None:
        self.subject = subject
        self.description = description
        self.operations: dict[str, Callable[[dict[str, Any], bytes], Reply]] = {
            "describe": self._describe,
            "decode": self._decode,
            "encode": self._encode,
            "sample": self._sample,
            "measure": self._measure,
            "examples": self._examples,
            "read": self._read,
            "write": self._write,
        }

    @torch.no_grad()
    def answer(self, message: bytes) -> bytes:
        """Return the answer to a message, always."""
        number: Any = None
        try:
            header, payload = unpack(message)
            number = header.get("id")
            if not isinstance(number, int | str):
                raise RequestError("the message has no id, a number or a word: reload the page")
            operation = header.get("op")
            if not isinstance(operation, str) or operation not in self.operations:
                raise RequestError(
                    f"the message asks for {str(operation)[:40]!r}; expected {', '.join(self.operations)}"
                )
            found, content = self.operations[operation](header, payload)
            return pack({"id": number, **found}, content)
        except RequestError as error:
            return pack({"id": number, "error": " ".join(str(error).split())})
        except Exception as error:  # a page must outlive our faults too
            return pack(
                {"id": number, "error": f"this is a fault of vaekit ({type(error).__name__}): please report it"}
            )

    def _describe(self, header: dict[str, Any], payload: bytes) -> Reply:
        return {"description": self.description}, b""

    def _decode(self, header: dict[str, Any], payload: bytes) -> Reply:
        z = torch.from_numpy(_floats(payload, (self.subject.latent_dim,))).to(self.subject.device)
        x = mean_data(self.subject.model, z, self.subject.told(self._context(header), 1))
        return {}, _bytes(self.subject.view.values(np.nan_to_num(x.cpu().numpy())))

    def _encode(self, header: dict[str, Any], payload: bytes) -> Reply:
        x = self.subject.seen(np.clip(_floats(payload, self.subject.view.shape), 0, 1))
        z = mean_codes(self.subject.model, x, self.subject.told(self._context(header), 1))
        return {}, _bytes(z.cpu().numpy())

    def _sample(self, header: dict[str, Any], payload: bytes) -> Reply:
        n, seed = _whole(header, "n", 1, MOST), _whole(header, "seed", 0, _SEEDS)
        prior = self.subject.model.latent(self.subject.told(self._context(header), n))
        with seeded(seed):
            z = prior.sample(() if prior.batch_shape else (n,))
        return {}, _bytes(z.cpu().numpy())

    def _measure(self, header: dict[str, Any], payload: bytes) -> Reply:
        """Log p(z) of one point, and of a point and an example -log p(x|z) and KL(q(z|x) ‖ p(z)), in nats."""
        d, shape = self.subject.latent_dim, self.subject.view.shape
        known = 4 * d < len(payload)
        z = torch.from_numpy(_floats(payload[: 4 * d], (d,), 1)).to(self.subject.device)
        given = self.subject.told(self._context(header), 1)
        prior = self.subject.model.latent(given)
        found: dict[str, float | None] = {"log_prior": _number(lambda: prior.log_prob(z))}
        if known:
            x = self.subject.seen(np.clip(_floats(payload[4 * d :], shape, 1), 0, 1))
            q = self.subject.model.encode(x, given)
            found["distortion"] = _number(lambda: -self.subject.model.decode(z, given).log_prob(x))
            found["rate"] = _number(lambda: closed_rate(q, prior)[0])
        return {"measures": found}, b""

    def _examples(self, header: dict[str, Any], payload: bytes) -> Reply:
        """Return examples of the map, by their rows in the test split."""
        x = self.subject.examples.x
        rows = header.get("rows")
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST:
            raise RequestError(f"the message's rows are no list of 1 to {MOST} row numbers: reload the page")
        numbers = [_whole({"row": row}, "row", 0, len(x) - 1) for row in rows]
        return {}, _bytes(self.subject.shown(np.asarray(x[np.array(numbers)])))

    def _read(self, header: dict[str, Any], payload: bytes) -> Reply:
        return {}, _bytes(self.subject.view.read(payload))

    def _write(self, header: dict[str, Any], payload: bytes) -> Reply:
        """Return a file of one example, in one of the formats of its view."""
        view, ending = self.subject.view, header.get("ending")
        if ending not in view.files:
            raise RequestError(f"the message asks for a file {str(ending)[:10]!r}; expected one of {view.files}")
        return {}, view.write(np.clip(_floats(payload, view.shape, 1)[0], 0, 1), ending)

    def _context(self, header: dict[str, Any]) -> int:
        if self.subject.contexts is None:
            return 0
        return _whole({"context": 0, **header}, "context", 0, len(self.subject.contexts) - 1)


def _whole(header: dict[str, Any], name: str, low: int, high: int) -> int:
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} is {str(value)[:40]}; expected a whole number from {low} to {high}")
    return value


def _floats(payload: bytes, shape: tuple[int, ...], n: int | None = None) -> Array:
    """Read n rows, or as many as there are, of finite float32."""
    size = 4 * math.prod(shape)
    count = len(payload) // size
    if len(payload) % size or not 0 < count <= MOST or (n is not None and count != n):
        raise RequestError(
            f"the message holds {len(payload)} bytes; expected 1 to {n or MOST} rows of {math.prod(shape)} float32"
        )
    array = np.frombuffer(payload, "<f4").reshape(count, *shape)
    if not np.isfinite(array).all():
        raise RequestError("the message holds NaN or infinity; expected finite numbers")
    return array.astype(np.float32)


def _bytes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array, dtype="<f4").tobytes()


def _number(measure: Callable[[], torch.Tensor]) -> float | None:
    """A measure where the distributions have it."""
    try:
        value = float(measure().squeeze())
    except NotImplementedError:
        return None
    return value if math.isfinite(value) else None
