r"""What the commands do with a trained run: sample, reconstruct, encode, decode, to files."""

__all__ = ["decode", "encode", "reconstruct", "sample"]

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit import figures
from vaekit.data.transforms import view
from vaekit.errors import RequestError
from vaekit.runs import Run
from vaekit.storage import replace_file

Writer = Callable[[Path], object]


def sample(run: str, n: int, *, noise: bool, seed: int, out: str | None, force: bool) -> Path:
    r"""Draw examples from a run to a picture or an array, and return the file's path."""
    trained = _trained(run)
    path = _free(trained, out, "samples.png", (".png", ".npy"), force)
    x = trained.model.sample(n, mean=not noise, seed=seed).cpu().numpy()
    return _write(path, x, lambda: figures.sample_grid(x))


def reconstruct(run: str, *, data: str | None, split: str, n: int, out: str | None, force: bool) -> Path:
    r"""Encode and decode examples to a picture or an array, and return the file's path."""
    trained = _trained(run)
    path = _free(trained, out, "reconstructions.png", (".png", ".npy"), force)
    if n < 0:
        raise RequestError(f"n is {n}; expected 0 for all, or how many: pass --n 20")
    stored, _ = _examples(trained, data, split)
    pairs = [
        (x.numpy(), trained.model.reconstruct(x).numpy())
        for x in view(stored[: n or len(stored)], trained.plan.transform, 0)
    ]
    originals, results = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return _write(path, results, lambda: figures.reconstructions(originals[:100], results[:100]))


def encode(run: str, *, data: str | None, split: str, out: str | None, force: bool) -> Path:
    r"""Encode examples to posterior means and standard deviations, and return the file's path."""
    trained = _trained(run)
    path = _free(trained, out, "codes.npz", (".npz",), force)
    stored, labels = _examples(trained, data, split)
    means, scales = [], []
    with torch.no_grad():
        for x in view(stored, trained.plan.transform, 0):
            q = trained.model.encode(x)
            means.append(q.mean.numpy())
            scales.append(q.stddev.numpy())
    arrays: dict[str, Any] = {"mean": np.concatenate(means), "stddev": np.concatenate(scales)}
    arrays |= {} if labels is None else {"labels": labels}
    return _replace(path, lambda file: np.savez(file, **arrays))


def decode(run: str, codes: str, *, out: str | None, force: bool) -> Path:
    r"""Decode latent points to a picture or an array, and return the file's path."""
    trained = _trained(run)
    path = _free(trained, out, "decoded.png", (".png", ".npy"), force)
    z = _points(Path(codes))
    latent_dim = trained.model.prior().event_shape[0]
    if z.ndim != 2 or z.shape[1] != latent_dim:
        raise RequestError(
            f"{codes} holds an array of shape {z.shape}; expected (n, {latent_dim}), the run's latent size: "
            "make it with `vaekit encode`, or reshape it"
        )
    if not np.isfinite(z).all():
        raise RequestError(f"{codes} holds NaN or infinity; expected finite latent points: remove those rows")
    with torch.no_grad():
        x = trained.model.decode(torch.from_numpy(z.astype(np.float32))).mean.numpy()
    return _write(path, x, lambda: figures.sample_grid(x[:400]))


def _trained(run: str) -> Run:
    trained = Run(run)
    trained.require_trained()
    return trained


def _examples(run: Run, data: str | None, split: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    chosen = run.dataset(data).splits[split]
    if not len(chosen):
        raise RequestError(f"the {split} split is empty: pass --split with another one")
    return chosen.x, chosen.labels


def _points(path: Path) -> NDArray[Any]:
    try:
        content = np.load(path, allow_pickle=False)
        return np.asarray(content["mean"]) if isinstance(content, np.lib.npyio.NpzFile) else content
    except FileNotFoundError:
        raise RequestError(f"{path} does not exist; expected an .npy file of latent points: check the path") from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"{path} cannot be read ({reason}); expected an .npy array, or an .npz file with an array named mean: "
            "make one with `vaekit encode`"
        ) from None


def _free(run: Run, out: str | None, default: str, endings: tuple[str, ...], force: bool) -> Path:
    path = run.directory / default if out is None else Path(out)
    if path.suffix.lower() not in endings:
        raise RequestError(f"--out is {str(path)!r}; expected a file that ends in {' or '.join(endings)}: rename it")
    if not path.parent.is_dir():
        raise RequestError(f"--out is {str(path)!r}, in a folder that does not exist: make {path.parent} first")
    if path.is_dir():
        raise RequestError(f"--out is {str(path)!r}, a folder; expected a file: pass another name")
    if path.exists() and not force:
        raise RequestError(f"{path} exists: pass another --out, or --force to write over it")
    return path


def _write(path: Path, x: NDArray[Any], draw: Callable[[], Any]) -> Path:
    if path.suffix.lower() == ".png":
        return figures.save(draw(), path)
    return _replace(path, lambda file: np.save(file, x))


def _replace(path: Path, write: Callable[[Any], object]) -> Path:
    def to_file(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # numpy appends its own ending to a name
            write(file)

    replace_file(path, to_file)
    return path
