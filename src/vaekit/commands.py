r"""What the commands do with a trained run: sample, reconstruct, encode, decode, to files.

The command line takes its options and their help from here, and answers `--help` from them: what is heavy is imported
inside.
"""

__all__ = ["decode", "encode", "reconstruct", "sample"]

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.api import Split
from vaekit.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from vaekit.runs import Run


def sample(
    run: str,
    n: int = 64,
    context: str | None = None,
    noise: bool = False,
    seed: int = 0,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Draw new examples from a trained run, to a picture (.png) or an array (.npy).

    Arguments:
        run: The run directory.
        n: How many.
        context: What a conditional model is told: class names or numbers between commas, taken in turn, or an .npy file
            of contexts; by default every class in turn, or what is known of the first test examples.
        noise: Draw x from the likelihood too, instead of showing its mean.
        seed: Of every random draw.
        out: The file, .png or .npy; by default samples.png in the run directory.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, or the file cannot be written.
    """
    from vaekit.contexts import contexts_for

    trained = _trained(run)
    path = _free(trained, out, "samples.png", (".png", ".npy"), force)
    given = contexts_for(trained, n, context) if n > 0 else None
    x = trained.model.sample(n, given, mean=not noise, seed=seed).cpu().numpy()
    return _write(path, x, lambda figures: figures.sample_grid(x))


def reconstruct(
    run: str,
    data: str | None = None,
    data_options: dict[str, Any] | None = None,
    split: Split = "test",
    n: int = 20,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Encode and decode examples, to a picture of originals above reconstructions (.png) or an array (.npy).

    Arguments:
        run: The run directory.
        data: Other data than those it was trained on.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        split: Which split of the data.
        n: How many of the first examples; 0 for all.
        out: The file, .png or .npy; by default reconstructions.png in the run directory.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, the data do not fit it, or the file cannot be written.
    """
    import numpy as np

    trained = _trained(run)
    path = _free(trained, out, "reconstructions.png", (".png", ".npy"), force)
    if n < 0:
        raise RequestError(f"n is {n}; expected 0 for all, or how many: pass --n 20")
    _, examples = _examples(trained, data, data_options, split, n)
    pairs = [(x.numpy(), trained.model.reconstruct(x, given).numpy()) for x, given in examples]
    originals, results = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return _write(path, results, lambda figures: figures.reconstructions(originals[:100], results[:100]))


def encode(
    run: str,
    data: str | None = None,
    data_options: dict[str, Any] | None = None,
    split: Split = "test",
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Encode data: posterior means, standard deviations where these are known, and labels, to an .npz file.

    Arguments:
        run: The run directory.
        data: Other data than those it was trained on.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        split: Which split of the data.
        out: The file, .npz; by default codes.npz in the run directory.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, the data do not fit it, or the file cannot be written.
    """
    import numpy as np
    import torch

    trained = _trained(run)
    path = _free(trained, out, "codes.npz", (".npz",), force)
    labels, examples = _examples(trained, data, data_options, split)
    means, scales = [], []
    with torch.no_grad():
        for x, given in examples:
            q = trained.model.encode(x, given)
            means.append(q.mean.numpy())
            with contextlib.suppress(NotImplementedError, AttributeError):  # of a flow it has no closed form
                scales.append(q.stddev.numpy())
    arrays: dict[str, Any] = {"mean": np.concatenate(means)}
    arrays |= {"stddev": np.concatenate(scales)} if scales else {}
    arrays |= {} if labels is None else {"labels": labels}
    return _replace(path, lambda file: np.savez(file, **arrays))


def decode(run: str, codes: str, context: str | None = None, out: str | None = None, force: bool = False) -> Path:
    r"""Decode latent points from an .npy file, or the means of an .npz file that encode made.

    Arguments:
        run: The run directory.
        codes: The file: an array of shape (n, latent_dim).
        context: What a conditional model is told: class names or numbers between commas, taken in turn, or an .npy file
            of contexts; by default every class in turn, or what is known of the first test examples.
        out: The file, .png or .npy; by default decoded.png in the run directory.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, the points do not fit it, or the file cannot be written.
    """
    import numpy as np
    import torch

    from vaekit.contexts import contexts_for

    trained = _trained(run)
    path = _free(trained, out, "decoded.png", (".png", ".npy"), force)
    z = _points(Path(codes))
    given = contexts_for(trained, max(len(z), 1), context)
    latent_dim = trained.model.latent(given).event_shape[0]
    if z.ndim != 2 or z.shape[1] != latent_dim:
        raise RequestError(
            f"{codes} holds an array of shape {z.shape}; expected (n, {latent_dim}), the run's latent size: "
            "make it with `vaekit encode`, or reshape it"
        )
    if not np.isfinite(z).all():
        raise RequestError(f"{codes} holds NaN or infinity; expected finite latent points: remove those rows")
    with torch.no_grad():
        x = trained.model.decode(torch.from_numpy(z.astype(np.float32)), given).mean.numpy()
    return _write(path, x, lambda figures: figures.sample_grid(x[:400]))


def _trained(run: str) -> "Run":
    from vaekit.runs import Run

    trained = Run(run)
    trained.require_trained()
    return trained


def _examples(
    run: "Run", data: str | None, options: dict[str, Any] | None, split: str, n: int = 0
) -> "tuple[NDArray[np.int64] | None, Iterator[tuple[Tensor, Tensor | None]]]":
    """The labels of the first n examples, or of all, and block by block these and what the model is told of them."""
    from vaekit.data.transforms import pairs

    chosen = run.dataset(data, **(options or {})).splits[split]
    if not len(chosen):
        raise RequestError(f"the {split} split is empty: pass --split with another one")
    x = chosen.x[: n or len(chosen)]
    told = chosen.given if run.model.conditional else None
    if told is None and run.model.conditional:
        raise RequestError(
            f"the model of {run.directory} is conditional, but the {split} split has neither labels nor contexts: "
            "pass data that have them"
        )
    return chosen.labels, pairs(x, run.plan.transform, None if told is None else told[: len(x)])


def _points(path: Path) -> "NDArray[Any]":
    import zipfile

    import numpy as np

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


def _free(run: "Run", out: str | None, default: str, endings: tuple[str, ...], force: bool) -> Path:
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


def _write(path: Path, x: "NDArray[Any]", draw: Callable[[Any], Any]) -> Path:
    import numpy as np

    if path.suffix.lower() == ".png":
        from vaekit import figures

        return figures.save(draw(figures), path)
    return _replace(path, lambda file: np.save(file, x))


def _replace(path: Path, write: Callable[[Any], object]) -> Path:
    from vaekit.storage import replace_file

    def to_file(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # numpy appends its own ending to a name
            write(file)

    return replace_file(path, to_file)
