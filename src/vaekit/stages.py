r"""Stages: what is done to a model after its training by gradients, and kept with it."""

__all__ = ["ExPostDensity", "Stage", "run_stages"]

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from vaekit.data.transforms import Transform, pairs
from vaekit.errors import RequestError
from vaekit.models.base import LatentVariableModel, seed_of, seeded

if TYPE_CHECKING:
    from vaekit.data import Dataset


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
        self, model: LatentVariableModel, data: "Dataset", transform: Transform, seed: int, device: torch.device
    ) -> None:
        """Change the model in place."""
        ...


def run_stages(
    stages: Iterable[Stage],
    model: LatentVariableModel,
    data: "Dataset",
    transform: Transform,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> None:
    r"""Run stages on a trained model, in their order.

    The model is in evaluation mode meanwhile, and left in it. Random numbers come from the seed, and the caller's
    random state stays as it was.

    Arguments:
        stages: What to do.
        model: The trained model, on the device.
        data: What it was trained on.
        transform: From data as stored to what the likelihood describes.
        seed: Of every random draw.
        device: Where to compute.
    """
    model.eval()
    for stage in stages:
        with seeded(seed):
            stage.fit(model, data, transform, seed, torch.device(device))


@dataclass(frozen=True)
class ExPostDensity:
    r"""The stage that fits a prior to the codes of the training data, so that any autoencoder can be sampled.

    The codes are draws of the posteriors, one for each training example, which is to say of the aggregate posterior;
    of a point posterior they are the codes themselves. The model's prior has to have `fit(codes, seed)`, as
    `vaekit.distributions.FullMixturePrior` has.

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
        >>> run_stages(plan.stages, plan.model, data, plan.transform)
        >>> bool((plan.model.latent().mean != 0).all())
        True
    """

    name: str = "density"

    def fit(
        self, model: LatentVariableModel, data: "Dataset", transform: Transform, seed: int, device: torch.device
    ) -> None:
        """Fit the model's prior.

        Raises:
            RequestError: If the model's prior cannot be fitted.
        """
        prior = cast(Any, model).prior
        if not hasattr(prior, "fit"):
            raise RequestError(
                f"the prior is a {type(prior).__name__}, which cannot be fitted to codes; expected one with "
                "fit(codes, seed): use vaekit.distributions.FullMixturePrior"
            )
        prior.fit(_codes(model, data, transform, seed, device), seed)


@torch.no_grad()
def _codes(
    model: LatentVariableModel, data: "Dataset", transform: Transform, seed: int, device: torch.device
) -> Tensor:
    """Draw z for each training example, shape `(n, latent_dim)`."""
    context = data.train.given if model.conditional else None
    drawn = []
    for number, (block, given) in enumerate(pairs(data.train.x, transform, context, seed, device)):
        with seeded(seed_of(seed, number)):
            drawn.append(cast(Any, model).encode(block, given).sample())
    return torch.cat(drawn)
