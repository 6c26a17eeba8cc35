r"""Examples as people look at them: images, poses as stick figures, other vectors as plots."""

__all__ = ["reconstructions_of", "samples_of"]

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from vaekit import figures

if TYPE_CHECKING:
    from vaekit.data import Dataset
    from vaekit.data.poses import Poses

POSES = 16


def reconstructions_of(data: "Dataset", originals: NDArray[Any], results: NDArray[Any]) -> Figure:
    r"""Draw originals and what a model makes of them; of poses, the originals behind them in grey.

    Arguments:
        data: The data set that they are from, or like which they are.
        originals: Shape `(n, *shape)`.
        results: The same shape.
    """
    if data.poses is None:
        return figures.reconstructions(originals, results)
    return _strip(data.poses, results, originals)


def samples_of(data: "Dataset", x: NDArray[Any], columns: int = 8) -> Figure:
    r"""Draw examples that a model made.

    Arguments:
        data: The data set that it was trained on.
        x: Shape `(n, *shape)`.
        columns: Images side by side.
    """
    return figures.sample_grid(x, columns=columns) if data.poses is None else _strip(data.poses, x)


def _strip(poses: "Poses", x: NDArray[Any], truth: NDArray[Any] | None = None) -> Figure:
    from vaekit.figures.motion import pose_strip

    behind = None if truth is None else poses.joints(truth[:POSES])
    skeleton = poses.skeleton
    return pose_strip(poses.joints(x[:POSES]), skeleton.bones, truth=behind, names=skeleton.names, up=poses.up)
