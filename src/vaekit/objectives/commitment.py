r"""What a vector-quantised model minimises."""

__all__ = ["Commitment"]

import math
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from vaekit.distributions.quantisers import Quantised, Quantiser, perplexity
from vaekit.errors import RequestError
from vaekit.objectives.annealed import Annealed
from vaekit.objectives.base import Infers, Loss
from vaekit.schedules import Schedule


class Quantises(Infers, Protocol):
    r"""What the objective asks of a model: its features and codes, and what they cost and give."""

    training: bool
    quantiser: Quantiser
    decoder: nn.Module

    def quantise(self, x: Tensor) -> Quantised:
        """Return features and their codes; see `vaekit.models.VectorQuantized.quantise`."""
        ...


class Commitment(Annealed):
    r"""The distortion of the codes, with what draws the features to them and, if gradients do it, them to the features.

    .. math::
        \text{loss} = \frac1n \sum_x \Big( -\log p(x \mid z_q) + \beta \lVert z_e - \mathrm{sg}(z_q) \rVert^2
        + \lVert \mathrm{sg}(z_e) - z_q \rVert^2 \Big)

    with the squares summed over all positions and entries of an example: the loss is a mean over examples of sums
    over an example, and so does not depend on the batch size. The last term is there where gradients move the
    codebook; else the quantiser learns from the batch, in training and where gradients are taken, and never in
    evaluation.

    The published loss is a mean over pixels of :math:`(x - \hat x)^2 / v` plus 0.25 times the *mean* square of
    :math:`z_e - z_q` over its entries, where v is the variance of the data. With P pixels, d entries of
    :math:`z_e` and a Gaussian of variance v that is P/2 times less than the loss here at
    :math:`\beta = 0.25 \, P / 2d`, which is 0.09 for its CIFAR-10. The results were reported not to vary for weights
    from 0.1 to 2.

    The terms reported: `distortion`; `rate`, :math:`-\log p(z)` under the uniform prior, which it is trained with,
    whatever is fitted to the codes later; `elbo`, minus the sum of these, a bound on :math:`\log p(x)` and what
    weights are selected by;
    `commitment` without its weight; `perplexity`, the exponential of the entropy of the codes' frequencies, and
    `used`, how many occur, both of the batch (in validation of blocks of 1,000 examples) and, of several codebooks,
    their mean. The perplexity of a small batch is too low; see `vaekit.evaluation.code_metrics` for a whole split.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017), equation 3.

    Arguments:
        weight: Weight of the commitment, :math:`\beta`: a number, or a schedule over epochs.

    Raises:
        RequestError: If the weight is negative; in use, if the model does not quantise.

    Example:
        >>> Commitment(0.25).weights()
        {'commitment': 0.25}
    """

    monitor = "elbo"
    commitment: Tensor

    def __init__(self, weight: float | Schedule = 0.25) -> None:
        super().__init__()
        self.anneal("commitment", weight, "pass 0.25")

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and its terms, each of shape `(n,)`."""
        if not hasattr(model, "quantise"):
            raise RequestError(
                f"{type(model).__name__} has no codes to be committed to; expected a model with quantise(): "
                "use vaekit.models.VectorQuantized"
            )
        quantising = cast(Quantises, model)
        found = quantising.quantise(x)
        distortion = -quantising.decoder(found.embedded).log_prob(x)
        rate = torch.full_like(distortion, found.codes[0].numel() * math.log(quantising.quantiser.codes))
        counts = quantising.quantiser.counts(found.codes)
        loss = distortion + self.commitment * found.commitment
        if found.codebook is not None:
            loss = loss + found.codebook
        if quantising.training and torch.is_grad_enabled():
            quantising.quantiser.learn(found)
        terms = {
            "elbo": -(distortion + rate),
            "rate": rate,
            "distortion": distortion,
            "commitment": found.commitment,
            "perplexity": perplexity(counts).mean().expand(len(x)),
            "used": (counts > 0).sum(-1).to(distortion.dtype).mean().expand(len(x)),
        }
        return Loss(loss.mean(), terms)
