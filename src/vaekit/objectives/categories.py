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

_EVEN = 4.0  # the weight of Hu et al. (2017)
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

    What looks alike to the decoder need not be of one kind: a slanted 4 is nearer to a slanted 9 than to an upright 4.
    Where it is known what leaves the kind as it is, `views` says it, and the loss has also

    .. math::
        \lambda_c \, \mathbb E_x \, \mathrm{KL}\big( q(y \mid x) \,\|\, q(y \mid T x) \big)
        - \lambda_i \big( 4 \, H(y) - \mathbb E_x \, H(y \mid x) \big)

    with the entropies of the batch: a changed example Tx is to be told as x is, and x to be told with certainty, of
    categories that are equally frequent.

    The terms reported are those of `Reconstruction`; `category_generator` and `style_generator`, which are
    :math:`-\log D` without their weights; with labels `cross_entropy`, in nats, of labelled training examples also in
    validation, whose labels nobody sees; with views `consistency` and `information`, which are the divergence and the
    bracket above, in nats. Those of the phase "discriminator" are for each of both, by a prefix `category` or `style`,
    what `AdversarialPrior` reports.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), sections 5 and 6.
        Learning discrete representations via information maximizing self-augmented training (Hu et al., 2017), for
        `consistency`.

    Arguments:
        categories: Number of categories.
        style_dim: Units of the style.
        labelled: The examples whose labels may be seen; None for clusters.
        category: Weight of the encoder's loss against the discriminator of categories, :math:`\gamma_y`.
        style: Weight of that against the discriminator of styles, :math:`\gamma_s`.
        supervision: Weight of the cross-entropy, :math:`\lambda`.
        views: The change T, of a batch of shape `(n, *data_shape)`, drawn anew at every call; None for none.
        consistency: Weight of the divergence of changed examples, :math:`\lambda_c`.
        information: Weight of the information in the categories, :math:`\lambda_i`.
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
        views: Callable[[Tensor], Tensor] | None = None,
        consistency: float | Schedule = 1.0,
        information: float | Schedule = 1.0,
        hidden: Sequence[int] = (1000, 1000),
        **penalties: Any,
    ) -> None:
        super().__init__(**penalties)
        self.anneal("category_generator", category, "pass 1, say")
        self.anneal("style_generator", style, "pass 1, say")
        self.labelled = labelled
        if labelled is not None:
            self.anneal("cross_entropy", supervision, "pass 1, say")
        self.views = views
        if views is not None:
            self.anneal("consistency", consistency, "pass 1, say")
            self.anneal("information", information, "pass 1, say")
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
        total, found = terms.pop("loss"), dict[str, Tensor]()
        if self.views is not None:
            found = self._viewed(model, x, self.views(x), context)
        if self.labelled is not None:
            shown, labels = self.labelled(len(x))
            probability = self._category(model, self.noise(shown), context).gather(1, labels.unsqueeze(1)).squeeze(1)
            found["cross_entropy"] = -probability.clamp_min(_LEAST).log()
        for name, term in found.items():
            weight = self.get_buffer(name) * (-1 if name == "information" else 1)
            loss, total = loss + weight * term.mean(), total + weight * term
        return Loss(loss, {**terms, **found, "loss": total})

    def _category(self, model: Infers, x: Tensor, context: Tensor | None) -> Tensor:
        """Return q(y | x), shape `(n, categories)`."""
        return self._parts(cast(Any, model).encode(x, context).rsample())["category"]

    def _viewed(self, model: Infers, x: Tensor, changed: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        """Return what changed examples are told apart by, and the information in the categories, shape `(n,)`."""
        y, other = self._category(model, x, context), self._category(model, changed, context)
        log_y, marginal = y.clamp_min(_LEAST).log(), y.mean(0).clamp_min(_LEAST)
        # The changed example follows x, and not x what it is changed to, or all would be told to be of one category.
        apart = (y.detach() * (log_y.detach() - other.clamp_min(_LEAST).log())).sum(-1)
        even = -(marginal * marginal.log()).sum()
        return {"consistency": apart, "information": _EVEN * even + (y * log_y).sum(-1)}

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
