r"""vaekit: train a variational autoencoder, know how good it is in nats, look around in its latent space, ship it.

Everything here is imported when it is first used, so that `import vaekit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.api import evaluate, load, train
    from vaekit.comparison.compare import compare
    from vaekit.data import load_dataset
    from vaekit.errors import RequestError
    from vaekit.explorer import explore
    from vaekit.plan import Plan
    from vaekit.runs import Run

__all__ = [
    "Plan", "RequestError", "Run", "__version__", "compare", "evaluate", "explore", "load", "load_dataset", "train",
]  # fmt: skip

__version__ = "0.1.0"

_HOMES = {
    "Plan": "vaekit.plan",
    "RequestError": "vaekit.errors",
    "Run": "vaekit.runs",
    "compare": "vaekit.comparison",
    "evaluate": "vaekit.api",
    "explore": "vaekit.explorer",
    "load": "vaekit.api",
    "load_dataset": "vaekit.data",
    "train": "vaekit.api",
}
_MODULES = (
    "comparison", "data", "distributions", "evaluation", "explorer", "export", "figures", "latent",
    "models", "networks", "objectives", "recipes", "regression", "schedules",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"vaekit.{name}")
    raise AttributeError(f"module 'vaekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
