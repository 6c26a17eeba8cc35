r"""Examples: new ones, and what becomes of known ones that are encoded and decoded."""

__all__ = ["reconstruct", "sample"]

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vaekit.api import Split
from vaekit.commands.files import examples_of, free_paths, open_run, write
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
    noise: bool | Literal["auto"] = "auto",
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int = 0,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Draw new examples from a trained run, to a picture (.png) or an array (.npy).

    Melodies are also written one after the other in MIDI (.mid) and as sound (.wav, the first five minutes).

    Arguments:
        run: The run directory.
        n: How many.
        context: What a conditional model is told: class names or numbers between commas, taken in turn, or an .npy file
            of contexts; by default every class in turn, or what is known of the first test examples.
        noise: Whether x is drawn from the likelihood too, and not its mean is shown; auto does so for tables. Symbols,
            which have no mean, always are drawn.
        temperature: Of symbols drawn one after the other: below 1 for likelier ones, above for more varied ones, 0
            for the likeliest.
        top_p: Draw each of them from the fewest that have this probability together.
        seed: Of every random draw.
        out: The file, .png or .npy, of tables also .csv, of melodies .mid or .wav; by default samples.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, its decoder does not draw symbols though a temperature or `top_p` is
            given, or the file cannot be written.
    """
    from vaekit.contexts import contexts_for
    from vaekit.kinds import kind_of_run

    trained = open_run(run)
    kind = kind_of_run(trained)
    paths = free_paths(trained, out, "samples.png", (".png", ".npy"), kind, force)
    given = contexts_for(trained, n, context) if n > 0 else None
    options = {name: value for name, value in (("temperature", temperature), ("top_p", top_p)) if value is not None}
    if options:
        x = _drawn(trained, n, given, seed, options)
    else:
        x = trained.model.sample(n, given, mean=not (kind.noisy if noise == "auto" else noise), seed=seed).cpu().numpy()
    return write(paths, x, kind, lambda: kind.samples(x))


def _drawn(run: "Run", n: int, given: "Tensor | None", seed: int, options: dict[str, float]) -> "NDArray[np.float32]":
    """Examples that a decoder of symbols draws with options; z is drawn as without."""
    import inspect

    import torch

    from vaekit.models import seeded

    if n < 1:
        raise RequestError(f"n is {n}; expected at least 1 sample: pass a positive number")
    with torch.no_grad(), seeded(seed):
        prior = run.model.latent(given)
        p: Any = run.model.decode(prior.sample(() if prior.batch_shape else (n,)), given)
        known = inspect.signature(p.sample).parameters
        missing = [name for name in options if name not in known]
        if missing:
            raise RequestError(
                f"{' and '.join(missing)} given, but the decoder of {run.directory} does not draw symbols one after "
                "the other: leave it out, or train a recipe of melodies"
            )
        drawn: NDArray[np.float32] = p.sample(**options).cpu().numpy()
    return drawn


def reconstruct(
    run: str,
    data: str | None = None,
    data_options: dict[str, Any] | None = None,
    split: Split = "test",
    n: int = 20,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Encode and decode examples, to a picture of originals and reconstructions (.png) or an array (.npy).

    The reconstructions of melodies are also written one after the other in MIDI (.mid) and as sound (.wav).

    Arguments:
        run: The run directory.
        data: Other data than those it was trained on.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        split: Which split of the data.
        n: How many of the first examples; 0 for all.
        out: The file, .png or .npy, of tables also .csv, of melodies .mid or .wav; by default reconstructions.png
            in the run directory, and of tables and melodies these beside it.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, the data do not fit it, or the file cannot be written.
    """
    import numpy as np

    from vaekit.kinds import kind_of_run

    trained = open_run(run)
    kind = kind_of_run(trained)
    paths = free_paths(trained, out, "reconstructions.png", (".png", ".npy"), kind, force)
    if n < 0:
        raise RequestError(f"n is {n}; expected 0 for all, or how many: pass --n 20")
    _, examples = examples_of(trained, data, data_options, split, n)
    pairs = [(x.numpy(), trained.model.reconstruct(x, given).numpy()) for x, given in examples]
    originals, results = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return write(paths, results, kind, lambda: kind.reconstructions(originals[:100], results[:100]))
