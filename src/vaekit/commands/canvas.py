r"""The canvas of a model that draws step by step, as it fills."""

__all__ = ["canvas"]

from pathlib import Path
from typing import Any, Literal

from vaekit.api import Split
from vaekit.commands.files import PICTURES, examples_of, free_path, open_run, title_of
from vaekit.errors import RequestError

STEPS = 12  # side by side in a picture


def canvas(
    run: str,
    of: Literal["samples", "reconstructions"] = "samples",
    data: str | None = None,
    data_options: dict[str, Any] | None = None,
    split: Split = "test",
    n: int = 8,
    seed: int = 0,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Show how a DRAW model draws: the canvas after each step, with the window that it was drawn through.

    Arguments:
        run: The run directory.
        of: What is drawn: samples, new examples; or reconstructions, the first examples of a split.
        data: Other data than those it was trained on.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        split: Which split of the data.
        n: How many examples.
        seed: Of every random draw.
        out: The file: .png for steps side by side, .gif or .mp4 for every step as a frame; by default canvas.png in
            the run directory.
        force: Write over the file.

    Returns:
        Where the file is.

    Raises:
        RequestError: If there is no trained run, its model does not draw step by step, the data do not fit it, or the
            file cannot be written.
    """
    from vaekit.figures import save
    from vaekit.figures.animation import save_animation
    from vaekit.figures.canvas import boxed, evenly
    from vaekit.figures.strips import frames, strips
    from vaekit.models import DRAW, seeded

    trained = open_run(run)
    model = trained.model
    if not isinstance(model, DRAW):
        raise RequestError(
            f"the model of {run} is a {type(model).__name__}, which makes an example at once; expected one that draws "
            "step by step: train the recipe draw"
        )
    path = free_path(trained, out, "canvas.png", PICTURES, force)
    if n < 1:
        raise RequestError(f"n is {n}; expected at least 1 example: pass --n 8")
    if of == "samples":
        with seeded(seed):
            z = model.latent().sample((n,))
    else:
        _, examples = examples_of(trained, data, data_options, split, n)
        z = model.encode(next(iter(examples))[0]).mean.detach()
    images, boxes = model.draw(z)
    still = path.suffix.lower() == ".png"
    steps = evenly(images.shape[1], STEPS if still else images.shape[1])
    where = None if boxes is None else boxes[:, steps].cpu().numpy()
    grid = boxed(images[:, steps].cpu().numpy(), where)
    columns = [f"step {step + 1}" for step in steps]
    title = f"{of.capitalize()}: {title_of(trained)}"
    if still:
        return save(strips(grid, columns=columns, title=title), path)
    return save_animation(frames(grid, columns=columns, title=title), path, back=False)
