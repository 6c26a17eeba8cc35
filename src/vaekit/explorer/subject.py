r"""The subject of the explorer: a trained model with the data to look at it by."""

__all__ = ["Subject", "subject_of"]

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.transforms import Transform, default_transform, view
from vaekit.errors import RequestError
from vaekit.explorer.views import View, view_of
from vaekit.latent import mean_codes, vector_prior
from vaekit.models import VAE
from vaekit.networks import OneHot
from vaekit.storage import plain

if TYPE_CHECKING:
    from vaekit.data import Dataset
    from vaekit.data.dataset import Split
    from vaekit.runs import Run

_TOLD = 12  # contexts that are offered where these are no classes


@dataclass(frozen=True, eq=False)
class Subject:
    r"""A model with continuous latents, what feeds it, and data.

    Arguments:
        model: The model, trained.
        data: Data, of which the test split is shown.
        transform: From data as stored to what the likelihood describes.
        title: What to call it.
        settings: What it was made with, to be said on the page.
    """

    model: VAE
    data: "Dataset"
    transform: Transform
    title: str
    settings: str = ""

    @cached_property
    def examples(self) -> "Split":
        """The examples that are shown: those of the test split, if there are any."""
        return self.data.test if len(self.data.test) else self.data.train

    @cached_property
    def view(self) -> View:
        """How its data are shown."""
        return view_of(self.examples.x, self.data.levels)

    @cached_property
    def contexts(self) -> Tensor | None:
        """What a conditional model can be told on the page, one row each, or None."""
        network = self.model.context_network
        if network is None:
            return None
        if isinstance(network, OneHot):
            return torch.arange(network.size)
        given = self.examples.given
        assert given is not None
        return torch.as_tensor(np.asarray(given[:_TOLD]))

    @property
    def context_names(self) -> list[str] | None:
        """Names of these contexts."""
        if self.contexts is None:
            return None
        if isinstance(self.model.context_network, OneHot):
            return class_names(self.data, len(self.contexts))
        return [f"as test example {number}" for number in range(len(self.contexts))]

    @cached_property
    def latent_dim(self) -> int:
        """Size of z."""
        return vector_prior(self.model, self.told(0, 1)).event_shape[0]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    def told(self, context: int, n: int) -> Tensor | None:
        """Return n rows of one of the contexts, or None for a model that is told nothing."""
        if self.contexts is None:
            return None
        return self.contexts[context].expand(n, *self.contexts.shape[1:]).to(self.device)

    def stored(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Return values in [0, 1], shape `(n, *shape)`, as the data are stored."""
        if self.data.levels is None:
            return (self.view.origin + self.view.unit * values).astype(np.float32)
        return np.rint(values * (self.data.levels - 1)).astype(np.uint8)

    def shown(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return data as stored as values in [0, 1]."""
        if self.data.levels is None:
            return self.view.values(x)
        return np.asarray(x / np.float32(self.data.levels - 1), np.float32)

    def seen(self, values: NDArray[np.float32]) -> Tensor:
        """Return values in [0, 1] as the model sees them; what is random in that is the same every time."""
        blocks = view(self.stored(values), self.transform, 0, self.device)
        return torch.cat(list(blocks))


def subject_of(
    what: "Run | VAE | str | os.PathLike[str]", data: Any = None, transform: Transform | None = None
) -> Subject:
    r"""Return what is to be explored.

    Arguments:
        what: A run, its directory, or a model.
        data: Other data than the run's, or the data of a model: a dataset, a name or a path.
        transform: What feeds a model; by default what suits the data. A run has its own.

    Raises:
        RequestError: If there is no trained run, a model comes without data, or its latents are not vectors of real
            numbers.
    """
    from vaekit.data import load_dataset
    from vaekit.runs import Run

    if isinstance(what, torch.nn.Module):
        if data is None:
            raise RequestError("a model was given without data; expected data to draw its map: pass data='mnist', say")
        dataset = load_dataset(data)
        feed = transform or default_transform(dataset, dataset.suggested)
        return _checked(Subject(_continuous(what), dataset, feed, f"{type(what).__name__} of {dataset.name}"))
    run = what if isinstance(what, Run) else Run(what)
    run.require_trained()
    model, dataset = _continuous(run.plan.model), run.dataset(data)
    recipe = run.config["recipe"] or type(model).__name__
    arguments = plain(run.config["arguments"])
    settings = ", ".join(f"{name} {value}" for name, value in arguments.items() if isinstance(value, int | float | str))
    return _checked(Subject(model, dataset, run.plan.transform, f"{recipe} of {dataset.name}", settings))


def class_names(data: "Dataset", n: int) -> list[str]:
    """Return the names of n classes, which are their numbers where the data have no names for them."""
    names = data.label_names or ()
    return [names[number] if number < len(names) else str(number) for number in range(n)]


def _continuous(model: Any) -> VAE:
    needed = ("encode", "decode", "latent")
    if not isinstance(model, VAE) or not all(callable(getattr(model, name, None)) for name in needed):
        raise RequestError(
            f"the model is a {type(model).__name__}, whose latents are not one vector of real numbers an example; "
            "expected a model with such latents, as of the recipes vae or beta-vae: look at this one with `vaekit "
            "reconstruct` and `vaekit sample`"
        )
    return model.eval()


def _checked(subject: Subject) -> Subject:
    """Try one example, so that what cannot be explored is refused before a page opens."""
    values = subject.shown(np.asarray(subject.examples.x[:1]))
    mean_codes(subject.model, subject.seen(values), subject.told(0, 1))
    return subject
