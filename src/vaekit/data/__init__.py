r"""Data: named datasets, arrays and folders of images, and the transforms from stored values to what a model sees."""

from typing import TYPE_CHECKING, Any

from vaekit.data.assembly import from_arrays
from vaekit.data.dataset import Dataset, Split
from vaekit.data.load import catalogue, load_dataset
from vaekit.data.rows import Rows

if TYPE_CHECKING:
    from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale, Transform, default_transform, view

__all__ = [
    "Binarise",
    "Dataset",
    "Dequantise",
    "Identity",
    "Rows",
    "Scale",
    "Split",
    "Transform",
    "catalogue",
    "default_transform",
    "from_arrays",
    "load_dataset",
    "view",
]


def __getattr__(name: str) -> Any:
    # The transforms import torch, which takes seconds; the list of datasets does not need it.
    if name in __all__:
        from vaekit.data import transforms

        return getattr(transforms, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
