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
_AAE = "Makhzani et al. (2015); as reported, thousands of epochs"
_DRAW = "Gregor et al. (2015), 64 glimpses, an upper bound"
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
            Row("IWAE, k=5, DReG", "iwae", {"k": 5, "gradient": "doubly-reparameterised"}),
            Row("free bits, 0.25 nats a unit", "free-bits", {"free": 0.25}),
            Row("planar flow, 10", "planar-flow", {"transforms": 10}),
            Row("IAF, 2", "iaf-resnet", {"network": "mlp", "transforms": 2}),
            Row("two layers", "hierarchical", {"latent_dims": (100, 50)}, 85.33, _BURDA),
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
        "Disentanglement: one network on sprites of 32 by 32, 14,000 steps",
        "sprites",
        (
            Row("beta = 1", "beta-vae", {"beta": 1.0}, 0.10, _DSPRITES),
            Row("beta = 4", "beta-vae", {"beta": 4.0}, 0.21, f"{_DSPRITES}, its best beta"),
            Row("beta-TCVAE, 6", "beta-tcvae", {"beta": 6.0}, 0.45, _DSPRITES, seeds=1),
            Row(  # six layers of 1,000, as by default, take hours
                "FactorVAE, 35, with a discriminator of three layers of 256",
                "factor-vae",
                {"gamma": 35.0, "rival_hidden": (256, 256, 256)},
                0.43,
                _DSPRITES,
                seeds=1,
            ),
            Row("DIP-VAE II", "dip-vae", {}, seeds=1),
        ),
        columns=("disentanglement.mig", "disentanglement.factor_vae", "disentanglement.dci_disentanglement", "elbo"),
        lower=False,
        arguments={
            "latent_dim": 10,
            "network": "mlp",
            "hidden": (256, 256),
            "batch_size": 256,
            "warmup": 0.0,
            "epochs": 5,
        },
        data_options={"size": 32},
        families=("likelihood", "disentanglement"),
        nll_samples=0,
        comparable=False,  # they are of 64 by 64 pixels, from ten times the points
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
            Row("InfoVAE, alpha = 0", "info-vae", {"alpha": 0.0}),
            Row("InfoVAE, alpha = 1: WAE", "info-vae", {"alpha": 1.0}, 20.42, _RAE),
        ),
        columns=("generation.frechet_distance", "generation.precision", "generation.recall", "reconstruction.mse"),
        arguments={"latent_dim": 16, "hidden": (500, 500), "epochs": 10},
        families=("generation", "reconstruction"),
        nll_samples=0,
        comparable=False,  # they are distances in the features of another network
    ),
    "mnist-priors": Table(
        "Adversarial autoencoders in the plane: can their codes be told from draws of the prior?",
        "mnist",
        (
            Row("N(0, I)", "aae", {"prior": "gaussian"}),
            Row("flower of ten", "aae", {"prior": "mixture"}),
            Row("Swiss roll", "aae", {"prior": "swiss-roll"}),
        ),
        columns=(
            "prior_match.prior_accuracy",
            "prior_match.prior_mmd",
            "prior_match.prior_mmd_null",
            "prior_match.prior_mmd_p",
            "reconstruction.mse",
        ),
        arguments={
            "latent_dim": 2,
            "hidden": (500, 500),
            "rival_hidden": (200, 200),
            "generator": 100.0,
            "epochs": 20,
        },
        families=("prior-match", "reconstruction"),
        nll_samples=0,
    ),
    "mnist-categories": Table(
        "Categories of adversarial autoencoders as classes: the share of test digits that are wrong",
        "mnist",
        (
            Row("1,000 labels", "aae-semi", {"labelled": 1000}, 0.0160, _AAE),
            Row("100 labels", "aae-semi", {"labelled": 100}, 0.0190, _AAE, seeds=1),
            Row(
                "30 clusters, as published",
                "aae-cluster",
                {"categories": 30, "consistency": 0.0},
                0.0410,
                _AAE,
                seeds=1,
            ),
            Row("30 clusters", "aae-cluster", {"categories": 30}, 0.0410, _AAE),
            Row("16 clusters", "aae-cluster", {"categories": 16}, 0.0955, _AAE, seeds=1),
        ),
        columns=("classification.cluster_error", "classification.majority_error", "classification.clusters_used"),
        arguments={"epochs": 40},
        families=("classification",),
        nll_samples=0,
    ),
    "mnist-styles": Table(
        "Models told the class: how many samples are read as it, and how many digits redrawn as another class",
        "mnist",
        (
            Row("conditional VAE", "cvae", {}),
            Row("adversarial autoencoder", "aae-style", {}),
        ),
        columns=(
            "conditioning.class_agreement",
            "conditioning.transfer_agreement",
            "generation.frechet_distance",
            "reconstruction.mse",
        ),
        lower=False,
        arguments={"latent_dim": 15, "network": "mlp", "hidden": (500, 500), "epochs": 20},
        families=("conditioning", "generation", "reconstruction"),
        nll_samples=0,
    ),
    "mnist-codes": Table(
        "VQ-VAE on MNIST, 4 by 4 codes of 128: how many are in use, and what a PixelCNN draws",
        "mnist",
        (
            Row("running means, k-means, expiry", "vq-vae", {}),
            Row(
                "gradients from N(0, I)",
                "vq-vae",
                {"quantiser": "gradient", "kmeans": False, "prior": "uniform"},
                seeds=1,
            ),
        ),
        columns=(
            "perplexity",
            "used_codes",
            "code_bits_per_dim",
            "conditioning.class_agreement",
            "reconstruction.mse",
        ),
        lower=False,
        arguments={
            "codes": 128,
            "code_dim": 32,
            "channels": (16, 32, 64),
            "conditional": True,
            "epochs": 8,
            "prior_epochs": 15,
        },
        families=("likelihood", "reconstruction", "conditioning"),
        nll_samples=0,
    ),
    "faces": Table(
        "Faces, 64 by 64: one network and budget, held to pixels or to features",
        "celeba",
        (
            Row("VAE", "vae", {"hidden": ()}),
            Row("DFC-VAE", "dfc-vae", {"hidden": ()}, 0.8695, "Hou et al. (2016), CelebA whole, with VGG-19"),
        ),
        columns=(
            "attributes.attribute_accuracy",
            "attributes.attribute_balanced_accuracy",
            "attributes.attribute_accuracy_pca",
            "reconstruction.perceptual",
            "reconstruction.sharpness",
            "reconstruction.psnr",
        ),
        lower=False,
        arguments={
            "network": "conv",
            "channels": (32, 64, 128, 256),
            "latent_dim": 100,
            "batch_size": 16,
            "learning_rate": 5e-4,
            "epochs": 60,
        },
        families=("reconstruction", "attributes"),
        nll_samples=0,
    ),
    "faces-codes": Table(
        "VQ-VAE on faces, 16 by 16 codes of 512: how many are in use",
        "celeba",
        (
            Row("running means, k-means, expiry", "vq-vae", {}),
            Row("gradients from N(0, I)", "vq-vae", {"quantiser": "gradient", "kmeans": False}),
            Row("two grids, 16 by 16 and 8 by 8", "vq-vae-2", {}),
        ),
        columns=("perplexity", "used_codes", "code_bits_per_dim", "reconstruction.psnr", "reconstruction.perceptual"),
        lower=False,
        arguments={
            "codes": 512,
            "code_dim": 32,
            "channels": (16, 32),
            "prior": "uniform",
            "batch_size": 20,
            "epochs": 10,
        },
        families=("likelihood", "reconstruction"),
        nll_samples=0,
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
    "published-draw": Table(
        "The published protocol of DRAW, on statically binarised MNIST",
        "mnist-static",
        (
            Row("DRAW, with attention", "draw", {}, 80.97, _DRAW),
            Row("DRAW, without attention", "draw", {"attention": False}, 87.40, _DRAW),
        ),
        # Steps and step size are ours, where the paper names none that we know of.
        arguments={"glimpses": 64, "latent_dim": 100, "hidden": 256, "learning_rate": 1e-3, "epochs": 200},
        nll_samples=100,
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
