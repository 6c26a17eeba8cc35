r"""A trained model for programs without PyTorch: ONNX, a static page, a folder to share."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.export.command import export
    from vaekit.export.graphs import Exported, onnx
    from vaekit.export.huggingface import huggingface
    from vaekit.export.static import web

__all__ = ["Exported", "export", "huggingface", "onnx", "web"]

# Imported when used: the command line reads the signature of one of them, and must not load PyTorch for that.
_HOMES = {"Exported": "graphs", "export": "command", "huggingface": "huggingface", "onnx": "graphs", "web": "static"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vaekit.export.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vaekit.export' has no attribute {name!r}")
