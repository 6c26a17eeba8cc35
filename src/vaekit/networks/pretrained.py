r"""Weights that come with the package, and weights that the user has."""

__all__ = ["WEIGHTS", "file_hash", "read_weights", "shipped_weights"]

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from vaekit.errors import RequestError, nearest

FILES = Path(__file__).parent / "weights"

WEIGHTS = {
    "digits": "af9894dcd66f4d27787c4ea6bf616fa31fd8797c4cd917e5295c317c4f9ca243",
    "squeezenet1_1": "79696a5d0fb32e1686ae3eca5960bc29c313f7e17d7ffa921792098a1df69cfd",
}
r"""SHA-256 of the weights that come with the package: see `docs/results/digit_features.json` and `NOTICE`."""


def shipped_weights(name: str) -> dict[str, Tensor]:
    r"""Return weights of the package in float32, by parameter, once their hash is seen to be right.

    They are stored in float16, which is exact to one part in two thousand.

    Arguments:
        name: One of `WEIGHTS`.

    Raises:
        RequestError: If there are no weights of this name, or their file is missing or damaged.

    Example:
        >>> sorted(shipped_weights("digits"))[:2]
        ['convolutions.0.bias', 'convolutions.0.weight']
    """
    if name not in WEIGHTS:
        raise RequestError(f"weights are {name!r}; expected one of {', '.join(WEIGHTS)}.{nearest(name, WEIGHTS)}")
    path = FILES / f"{name}.safetensors"
    remedy = "reinstall vaekit: pip install --force-reinstall --no-deps vaekit"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"the weights {path} cannot be read ({error.strerror}); expected them to come with vaekit: {remedy}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS[name]:
        raise RequestError(
            f"the weights {path} are damaged: {len(content):,} bytes with SHA-256 {found[:12]}…; "
            f"expected {WEIGHTS[name][:12]}…: {remedy}"
        )
    return {parameter: tensor.float() for parameter, tensor in load(content).items()}


def file_hash(path: str | os.PathLike[str]) -> str:
    r"""Return the SHA-256 of a file, in hexadecimal.

    Raises:
        RequestError: If the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(
            f"weights are {os.fspath(path)!r}, which cannot be read ({error.strerror}); expected a file of weights: "
            "check the path"
        ) from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    r"""Return the tensors in a user's file: safetensors, or a state dict saved by PyTorch.

    Nothing in the file is run: PyTorch reads tensors and plain containers alone (`weights_only`).

    Raises:
        RequestError: If the file cannot be read, or holds anything but tensors by name.
    """
    path = Path(path)
    try:
        content: Any
        if path.suffix == ".safetensors":
            content = load(path.read_bytes())
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RequestError(
            f"weights are {str(path)!r}, which cannot be read ({error.strerror}); expected a file of weights: "
            "check the path"
        ) from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise RequestError(
            f"weights are {str(path)!r}, which is no file of tensors; expected safetensors, or a state dict saved by "
            "PyTorch: save the network's state_dict() with safetensors.torch.save_file"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise RequestError(
            f"weights are {str(path)!r}, which holds something else than tensors by name; expected a state dict: "
            "save the network's state_dict() with safetensors.torch.save_file"
        )
    return content
