r"""Codes: from data to latent points, and from latent points to data."""

__all__ = ["decode", "encode"]

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.api import Split
from vaekit.commands.files import examples_of, free_path, free_paths, open_run, write, write_binary
from vaekit.errors import RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

    trained = open_run(run)
    path = free_path(trained, out, "codes.npz", (".npz",), force)
    labels, examples = examples_of(trained, data, data_options, split)
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
    return write_binary(path, lambda file: np.savez(file, **arrays))


def decode(run: str, codes: str, context: str | None = None, out: str | None = None, force: bool = False) -> Path:
    r"""Decode latent points from an .npy file, or the means of an .npz file that encode made.

    Arguments:
        run: The run directory.
        codes: The file: an array of shape (n, latent_dim), or of codes, whole numbers, in the shape of their grid.
        context: What a conditional model is told: class names or numbers between commas, taken in turn, or an .npy file
            of contexts; by default every class in turn, or what is known of the first test examples.
        out: The file, .png or .npy, of tables also .csv, of melodies .mid or .wav; by default decoded.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, the points do not fit it, or the file cannot be written.
    """
    import numpy as np
    import torch

    from vaekit.contexts import contexts_for
    from vaekit.kinds import kind_of_run
    from vaekit.models import VectorQuantized

    trained = open_run(run)
    kind = kind_of_run(trained)
    paths = free_paths(trained, out, "decoded.png", (".png", ".npy"), kind, force)
    z = _points(Path(codes))
    given = contexts_for(trained, max(len(z), 1), context)
    size = ", ".join(map(str, trained.model.latent(given).event_shape))
    if not z.ndim or ", ".join(map(str, z.shape[1:])) != size:
        raise RequestError(
            f"{codes} holds an array of shape {z.shape}; expected (n, {size}), the run's latent size: "
            "make it with `vaekit encode`, or reshape it"
        )
    if not np.isfinite(z).all():
        raise RequestError(f"{codes} holds NaN or infinity; expected finite latent points: remove those rows")
    latents = torch.from_numpy(z.astype(np.float32))
    if isinstance(trained.model, VectorQuantized):
        latents, values = torch.from_numpy(z.astype(np.int64)), trained.model.quantiser.codes
        if z.size and ((latents.numpy() != z).any() or z.min() < 0 or z.max() >= values):
            raise RequestError(
                f"{codes} holds numbers from {z.min():g} to {z.max():g}; expected codes, whole numbers from 0 to "
                f"{values - 1}: make them with `vaekit encode`"
            )
    with torch.no_grad():
        x = trained.model.decode(latents, given).mean.numpy()
    return write(paths, x, kind, lambda: kind.samples(x[:400]))


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
