r"""What each table of results is made of: its data, its protocol, its rows and the published numbers."""

__all__ = ["TABLES", "Row", "Table"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    r"""A system in a table.

    Arguments:
        name: What the row is called.
        recipe: The recipe.
        arguments: Its arguments, beside the table's.
        published: The published number of the table's first column, if there is one.
        source: Where it was published, and under which protocol.
        seeds: At most so many seeds, where a run takes long.
    """

    name: str
    recipe: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    published: float | None = None
    source: str = ""
    seeds: int | None = None


@dataclass(frozen=True)
class Table:
    r"""A table of results.

    Arguments:
        title: What it compares.
        data: The data set.
        rows: The systems.
        columns: The metrics, the first one first: names as in `metrics.json`, with a point into a family.
        lower: Whether less of the first is better.
        arguments: Arguments of every row, such as its network: equal for all, or their numbers say nothing.
        data_options: Of the data's loader.
        families: The families of metrics to measure.
        nll_samples: Importance samples.
        comparable: Whether the published numbers are of the same quantity, so that a difference means something.
    """

    title: str
    data: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ("nll", "elbo", "rate", "active_units")
    lower: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    data_options: Mapping[str, Any] = field(default_factory=dict)
    families: tuple[str, ...] = ("likelihood",)
    nll_samples: int = 500
    comparable: bool = True


_BURDA = "Burda et al. (2016), table 1, 5,000 samples, 3,280 epochs"
_VAMP = "Tomczak and Welling (2018), 5,000 samples, gated layers, 2,000 epochs or less"
_DSPRITES = "FactorVAE's authors and others, dSprites, 300,000 steps"
_RAE = "Ghosh et al. (2020), table 1, in Inception's features"
_ONE_LAYER = {"latent_dim": 50, "hidden": (200, 200), "activation": "tanh", "warmup": 4.0, "epochs": 20}

TABLES = {
    "mnist": Table(
        "One network, 784-200-200-50 with tanh, on dynamically binarised MNIST",
        "mnist",
        (
            Row("VAE", "vae", {}, 86.76, _BURDA),
            Row("IWAE, k=5", "iwae", {"k": 5}, 85.54, _BURDA),
            Row("IWAE, k=50", "iwae", {"k": 50}, 84.78, _BURDA, seeds=1),
            Row("IWAE, k=5, DReG", "iwae", {"k": 5, "gradient": "doubly-reparameterised"}, seeds=1),
            Row("free bits, 0.25 nats a unit", "free-bits", {"free": 0.25}),
            Row("planar flow, 10", "planar-flow", {"transforms": 10}, seeds=1),
            Row("IAF, 2", "iaf-resnet", {"network": "mlp", "transforms": 2}, seeds=1),
            Row(
                "two layers",
                "hierarchical",
                {"latent_dims": (100, 50), "hidden": (200, 100)},
                85.33,
                _BURDA,
                seeds=1,
            ),
        ),
        arguments=_ONE_LAYER,
    ),
    "mnist-static": Table(
        "One network, 784-300-300-40, on statically binarised MNIST",
        "mnist-static",
        (
            Row("N(0, I)", "vae", {}),
            Row(
                "VampPrior, 500", "vamp-prior", {"components": 500}, 85.57, "Tomczak and Welling (2018), 5,000 samples"
            ),
        ),
        arguments={"latent_dim": 40, "hidden": (300, 300), "warmup": 4.0, "epochs": 20},
    ),
    "sprites": Table(
        "Disentanglement: one network on sprites",
        "sprites",
        (
            Row("beta = 1", "beta-vae", {"beta": 1.0}, 0.10, _DSPRITES),
            Row("beta = 4", "beta-vae", {"beta": 4.0}, 0.21, f"{_DSPRITES}, its best beta"),
            Row("beta-TCVAE, 6", "beta-tcvae", {"beta": 6.0}, 0.45, _DSPRITES, seeds=1),
            Row("FactorVAE, 35", "factor-vae", {"gamma": 35.0}, 0.43, _DSPRITES, seeds=1),
        ),
        columns=("disentanglement.mig", "disentanglement.factor_vae", "disentanglement.dci_disentanglement", "elbo"),
        lower=False,
        arguments={"latent_dim": 10, "network": "mlp", "hidden": (256, 256), "batch_size": 64, "epochs": 15},
        data_options={"n": 50_000},
        families=("likelihood", "disentanglement"),
        nll_samples=0,
    ),
    "mnist-autoencoders": Table(
        "Autoencoders that are sampled: one network, 784-500-500-16, on dynamically binarised MNIST",
        "mnist",
        (
            Row("VAE", "vae", {}, 19.21, _RAE),
            Row("autoencoder, N(0, I)", "autoencoder", {"density": "none"}, 58.73, _RAE),
            Row("autoencoder, mixture of 10", "autoencoder", {"density": "mixture"}, 10.66, _RAE),
            Row("RAE-L2, N(0, I)", "rae", {"density": "none"}, 22.22, _RAE),
            Row("RAE-L2, mixture of 10", "rae", {"density": "mixture"}, 8.69, _RAE),
        ),
        columns=("generation.frechet_distance", "generation.precision", "generation.recall", "reconstruction.mse"),
        arguments={"latent_dim": 16, "hidden": (500, 500), "epochs": 10},
        families=("generation", "reconstruction"),
        nll_samples=0,
        comparable=False,  # they are distances in the features of another network
    ),
    "published-mnist": Table(
        "The published protocols on dynamically binarised MNIST",
        "mnist",
        (
            Row("VAE, one layer", "iwae-burda", {"k": 1}, 86.76, _BURDA),
            Row("IWAE, k=50, one layer", "iwae-burda", {"k": 50}, 84.78, _BURDA),
            Row(
                "IWAE, k=50, two layers",
                "hierarchical",
                {"k": 50, "epochs": 3280, "batch_size": 20},
                82.90,
                f"{_BURDA}, two layers",
            ),
            Row(
                "ResNet with IAF",
                "iaf-resnet",
                {"transforms": 8, "width": 1920, "epochs": 1000},
                79.10,
                "Kingma et al. (2016), table 1, 128 samples, depth 8, width 1920",
            ),
        ),
        nll_samples=5000,
    ),
    "published-mnist-static": Table(
        "The published protocol on statically binarised MNIST",
        "mnist-static",
        (
            Row("VampPrior, 500", "vamp-prior", {}, 85.57, _VAMP),
            Row("N(0, I)", "vae", {"latent_dim": 40, "hidden": (300, 300)}),
        ),
        arguments={"learning_rate": 5e-4, "warmup": 100.0, "epochs": 2000},
        nll_samples=5000,
    ),
    "published-sprites": Table(
        "The published protocol of disentanglement, on sprites: 300,000 steps",
        "sprites",
        (
            Row("VAE", "beta-vae", {"beta": 1.0}, 0.10, _DSPRITES),
            Row("beta-VAE, 4", "beta-vae", {"beta": 4.0}, 0.21, _DSPRITES),
            Row("beta-TCVAE, 6", "beta-tcvae", {"beta": 6.0}, 0.45, _DSPRITES),
            Row("FactorVAE, 35", "factor-vae", {"gamma": 35.0}, 0.43, _DSPRITES),
        ),
        columns=("disentanglement.mig", "disentanglement.factor_vae", "disentanglement.dci_disentanglement", "elbo"),
        lower=False,
        # 11,207 batches of 64 an epoch
        arguments={"latent_dim": 10, "batch_size": 64, "learning_rate": 1e-4, "warmup": 0.0, "epochs": 27},
        families=("likelihood", "disentanglement"),
        nll_samples=0,
    ),
}
