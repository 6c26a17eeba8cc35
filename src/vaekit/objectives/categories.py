r"""The distortion, and two discriminators that hold a code's category and its style each to its prior."""

__all__ = ["AdversarialCategories", "Labelled"]

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaekit.errors import RequestError
from vaekit.networks import MLP
from vaekit.objectives.adversarial import told_apart
from vaekit.objectives.base import Infers, Loss, showing_latents, stopped
from vaekit.objectives.reconstruction import Reconstruction
from vaekit.schedules import Schedule

_LEAST = 1e-30  # of a probability, so that its log and the gradient of that are finite


class Labelled(nn.Module):
    r"""The examples whose labels training may see, from which batches are drawn; no other label is known to it.

    They are not saved with a model, which has no use for them after the training.

    Arguments:
        x: Examples as stored, shape `(m, *data_shape)`.
        labels: Their classes, shape `(m,)`.
        transform: From data as stored to what the likelihood describes.

    Raises:
        RequestError: If there are not as many labels as examples; in `forward`, if there are none.

    Example:
        >>> few = Labelled(torch.arange(3).unsqueeze(1), torch.tensor([4, 5, 6]), transform=lambda x: x.float())
        >>> x, labels = few(100)
        >>> x.shape, bool((labels == x[:, 0] + 4).all())
        (torch.Size([100, 1]), True)
    """

    x: Tensor
    labels: Tensor

    def __init__(self, x: Tensor, labels: Tensor, transform: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        if x.shape[:1] != labels.shape:
            raise RequestError(
                f"there are {len(x)} labelled examples and labels of shape {tuple(labels.shape)}; expected one for each"
            )
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("labels", labels, persistent=False)
        self.transform = transform

    def forward(self, n: int) -> tuple[Tensor, Tensor]:
        """Draw n examples with replacement, shape `(n, *data_shape)`, and their classes, shape `(n,)`."""
        if not len(self.x):
            raise RequestError(
                "there are no labelled examples, as in a model that was loaded; expected them in training: make the "
                "plan again from the data"
            )
        rows = torch.randint(len(self.x), (n,), device=self.x.device)
        return self.transform(self.x[rows]), self.labels[rows]


class AdversarialCategories(Reconstruction):
    r"""The objective of the semi-supervised adversarial autoencoder, and without labels of the one that clusters.

    .. math::
        \text{loss} = \mathbb E_x \big( -\log p(x \mid y, s) - \gamma_y \log D_y(y) - \gamma_s \log D_s(s) \big)
        - \lambda \, \mathbb E_{(x, c) \text{ labelled}} \log q(y = c \mid x)

    for the code :math:`z = (y, s)` of `vaekit.distributions.CategoryStyle`. One discriminator tells y from one-hot
    vectors that are equally likely, another s from the style's prior, each with the loss of `AdversarialPrior`: y then
    is nearly one-hot and every category is used as often as the others. The labelled examples come in a batch of
    their own, drawn with replacement; to the rest of the loss they are examples like any other. Without them the
    categories are clusters, whose number need not be that of the classes.

    The terms reported are those of `Reconstruction`; `category_generator` and `style_generator`, which are
    :math:`-\log D` without their weights; and with labels `cross_entropy`, in nats, of labelled training examples
    also in validation, whose labels nobody sees. Those of the
    phase "discriminator" are for each of both, by a prefix `category` or `style`, what `AdversarialPrior` reports.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), sections 5 and 6.

    Arguments:
        categories: Number of categories.
        style_dim: Units of the style.
        labelled: The examples whose labels may be seen; None for clusters.
        category: Weight of the encoder's loss against the discriminator of categories, :math:`\gamma_y`.
        style: Weight of that against the discriminator of styles, :math:`\gamma_s`.
        supervision: Weight of the cross-entropy, :math:`\lambda`.
        hidden: Widths of the hidden layers of both discriminators.
        penalties: What `Reconstruction` takes.

    Raises:
        RequestError: If an argument is out of its range; in use, if the model does not show its codes.

    Example:
        >>> objective = AdversarialCategories(categories=16, style_dim=5, category=2.0, hidden=(8,))
        >>> objective.weights(), list(objective.rivals), objective.supervised
        ({'category_generator': 2.0, 'style_generator': 1.0}, ['discriminator'], False)
    """

    def __init__(
        self,
        categories: int,
        style_dim: int,
        labelled: Labelled | None = None,
        category: float | Schedule = 1.0,
        style: float | Schedule = 1.0,
        supervision: float | Schedule = 1.0,
        hidden: Sequence[int] = (1000, 1000),
        **penalties: Any,
    ) -> None:
        super().__init__(**penalties)
        self.anneal("category_generator", category, "pass 1, say")
        self.anneal("style_generator", style, "pass 1, say")
        self.labelled = labelled
        if labelled is not None:
            self.anneal("cross_entropy", supervision, "pass 1, say")
        self.sizes = (categories, style_dim)
        self.discriminators = nn.ModuleDict(
            {
                "category": MLP((categories,), (1,), hidden, "relu"),
                "style": MLP((style_dim,), (1,), hidden, "relu"),
            }
        )

    @property
    def supervised(self) -> bool:
        """Whether the categories are classes, by the labels of some examples."""
        return self.labelled is not None

    @property
    def rivals(self) -> dict[str, nn.Module]:
        """Both discriminators, which are trained in one phase."""
        return {"discriminator": self.discriminators}

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and its terms, each of shape `(n,)`."""
        loss, terms = super().forward(model, x, context)
        if self.labelled is None:
            return Loss(loss, terms)
        shown, labels = self.labelled(len(x))
        z = cast(Any, model).encode(self.noise(shown), context).rsample()
        probability = self._parts(z)["category"].gather(1, labels.unsqueeze(1)).squeeze(1)
        entropy = -probability.clamp_min(_LEAST).log()
        weighted = self.get_buffer("cross_entropy") * entropy
        total = terms.pop("loss") + weighted
        return Loss(loss + weighted.mean(), {**terms, "cross_entropy": entropy, "loss": total})

    def penalties(self, decoder: nn.Module, z: Tensor) -> dict[str, Tensor]:
        """Return those of `Reconstruction`, and what the encoder loses against each discriminator."""
        terms = super().penalties(decoder, z)
        for name, part in self._parts(z).items():
            logits = cast(Tensor, stopped(self.discriminators[name], part)).squeeze(-1)
            terms[f"{name}_generator"] = F.softplus(-logits)
        return terms

    def rival_loss(self, phase: str, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        r"""Return the sum of the discriminators' losses and their terms, each of shape `(n,)`.

        Arguments:
            phase: "discriminator".
            model: The model, which gets no gradient.
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
        """
        autoencoder = cast(Any, showing_latents(model))
        with torch.no_grad():
            coded = autoencoder.encode(self.noise(x), context).sample()
            drawn = autoencoder.latent(context).sample(coded.shape[:1])
        total = coded.new_zeros(())
        terms: dict[str, Tensor] = {}
        for name, part in self._parts(torch.cat([drawn, coded])).items():
            loss, found = told_apart(self.discriminators[name](part).view(2, -1))
            total = total + loss
            terms |= {f"{name}_{term}": value for term, value in found.items()}
        return Loss(total, terms)

    def _parts(self, z: Tensor) -> dict[str, Tensor]:
        y, s = z.split(self.sizes, dim=-1)
        return {"category": y, "style": s}
