r"""The adversarial autoencoder that is told a few labels."""

__all__ = ["aae_semi", "categorical"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.data.augmentation import Affine
    from vaekit.objectives.categories import Labelled
    from vaekit.plan import DataSpec, Plan


@sharing(compose, without=("warmup", "latent_dim"), hidden=(600, 600), activation="relu", epochs=60)
def categorical(
    data: "DataSpec",
    categories: int,
    labelled: "Labelled | None",
    supervision: float,
    *,
    style_dim: int = 10,
    category_generator: float = 2.0,
    style_generator: float = 2.0,
    warmup: float | None = None,
    noise_level: float = 0.3,
    consistency: float | None = None,
    information: float = 50.0,
    rival_hidden: tuple[int, ...] = (200, 200),
    rival_learning_rate: float = 3e-4,
    **shared: Any,
) -> "Plan":
    """Return the plan of an adversarial autoencoder whose code is a category and a style.

    One discriminator holds the category to one-hot vectors, all equally likely, another the style to N(0, I), and a
    cross-entropy, weighed by `supervision`, the category of `labelled` examples to their label.

    Args:
        style_dim: Units of the style.
        category_generator: Weight of the encoder's loss against the discriminator of categories.
        style_generator: Weight of its loss against the discriminator of styles.
        warmup: Epochs over which category_generator rises from 0, for a code that is made one-hot before it says
            anything of x is the same for all x; by default 1, or half of all if that is less.
        noise_level: Standard deviation of the noise on what the encoder sees in training.
        consistency: For images: weight of the divergence of an image's category from that of the same image turned,
            sheared, stretched and shifted a little (Hu et al., 2017). By default 150 for clusters, and 0, which is for
            none, where there are labels or the data are no images.
        information: With it, weight of the information in the categories: certain for each image, and even over all.
        rival_hidden: Widths of the hidden layers of each discriminator.
        rival_learning_rate: Adam's first step size for the discriminators.
    """
    from vaekit.distributions.category_style import CategoryStyle
    from vaekit.models import VAE
    from vaekit.networks import batch_normalised
    from vaekit.objectives.categories import AdversarialCategories
    from vaekit.objectives.reconstruction import GaussianNoise
    from vaekit.recipes.build import rate_schedule

    if consistency is None:
        consistency = 150.0 if labelled is None and len(data.shape) == 3 else 0.0
    rise = min(1.0, max(shared["epochs"], 0) / 2) if warmup is None else warmup
    parts = Parts(
        # Labels keep categories apart from the start; clusters have none.
        posterior=lambda _: CategoryStyle(categories, style_dim, normalised=labelled is None),
        objective=lambda _: AdversarialCategories(
            categories,
            style_dim,
            labelled,
            category=rate_schedule(category_generator, rise, cycles=1),
            style=style_generator,
            supervision=supervision,
            views=_views(data) if consistency else None,
            consistency=consistency,
            information=information,
            hidden=rival_hidden,
            noise=GaussianNoise(noise_level),
        ),
        model=lambda encoder, decoder, prior: VAE(batch_normalised(encoder), decoder, prior),
        # The last weights: the best reconstruction is not the best classifier, and no label but those that are shown
        # may choose. Averages over a long time do not follow a rival who moves.
        plan={
            "select": "last",
            "betas": (0.5, 0.999),
            "phases": {"discriminator": {"learning_rate": rival_learning_rate}},
        },
    )
    return compose(data, parts, **shared, latent_dim=categories + style_dim, warmup=0.0)


def _views(data: "DataSpec") -> "Affine":
    """What leaves the category of an image as it is."""
    from vaekit.data.augmentation import Affine
    from vaekit.errors import RequestError

    if len(data.shape) != 3:
        raise RequestError(
            f"{data.name} has examples of shape {data.shape}; expected images, which stay of their kind when they are "
            "turned a little: pass --consistency 0"
        )
    return Affine()


def labelled_rows(labels: Any, count: int, classes: int) -> Any:
    r"""Return the numbers of rows whose labels may be seen: as many of every class as of any other, drawn at random.

    Arguments:
        labels: Class numbers, shape `(n,)`; those below 0 are unknown.
        count: How many rows; 0 for all whose label is known.
        classes: Number of classes.

    Raises:
        RequestError: If `count` is no multiple of `classes`, or a class has not so many examples.

    Example:
        >>> import numpy as np
        >>> labels = np.arange(100) % 2
        >>> labels[labelled_rows(labels, 10, classes=2)].tolist().count(1)
        5
    """
    import numpy as np
    import torch

    from vaekit.errors import RequestError

    if count == 0:
        return np.flatnonzero(labels >= 0)
    if count < 0 or count % classes:
        raise RequestError(
            f"labelled is {count}; expected a multiple of the {classes} classes, as many examples of each, or 0 for "
            f"all: pass --labelled {max(1, round(count / classes)) * classes}"
        )
    each = count // classes
    order = torch.randperm(len(labels)).numpy()  # from PyTorch's random state, which --seed sets
    rows = [order[labels[order] == number][:each] for number in range(classes)]
    for number, found in enumerate(rows):
        if len(found) < each:
            raise RequestError(
                f"class {number} has {len(found)} labelled examples, and labelled={count} asks for {each} of each "
                "class: pass a smaller --labelled, or 0 for all"
            )
    return np.sort(np.concatenate(rows))


def _labelled(data: "DataSpec", count: int, transform: str, likelihood: str) -> "Labelled":
    """The examples whose labels training may see; of a model that is rebuilt to be loaded, none."""
    import numpy as np
    import torch

    from vaekit.errors import RequestError
    from vaekit.objectives.categories import Labelled
    from vaekit.recipes.build import transform_for

    seen = transform_for(data, transform, data.suggested if likelihood == "auto" else likelihood)
    if data.classes is None:
        raise RequestError(
            f"{data.name} has no labels; expected class numbers for some training examples: pass data that have them, "
            "such as mnist, or train the recipe aae-cluster"
        )
    if data.examples is None or data.examples.labels is None:
        return Labelled(torch.zeros(0, *data.shape), torch.zeros(0, dtype=torch.int64), seen)
    rows = labelled_rows(data.examples.labels, count, data.classes)
    x = np.asarray(data.examples.x[rows])
    return Labelled(torch.tensor(x), torch.from_numpy(data.examples.labels[rows]), seen)


@sharing(categorical)
def aae_semi(data: "DataSpec", *, labelled: int = 1000, supervision: float = 20.0, **shared: Any) -> "Plan":
    """Adversarial autoencoder that is told a few labels: its code is the class, by softmax, and the style.

    Adversarial autoencoders (Makhzani et al., 2015), section 5. One discriminator holds the class to one-hot vectors,
    another the style to N(0, I), and a cross-entropy the class of the labelled examples to their labels. These are
    drawn by --seed, as many of each class; every other label, of validation and test too, is hidden from training,
    and so the last weights are kept. Reported on MNIST with 100, 1,000 and all labels, after some thousand epochs:
    1.90, 1.60 and 0.85 % of the test digits wrong. `vaekit evaluate --metrics classification` tells ours.

    Args:
        data: The data's shape and levels, and their classes.
        labelled: Training examples whose label is known, as many of each class; 0 for all.
        supervision: Weight of the cross-entropy of labelled examples.
    """
    known = _labelled(data, labelled, shared["transform"], shared["likelihood"])
    return categorical(data, data.classes or 0, known, supervision, **shared)
