r"""One style in every class: what z keeps when the context changes."""

__all__ = ["style_grid"]

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.models.vae import VAE
from vaekit.networks import OneHot


@torch.no_grad()
def style_grid(model: VAE, x: Tensor, context: Tensor) -> Tensor:
    r"""Decode the code of each example as every class: its style, carried across classes at fixed z.

    .. math::
        \hat x_{ic} = \mathbb E[x \mid z_i, c], \qquad z_i = \mathbb E_{q(z \mid x_i, c_i)}[z]

    References:
        Semi-supervised learning with deep generative models (Kingma et al., 2014), figure 1.

    Arguments:
        model: A model that is conditional on classes.
        x: Examples, shape `(n, *data_shape)`.
        context: Their classes, shape `(n,)`.

    Returns:
        Each example, followed by the means of p(x|z, c) for every class c, shape `(n, 1 + classes, *data_shape)`.

    Raises:
        RequestError: If the model is not conditional on classes.
    """
    network = model.context_network
    if not isinstance(network, OneHot):
        raise RequestError("the model is not conditional on classes; expected one that is: train the recipe cvae")
    z = model.encode(x, context).mean
    classes = torch.arange(network.size, device=x.device)
    means = model.decode(z.repeat_interleave(len(classes), 0), classes.repeat(len(x))).mean
    return torch.cat([x.unsqueeze(1), means.unflatten(0, (len(x), len(classes)))], dim=1)
