r"""The picture of the lectures: what the two terms of the bound do to a plane of codes, each alone and together."""

__all__ = ["three_ways"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.errors import RequestError

if TYPE_CHECKING:
    from vaekit.figures.comparison import Column
    from vaekit.runs import Run

# A weight at which the rate is all that counts, by a recipe that has no such thing as no reconstruction.
_RATE_ONLY = 1e5
_WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "reconstruction": ("reconstruction only: an autoencoder", "autoencoder", {"density": "none"}),
    "rate": ("rate only", "vae", {"beta": _RATE_ONLY, "warmup": 0.0}),
    "both": ("both: a variational autoencoder", "vae", {"warmup": 0.0}),
}
_PLOTTED, _SAMPLES, _PATHS, _STEPS = 3000, 64, 4, 9


def three_ways(
    data: str = "mnist",
    data_options: dict[str, Any] | None = None,
    out: str = "runs/three-ways",
    epochs: int = 5,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    r"""Train on reconstruction only, on the rate only and on both, and draw the three planes side by side.

    Three models with two latent units, alike but for what is minimised: an autoencoder, a VAE with a weight on the
    rate beside which nothing else counts, and a VAE. Of each there are codes of the test data, samples from the
    prior, and interpolations. The runs are kept: the same command again goes on with what is unfinished, and draws the
    picture anew.

    Arguments:
        data: A name that `vaekit datasets` lists, or a path to a .npy or .npz file, a table (.csv, .tsv,
            .parquet) or a folder of images.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        out: The folder of the three runs and the picture, three-ways.png.
        epochs: Passes over the training data, for each of the three.
        seed: Of every random draw.
        progress: Show progress.

    Returns:
        Where the picture is.

    Raises:
        RequestError: If the data cannot be loaded, or something else is in the folder.
    """
    folder = Path(out)
    runs = {
        way: _run(
            folder / way, recipe, {"epochs": epochs, "latent_dim": 2, **arguments}, data, data_options, seed, progress
        )
        for way, (_, recipe, arguments) in _WAYS.items()
    }

    from vaekit.figures import save
    from vaekit.figures.comparison import columns

    drawn = [_column(runs[way], title, seed) for way, (title, _, _) in _WAYS.items()]
    both = runs["both"].data
    title = f"What each term does to the codes: {both.name}, two latent units, {epochs} epochs"
    return save(columns(drawn, label_names=both.label_names, title=title), folder / "three-ways.png")


def _run(
    directory: Path,
    recipe: str,
    arguments: dict[str, Any],
    data: str,
    data_options: dict[str, Any] | None,
    seed: int,
    progress: bool,
) -> "Run":
    """A run as it is, gone on with, or new."""
    from vaekit.api import train
    from vaekit.runs import Run, RunState

    run = Run(directory)
    options: dict[str, Any] = {"out": directory, "seed": seed, "nll_samples": 0, "progress": progress, **arguments}
    if run.state is RunState.ABSENT:
        train(recipe, data, data_options=data_options, **options)
    else:
        if run.state is RunState.FOREIGN:
            raise RequestError(
                f"{directory} exists and is no run directory; nothing in it is touched: pass another --out"
            )
        run.check_same(recipe, {**arguments, "seed": seed})
        if run.config["data"]["reference"] != data:
            raise RequestError(
                f"{directory} was trained on {run.config['data']['reference']}; expected {data}: pass another --out"
            )
        if run.state is not RunState.COMPLETE:
            train(recipe, resume=True, **options)
    return Run(directory)  # read anew, so that the picture is of what is kept


def _column(run: "Run", title: str, seed: int) -> "Column":
    """What is shown of one model."""
    import torch

    from vaekit.commands.picking import model_view
    from vaekit.data.rows import take
    from vaekit.evaluation.posterior import random_rows
    from vaekit.figures.comparison import Column
    from vaekit.latent import interpolate
    from vaekit.models import seeded

    part = run.data.test
    rows = random_rows(len(part), _PLOTTED, seed)
    with torch.no_grad(), seeded(seed):
        # Draws, and not means: where only the rate counts all means are one, and the cloud is the point.
        z = run.model.encode(model_view(run, take(part.x, rows))).sample().numpy()
    pairs = model_view(run, take(part.x, random_rows(len(part), 2 * _PATHS, seed + 1)))
    paths = torch.stack([interpolate(run.model, pairs[i::_PATHS], _STEPS).x for i in range(len(pairs) // 2)])
    return Column(
        title=title,
        codes=z,
        labels=None if part.labels is None else part.labels[rows],
        samples=run.model.sample(_SAMPLES, seed=seed).numpy(),
        paths=paths.numpy(),
    )
