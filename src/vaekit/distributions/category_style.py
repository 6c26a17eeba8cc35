r"""A code of two parts: a category, and a style that every category has."""

__all__ = ["CategoryStyle", "CategoryStylePrior", "OneHotNormal"]

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from vaekit.distributions.delta import Delta
from vaekit.distributions.posteriors import Posterior
from vaekit.errors import RequestError

_LOG_ROOT = math.log(2 * math.pi) / 2


class CategoryStyle(Posterior):
    r"""The code :math:`z = (y, s)` of a category and a style, a point.

    .. math::
        y = \operatorname{softmax}(\ell), \qquad \sum_k y_k = 1, \qquad s \in \mathbb R^d

    The first numbers of the network are the logits of :math:`q(y \mid x)`, whose probabilities are the code itself;
    what makes them one-hot is the objective, `vaekit.objectives.AdversarialCategories`. The others are the style.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), section 5.
        Batch normalization: accelerating deep network training by reducing internal covariate shift (Ioffe and
        Szegedy, 2015), for `normalised`.

    Arguments:
        categories: Number of categories, K.
        style_dim: Units of the style, d.
        normalised: Normalise each logit over the batch, so that no category is everybody's from the start.

    Raises:
        RequestError: If there are fewer than 2 categories or there is no unit of style.

    Example:
        >>> q = CategoryStyle(categories=2, style_dim=1)(torch.tensor([[0.0, 0.0, 3.0]]))
        >>> q.mean, q.has_density
        (tensor([[0.5000, 0.5000, 3.0000]]), False)
    """

    numbers = 1

    def __init__(self, categories: int, style_dim: int, *, normalised: bool = False) -> None:
        check_sizes(categories, style_dim)
        super().__init__(categories + style_dim)
        self.categories, self.style_dim = categories, style_dim
        self.norm = nn.BatchNorm1d(categories) if normalised else nn.Identity()

    def forward(self, parameters: Tensor) -> Distribution:
        """Read parameters, shape `(n, categories + style_dim)`, as a distribution over z of the same shape."""
        logits, style = self._read(parameters)[0].split((self.categories, self.style_dim), dim=-1)
        return Delta(torch.cat([self.norm(logits).softmax(-1), style], dim=-1))

    def default_prior(self) -> nn.Module:
        """Return categories that are equally likely beside a standard normal style."""
        return CategoryStylePrior(self.categories, self.style_dim)


class CategoryStylePrior(nn.Module):
    r"""A category, all equally likely, as a one-hot vector, and a style from the standard normal, independent of it.

    Arguments:
        categories: Number of categories, K.
        style_dim: Units of the style, d.

    Raises:
        RequestError: If there are fewer than 2 categories or there is no unit of style.

    Example:
        >>> z = CategoryStylePrior(10, 2)().sample((4,))
        >>> z.shape, z[:, :10].sum(1)
        (torch.Size([4, 12]), tensor([1., 1., 1., 1.]))
    """

    probabilities: Tensor

    def __init__(self, categories: int, style_dim: int) -> None:
        super().__init__()
        check_sizes(categories, style_dim)
        self.style_dim = style_dim
        # A buffer, not a constant, so that the prior follows the model to its device.
        self.register_buffer("probabilities", torch.full((categories,), 1 / categories), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return OneHotNormal(self.probabilities, self.style_dim)


class OneHotNormal(Distribution):
    r"""A one-hot category and a standard normal style on one axis, :math:`p(y, s) = \pi_y \, \mathcal N(s; 0, I)`.

    Its density is one with respect to counting for y and to length for s: for a y that is not one-hot it is 0.

    Arguments:
        probabilities: Of the categories, shape `(categories,)`, of sum 1.
        style_dim: Units of the style.

    Example:
        >>> p = OneHotNormal(torch.tensor([0.25, 0.75]), style_dim=1)
        >>> p.mean, p.log_prob(torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]))
        (tensor([0.2500, 0.7500, 0.0000]), tensor([-1.2066,    -inf]))
    """

    arg_constraints = {"probabilities": constraints.simplex}  # noqa: RUF012 - torch's own convention
    support = constraints.real_vector

    def __init__(self, probabilities: Tensor, style_dim: int) -> None:
        self.probabilities, self.style_dim = probabilities, style_dim
        super().__init__(torch.Size(), torch.Size([len(probabilities) + style_dim]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The categories' probabilities, and zeros."""
        return torch.cat([self.probabilities, self.probabilities.new_zeros(self.style_dim)])

    @property
    def variance(self) -> Tensor:
        """That of each entry."""
        return torch.cat([self.probabilities * (1 - self.probabilities), self.probabilities.new_ones(self.style_dim)])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw codes, shape `(*sample_shape, categories + style_dim)`."""
        shape = torch.Size(sample_shape)
        drawn = torch.multinomial(self.probabilities, max(shape.numel(), 1), replacement=True)
        y = F.one_hot(drawn, len(self.probabilities)).to(self.probabilities).view(*shape, -1)
        return torch.cat([y, torch.randn(*shape, self.style_dim).to(y)], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in nats, shape `(...)`, of codes of shape `(..., categories + style_dim)`."""
        y, s = value.split((len(self.probabilities), self.style_dim), dim=-1)
        one_hot = (y.amax(-1) == 1) & (y.sum(-1) == 1) & (y.amin(-1) == 0)
        category = self.probabilities.log()[y.argmax(-1)].masked_fill(~one_hot, -math.inf)
        density: Tensor = category - (s.square() / 2 + _LOG_ROOT).sum(-1)
        return density


def check_sizes(categories: int, style_dim: int) -> None:
    r"""Raise a `RequestError` if there are fewer than 2 categories, or no unit of style."""
    if categories < 2:
        raise RequestError(f"categories is {categories}; expected at least 2 to tell apart: pass 16, say")
    if style_dim < 1:
        raise RequestError(f"style_dim is {style_dim}; expected at least 1 unit of style: pass 10, say")
