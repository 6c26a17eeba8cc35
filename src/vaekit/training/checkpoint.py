r"""Checkpoints: everything a run needs to go on as if it had never stopped, in one file written at once.

A checkpoint is a safetensors file: tensors under flat names, the rest as JSON in its header. Nothing is pickled.
"""

__all__ = ["load_checkpoint", "save_checkpoint"]

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.storage import replace_file


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    r"""Write tensors and a JSON-able state to one file, atomically.

    Arguments:
        path: The file.
        tensors: Tensors by name, on any device.
        state: Everything else.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
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
