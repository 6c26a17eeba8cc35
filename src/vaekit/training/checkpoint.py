r"""Checkpoints: everything a run needs to go on as if it had never stopped, in one file written at once.

A checkpoint is a safetensors file: tensors under flat names, the rest as JSON in its header. Nothing is pickled.
"""

__all__ = ["load_checkpoint", "replace_file", "save_checkpoint"]

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


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    r"""Write a file so that a reader, or a crash, sees the old one whole or the new one whole.

    Arguments:
        path: Where the file is to be.
        write: Called with the path of a temporary file beside it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


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
        raise RequestError(f"no checkpoint at {path}: train with the same --out and without --resume first") from None
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise RequestError(
            f"checkpoint {path} is damaged ({error}); expected a safetensors file: use the other one in its folder, "
            "or start over with --force"
        ) from None
