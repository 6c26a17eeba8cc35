r"""The command that predicts outputs at new inputs, from a run of a recipe that regresses."""

__all__ = ["regress"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.commands.files import free_path, open_run, write_binary
from vaekit.errors import RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vaekit.data import Dataset, Split
    from vaekit.regression import Prediction


def regress(
    run: str,
    at: str | None = None,
    sequence: int | None = None,
    level: float = 0.9,
    draws: int = 32,
    fps: float = 30.0,
    data: str | None = None,
    data_options: dict[str, Any] | None = None,
    seed: int = 0,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Predict outputs and their uncertainty at new inputs, from those observed: a picture, a film or arrays.

    Observed are the training and validation data. A picture (.png) has the entries that vary most with their
    intervals, or the images predicted above their standard deviations. A film (.gif, .mp4) has the images, or poses
    as stick figures. An .npz file has inputs, mean, stddev, and the intervals' ends as lower and upper.

    Arguments:
        run: The run directory.
        at: Inputs: FIRST:LAST:STEP such as 0:10:0.05 where there is one, as of time; or an .npy file of shape (m, d).
            By default 200 between the first and the last that are observed.
        sequence: The number of the sequence to go on with; by default the first.
        level: The part of outputs that intervals hold.
        draws: Of z, for each input.
        fps: Frames a second of a film.
        data: Other data to start from than those it was trained on.
        data_options: Options of the data's loader; in a shell, in quotes.
        seed: Of the draws.
        out: The file, .png, .npz, .gif or .mp4; by default regression.png in the run directory.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run or its model does not regress, the inputs do not fit, or the file
            cannot be written.
    """
    import numpy as np
    import torch

    from vaekit.models import VAERegression
    from vaekit.regression import observed, predict

    trained = open_run(run)
    path = free_path(trained, out, "regression.png", (".png", ".npz", ".gif", ".mp4"), force)
    model = trained.model
    if not isinstance(model, VAERegression):
        raise RequestError(f"the model of {run} does not regress; expected a run of vaer: train one, or pass its run")
    dataset = trained.dataset(data, **(data_options or {}))
    splits = [split for split in (dataset.train, dataset.validation) if len(split)]
    number = _sequence(dataset.train, sequence)
    splits = [_only(split, number) for split in splits]
    y, given = observed([split for split in splits if len(split)], trained.plan.transform, seed=seed)
    known = given[:, -model.inputs.size :].double().numpy()
    inputs = _inputs(at, known)
    told = inputs if number is None else np.column_stack([np.full(len(inputs), number), inputs])
    found = predict(model, y, given, torch.from_numpy(told.astype(np.float32)), draws=draws, seed=seed)
    low, high = found.interval(level)
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {
            "inputs": inputs,
            "mean": found.mean,
            "stddev": found.stddev,
            "lower": low,
            "upper": high,
        }
        return write_binary(path, lambda file: np.savez(file, **arrays))
    if path.suffix == ".png":
        return _picture(path, inputs, found, known, y.numpy(), level)
    return _film(path, dataset, inputs, found, fps)


def _sequence(split: "Split", asked: int | None) -> int | None:
    spans = split.spans
    if not spans:
        if asked is not None:
            raise RequestError(f"sequence is {asked}, but the data are one: leave --sequence out")
        return None
    if asked is not None and asked not in spans:
        raise RequestError(f"sequence is {asked}; expected one of {', '.join(map(str, list(spans)[:12]))}")
    return next(iter(spans)) if asked is None else asked


def _only(split: "Split", number: int | None) -> "Split":
    import numpy as np

    return split if number is None or split.sequence is None else split.take(np.flatnonzero(split.sequence == number))


def _inputs(at: str | None, known: "NDArray[Any]") -> "NDArray[Any]":
    """Read the inputs asked for, shape `(m, d)`."""
    import numpy as np

    size = known.shape[1]
    if at is not None and at.endswith(".npy"):
        try:
            rows = np.asarray(np.load(at, allow_pickle=False), np.float64)
        except (OSError, ValueError, EOFError) as error:
            raise RequestError(f"--at is {at!r}, which cannot be read ({error}); expected an .npy file") from None
        rows = rows[:, None] if rows.ndim == 1 and size == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != size or not len(rows) or not np.isfinite(rows).all():
            raise RequestError(f"{at} holds an array of shape {rows.shape}; expected finite numbers, (m, {size})")
        return rows
    if size > 1:
        raise RequestError(f"an input has {size} numbers; expected an .npy file of shape (m, {size}): pass --at FILE")
    if at is None:
        return np.linspace(known.min(), known.max(), 200)[:, None]
    try:
        first, last, step = (float(word) for word in at.split(":"))
    except ValueError:
        raise RequestError(f"--at is {at!r}; expected FIRST:LAST:STEP: pass --at 0:10:0.05, say") from None
    if not step > 0 or not last >= first or not np.isfinite([first, last, step]).all() or (last - first) / step > 1e6:
        raise RequestError(f"--at is {at!r}; expected FIRST up to LAST by a STEP above 0, at most a million inputs")
    return first + step * np.arange(int((last - first) / step + 1e-9) + 1)[:, None]


def _picture(
    path: Path,
    inputs: "NDArray[Any]",
    found: "Prediction",
    known: "NDArray[Any]",
    y: "NDArray[Any]",
    level: float,
) -> Path:
    import numpy as np

    from vaekit import figures

    if found.mean.ndim == 4:
        from vaekit.figures.strips import strips

        some = np.linspace(0, len(inputs) - 1, min(12, len(inputs))).round().astype(int)
        spread = found.stddev[some] / max(float(found.stddev[some].max()), 1e-12)
        grid = np.stack([found.mean[some].clip(0, 1), spread])
        labels = [", ".join(f"{number:.3g}" for number in row[:3]) for row in inputs[some]]
        return figures.save(strips(grid, rows=["mean", "uncertainty"], columns=labels), path)
    from vaekit.figures.regression import prediction_bands

    if inputs.shape[1] > 1:
        raise RequestError(
            f"an input has {inputs.shape[1]} numbers, which is no line; expected one: write --out an .npz"
        )
    low, high = found.interval(level)
    figure = prediction_bands(inputs[:, 0], found.mean, low, high, observed_inputs=known[:, 0], observed=y, level=level)
    return figures.save(figure, path)


def _film(path: Path, dataset: "Dataset", inputs: "NDArray[Any]", found: "Prediction", fps: float) -> Path:
    import numpy as np

    if dataset.poses is not None:
        from vaekit.figures.motion import animate_poses

        poses = dataset.poses
        times = inputs[:, 0] if inputs.shape[1] == 1 else None
        joints = poses.joints(found.mean)
        return animate_poses(
            joints, poses.skeleton.bones, path, fps=fps, times=times, names=poses.skeleton.names, up=poses.up
        )
    if found.mean.ndim != 4 or found.mean.shape[1] not in (1, 3):
        raise RequestError(
            f"outputs have shape {found.mean.shape[1:]}, which are no images and no poses; expected either for a "
            "film: write --out a .png or .npz"
        )
    from vaekit.figures.animation import save_animation

    bytes_ = (found.mean.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    bytes_ = np.broadcast_to(bytes_, (*bytes_.shape[:3], 3))
    enlarge = max(1, 256 // max(bytes_.shape[1:3]))
    return save_animation((f.repeat(enlarge, 0).repeat(enlarge, 1) for f in bytes_), path, fps=fps, back=False)
