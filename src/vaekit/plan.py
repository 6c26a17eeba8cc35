r"""A plan: a model and how to train it. It is what a recipe returns."""

__all__ = ["DataSpec", "Plan"]

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.order import Order, Shuffled
from vaekit.errors import RequestError, nearest
from vaekit.schedules import Constant, Schedule

if TYPE_CHECKING:
    from vaekit.data import Dataset, Split
    from vaekit.data.augmentation import Augmentation
    from vaekit.data.transforms import Transform
    from vaekit.models import LatentVariableModel
    from vaekit.stages import Stage


@dataclass(frozen=True)
class DataSpec:
    r"""What a recipe may know of the data, so that a saved model is rebuilt without them.

    Arguments:
        name: Name of the data set.
        shape: Shape of one example.
        levels: Number of values an entry takes as stored, such as 256 for bytes; None for real numbers.
        suggested: Name of the likelihood that suits the data.
        size: Number of training examples.
        classes: Number of classes, where the examples have labels.
        context_shape: Shape of what else a conditional model is told of one example, where there is anything.
        mean: Mean of the training examples as fractions of the largest level, shape `shape`; None when a saved
            model is rebuilt, where weights are loaded anyway.
        deviation: Standard deviation of each entry of examples that are real numbers, shape `shape`; else None.
        examples: The training examples with their labels, for a recipe that takes some of them; None when a saved
            model is rebuilt.
        sequences: Whether a context begins with the number of the example's sequence.

    Example:
        >>> DataSpec.from_json(DataSpec("mnist", (1, 28, 28), 256, "bernoulli").to_json()).shape
        (1, 28, 28)
        >>> DataSpec.from_json({"name": "x", "shape": [3], "levels": None, "suggested": "gaussian"}).size
        0
    """

    name: str
    shape: tuple[int, ...]
    levels: int | None
    suggested: str
    size: int = 0
    classes: int | None = None
    context_shape: tuple[int, ...] | None = None
    mean: np.ndarray[Any, Any] | None = field(default=None, compare=False, repr=False)
    deviation: np.ndarray[Any, Any] | None = field(default=None, compare=False, repr=False)
    examples: "Split | None" = field(default=None, compare=False, repr=False)
    sequences: bool = False

    @classmethod
    def of(cls, data: "Dataset") -> "DataSpec":
        """Describe a data set."""
        from vaekit.data.rows import deviation_of, mean_of

        largest = 1 if data.levels is None else data.levels - 1
        mean = mean_of(data.train.x) / largest
        context, given = data.train.context, data.train.given
        told = None if context is None or given is None else tuple(given.shape[1:])
        return cls(
            data.name,
            data.shape,
            data.levels,
            data.suggested,
            len(data.train),
            data.classes,
            told,
            mean,
            deviation_of(data.train.x) if data.levels is None else None,
            data.train,
            sequences=data.train.sequence is not None and told is not None and len(told) == 1,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `config.json` keeps."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "DataSpec":
        """Read what `config.json` kept; what has a default may be missing."""
        known = {f.name for f in fields(cls) if f.compare}
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in entry.items() if name in known
        }
        return cls(**kept)


@dataclass(frozen=True)
class Plan:
    r"""A model, the transform that feeds it, and how it is trained.

    Arguments:
        model: What is trained.
        transform: From data as stored to what the likelihood describes.
        epochs: Passes over the training data.
        batch_size: Examples in a step, over all devices together.
        learning_rate: Adam's step size.
        schedule: Multiplies the learning rate over time.
        optimizer: "adam" or "adamw".
        betas: Adam's averaging coefficients.
        eps: Adam's epsilon.
        weight_decay: AdamW's decoupled decay, or Adam's L2 penalty.
        clip: Largest norm of the gradient; None to leave it.
        patience: Epochs without a better validation bound before training stops; None to run them all.
        train_on: "train", or "all" for training and validation data together, where a published protocol has no
            validation set. The validation columns of the log then describe data that were seen.
        select: Keep the weights of the "best" epoch by the validation bound, or those of the "last".
        phases: What a phase's optimiser has of its own, by the phase's name: "learning_rate", "betas", "eps",
            "weight_decay", as for the discriminator of an adversarial objective.
        stages: What is done to the model after its training, in order; see `vaekit.stages.Stage`.
        order: In which order an epoch visits the rows; see `vaekit.data.order.Order`.
        augment: What rows that are trained on are changed by, at every visit, before the transform; validation and
            evaluation see them as they are. See `vaekit.data.augmentation.Augmentation`.

    Raises:
        RequestError: If a value is out of its range.
    """

    model: "LatentVariableModel"
    transform: "Transform"
    epochs: int = 100
    batch_size: int = 100
    learning_rate: float = 1e-3
    schedule: Schedule = field(default_factory=Constant)
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float | None = None
    patience: int | None = None
    train_on: str = "train"
    select: str = "best"
    phases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stages: "tuple[Stage, ...]" = ()
    order: Order = field(default_factory=Shuffled)
    augment: "Augmentation | None" = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RequestError(f"{name} is {value}; expected at least 1: pass --{name.replace('_', '-')} 1 or more")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise RequestError(
                    f"{name} is {value}; expected a number above 0: pass --{name.replace('_', '-')} 0.001, say"
                )
        for name in ("weight_decay", "eps"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise RequestError(f"{name} is {value}; expected a number of at least 0: pass 1e-8, say")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise RequestError(f"betas are {self.betas}; expected two numbers from 0 up, below 1: pass (0.9, 0.999)")
        for name, choices in (
            ("optimizer", ("adam", "adamw")),
            ("train_on", ("train", "all")),
            ("select", ("best", "last")),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise RequestError(
                    f"{name} is {value!r}; expected one of {', '.join(choices)}.{nearest(value, choices)}"
                )
        for name, options in self.phases.items():
            known = ("learning_rate", "betas", "eps", "weight_decay")
            for option in options:
                if option not in known:
                    raise RequestError(
                        f"phase {name!r} has an option {option!r}; expected one of {', '.join(known)}."
                        f"{nearest(option, known)}"
                    )
        unknown = self.phases.keys() - self.model.phases().keys()
        if unknown:
            raise RequestError(
                f"there are options for phases {', '.join(sorted(unknown))}; expected names of the model's phases, "
                f"{', '.join(self.model.phases())}"
            )
        settled = self.model.objective.settled
        if settled >= self.epochs:
            raise RequestError(
                f"the weight of the rate settles after {settled:g} epochs but training has {self.epochs}: "
                "shorten the warm-up or train for longer, or the bound is never what is trained"
            )

    def with_options(self, **options: Any) -> "Plan":
        """Return the plan with the options that are not None in place of its own."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})
