r"""The deep feature consistent variational autoencoder."""

__all__ = ["dfc_vae"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.plan import DataSpec, Plan


@sharing(
    compose,
    without=("likelihood",),
    latent_dim=100,
    network="conv",
    hidden=(),
    channels=(32, 64, 128, 256),
    batch_size=64,
    learning_rate=5e-4,
)
def dfc_vae(
    data: "DataSpec",
    *,
    features: str = "squeezenet",
    layers: str = "auto",
    weights: str = "0.5",
    pixel: float = 0.0,
    inputs: Literal["torchvision", "caffe"] = "torchvision",
    beta: float = 1.0,
    nll_samples: int = 0,
    **shared: Any,
) -> "Plan":
    """The DFC-VAE: images are held to their features in a frozen network, for sharp faces.

    Deep feature consistent variational autoencoder (Hou, Shen, Sun and Qiu, 2017). Published on CelebA, with VGG-19:
    from its codes a linear classifier tells the 40 attributes with 86.95 % accuracy in the mean. The distance of
    features is no density of images, so there is no bound and no likelihood, and its scale against the rate is a
    choice. The convolutions are as many and as wide as the paper's; their kernels are vaekit's, and nothing is
    normalised between them.

    Args:
        data: The data's shape and levels: images.
        features: The frozen network: squeezenet, which comes with the package, or vgg:PATH, VGG-16 or VGG-19 with
            weights that you have, a .safetensors file under torchvision's names, which loading the run needs too.
        layers: Whose maps are compared, between commas; auto takes relu1_1,relu2_1,relu3_1 of VGG, which is
            published, and conv1,fire3,fire5 of SqueezeNet. There are relu1_1 to relu5_4, and conv1, fire2 to fire9.
        weights: Of the halved mean squared differences of the layers' maps: one number, or one for each layer between
            commas, for networks that take images from 0 to 255; others are brought to that scale.
        pixel: Weight of the halved squared error of the image itself.
        inputs: What VGG's weights were trained with: torchvision, red, green, blue from 0 to 1, normalised; or caffe,
            blue, green, red from 0 to 255 less their means, as in the paper.
        beta: Weight of the rate.
        nll_samples: Importance samples for the test NLL, which is not defined: 0.
    """
    from vaekit.distributions.perceptual import Perceptual, frozen_features
    from vaekit.errors import RequestError
    from vaekit.objectives import ELBO
    from vaekit.objectives.base import Loss

    if nll_samples:
        raise RequestError(
            f"nll_samples is {nll_samples}; dfc-vae compares features, which is no density, so there is no likelihood "
            "to estimate: pass --nll-samples 0"
        )
    try:
        numbers = [float(word) for word in weights.split(",")]
    except ValueError:
        raise RequestError(
            f"weights are {weights!r}; expected a number, or one for each layer between commas: pass 0.5"
        ) from None

    class Consistency(ELBO):
        """The loss of the bound, under a name that does not claim to bound anything."""

        monitor = "consistency"

        def assemble(self, distortion: "Tensor", rate: "Tensor", parts: "Tensor | None") -> Loss:
            """Return the loss of draws; see `Bound`."""
            loss = super().assemble(distortion, rate, parts)
            total = loss.terms["distortion"] + loss.terms["rate"]
            terms = {"rate": loss.terms["rate"], "distortion": loss.terms["distortion"]}
            return Loss(loss.loss, {"consistency": -total, **terms, "loss": total})

    def likelihood(shape: tuple[int, ...]) -> Perceptual:
        names = () if layers == "auto" else tuple(name.strip() for name in layers.split(","))
        return Perceptual(
            shape, frozen_features(features, names, inputs), numbers if len(numbers) > 1 else numbers[0], pixel
        )

    return compose(
        data, Parts(likelihood=likelihood, objective=Consistency, beta=beta), **shared, likelihood="perceptual"
    )
