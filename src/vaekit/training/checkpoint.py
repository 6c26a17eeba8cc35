r"""Checkpoints: everything a run needs to go on as if it had never stopped, in one file written at once.

A checkpoint is a safetensors file: tensors under flat names, the rest as JSON in its header. Nothing is pickled.
"""

__all__ = ["is_litter", "load_checkpoint", "replace_file", "save_checkpoint", "sweep"]

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaekit.errors import RequestError

_TEMPORARY = ".tmp"


def replace_file(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    r"""Write a file so that a reader, or a crash, sees the old one whole or the new one whole.

    Arguments:
        path: Where the file is to be.
        write: Called with the path of a temporary file beside it.
        durable: Wait until the content is on the disk, so that a power cut leaves one of the two as well.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask gives; safetensors makes its files private
        write(temporary)
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def is_litter(path: Path) -> bool:
    r"""Whether a file is what `replace_file` leaves behind when the process is killed while it writes.

    Example:
        >>> is_litter(Path("run/.config.json.1234.tmp")), is_litter(Path("run/config.json"))
        (True, False)
    """
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def sweep(directory: Path) -> None:
    r"""Remove what killed processes left behind in a run directory."""
    for path in directory.rglob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    r"""Write tensors and a JSON-able state to one file, atomically.

    Arguments:
        path: The file.
        tensors: Tensors by name, on any device.
        state: Everything else.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda temporary: save_file(stored, temporary, {"state": json.dumps(dict(state))}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    r"""Read what `save_checkpoint` wrote.

    Raises:
        RequestError: If there is no such file, or it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads((file.metadata() or {})["state"])
    except FileNotFoundError:
        raise RequestError(f"no checkpoint at {path}: restore the file, or start over with --force") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RequestError(
            f"checkpoint {path} is damaged ({error}); expected what training wrote: restore the file, or start over "
            "with --force"
        ) from None
