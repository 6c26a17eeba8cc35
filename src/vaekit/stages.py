r"""Stages: what is done to a model after its training by gradients, and kept with it."""

__all__ = ["ExPostDensity", "Stage", "run_stages"]

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from vaekit.data.transforms import Transform, pairs
from vaekit.errors import RequestError
from vaekit.models.base import LatentVariableModel, seed_of, seeded

if TYPE_CHECKING:
    from vaekit.data import Dataset, Split

LINE_SECONDS = 5.0  # between two lines of a log that say how far a stage is


class Stage(Protocol):
    r"""One thing to do to a trained model.

    A plan lists its stages. They run one after the other when the training is over, on the weights that it selected
    and before these are written; what a stage makes has to be parameters or buffers whose shapes the untrained model
    has too. A run that is killed in a stage does it again when it is resumed, so that `fit` must depend on what it is
    given and nothing else.
    """

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def fit(
        self,
        model: LatentVariableModel,
        data: "Dataset",
        transform: Transform,
        seed: int,
        device: torch.device,
        advance: Callable[[float], object],
    ) -> dict[str, float]:
        """Change the model in place, and return numbers worth keeping.

        `advance` is called now and then with the share of the work that is done, from 0 to 1.
        """
        ...


def run_stages(
    stages: Iterable[Stage],
    model: LatentVariableModel,
    data: "Dataset",
    transform: Transform,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> dict[str, dict[str, float]]:
    r"""Run stages on a trained model, in their order, and return the numbers of each by its name.

    The model is in evaluation mode meanwhile, and left in it. Random numbers come from the seed, and the caller's
    random state stays as it was.

    Arguments:
        stages: What to do.
        model: The trained model, on the device.
        data: What it was trained on.
        transform: From data as stored to what the likelihood describes.
        seed: Of every random draw.
        device: Where to compute.
        progress: Show how far each stage is and what came of it: a bar on a terminal, and elsewhere a line now and
            then.
    """
    model.eval()
    numbers = {}
    for stage in stages:
        with seeded(seed), _shown(stage.name, progress) as (advance, say):
            found = numbers[stage.name] = stage.fit(model, data, transform, seed, torch.device(device), advance)
            say("  ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in found.items()))
    return numbers


@dataclass(frozen=True)
class ExPostDensity:
    r"""The stage that fits a prior to the codes of the training data, so that any autoencoder can be sampled.

    The codes are draws of the posteriors, one for each training example, which is to say of the aggregate posterior;
    of a point posterior they are the codes themselves. The codes of the validation data are held out, and a
    conditional model's contexts come with them, as its parts get them. The model's prior has to be a
    `vaekit.distributions.fitted.FittedPrior`, as `vaekit.distributions.FullMixturePrior` is.

    References:
        From variational to deterministic autoencoders (Ghosh et al., 2020), section 4.

    Example:
        >>> from vaekit.data import load_dataset
        >>> from vaekit.recipes.autoencoder import autoencoder
        >>> from vaekit.plan import DataSpec
        >>> data = load_dataset("digits")
        >>> plan = autoencoder(DataSpec.of(data), latent_dim=2, density="gaussian")
        >>> plan.model.latent().mean
        tensor([0., 0.])
        >>> sorted(run_stages(plan.stages, plan.model, data, plan.transform)["density"])
        ['held_out_nll', 'nll']
        >>> bool((plan.model.latent().mean != 0).all())
        True
    """

    name: str = "density"

    def fit(
        self,
        model: LatentVariableModel,
        data: "Dataset",
        transform: Transform,
        seed: int,
        device: torch.device,
        advance: Callable[[float], object],
    ) -> dict[str, float]:
        """Fit the model's prior, and return what it says of its fit.

        Raises:
            RequestError: If the model's prior cannot be fitted.
        """
        prior = cast(Any, model).prior
        if not hasattr(prior, "fit"):
            raise RequestError(
                f"the prior is a {type(prior).__name__}, which cannot be fitted to codes; expected one with "
                "fit(codes, seed): use vaekit.distributions.FullMixturePrior"
            )
        codes, context = _codes(model, data.train, transform, seed, device)
        held_out = _codes(model, data.validation, transform, seed, device) if len(data.validation) else None
        found: dict[str, float] = prior.fit(codes, seed, context=context, held_out=held_out, advance=advance)
        return found


@torch.no_grad()
def _codes(
    model: LatentVariableModel, split: "Split", transform: Transform, seed: int, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Draw z for each example, shape `(n, ...)`, with the context that the prior gets beside it."""
    embed = getattr(model, "context_network", None)
    codes, contexts = [], []
    given = split.given if model.conditional else None
    for number, (block, told) in enumerate(pairs(split.x, transform, given, seed, device)):
        with seeded(seed_of(seed, number)):
            codes.append(cast(Any, model).encode(block, told).sample())
        if told is not None:
            contexts.append(told if embed is None else embed(told))
    return torch.cat(codes), torch.cat(contexts) if contexts else None


@contextlib.contextmanager
def _shown(name: str, enabled: bool) -> Iterator[tuple[Callable[[float], object], Callable[[str], object]]]:
    """Give what shows how far a stage is, and what says how it ended."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    shown = time.monotonic()

    def line(text: str) -> None:
        nonlocal shown
        shown = time.monotonic()
        console.print(f"{name}  {text}", highlight=False, soft_wrap=True)

    with Progress(console=console, disable=not (enabled and console.is_terminal), transient=True) as bar:
        task = bar.add_task(name, total=1.0)

        def advance(share: float) -> None:
            bar.update(task, completed=share)
            if enabled and not console.is_terminal and time.monotonic() - shown > LINE_SECONDS:
                line(f"{share:.0%}")

        yield advance, lambda text: line(text) if enabled and text else None


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
