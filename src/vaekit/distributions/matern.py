r"""The Matern kernel, of a smoothness that can be chosen when there are data."""

__all__ = ["Matern"]

import math
from typing import Any

import torch
from torch import Tensor

from vaekit.errors import RequestError

try:
    from gpytorch.kernels import Kernel
except ImportError:
    raise RequestError(
        'gpytorch is not installed; regression in latent space needs it: pip install "vaekit[regression]"'
    ) from None

# a, b and c of each smoothness
_FORMS = {
    0.5: (0.0, 0.0, 1.0),
    1.5: (math.sqrt(3.0), 0.0, math.sqrt(3.0)),
    2.5: (math.sqrt(5.0), 5.0 / 3.0, math.sqrt(5.0)),
}


class Matern(Kernel):  # type: ignore[misc]
    r"""The Matern kernel of half-integer smoothness, which is part of its state as the length scale is.

    .. math::
        k(r) = (1 + a r + b r^2)\, e^{-c r}, \qquad r = \lVert x - x' \rVert / \ell

    with :math:`(a, b, c)` = (0, 0, 1) for the smoothness 1/2, :math:`(\sqrt 3, 0, \sqrt 3)` for 3/2 and
    :math:`(\sqrt 5, 5/3, \sqrt 5)` for 5/2. Gpytorch's own kernels have it in their type, so that a model that is
    saved would have to say which of them was likeliest.

    References:
        Gaussian processes for machine learning (Rasmussen and Williams, 2006), equation 4.16.

    Arguments:
        smoothness: 0.5, a curve with corners everywhere; 1.5, one with a derivative; or 2.5, one with two.

    Raises:
        RequestError: If the smoothness is another.

    Example:
        >>> kernel = Matern(0.5)
        >>> kernel.lengthscale = 2.0
        >>> kernel(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]])).to_dense().detach()
        tensor([[1.0000, 0.3679]])
    """

    has_lengthscale = True
    choices = tuple(_FORMS)
    form: Tensor

    def __init__(self, smoothness: float = 2.5, **options: Any) -> None:
        super().__init__(**options)
        self.register_buffer("form", torch.zeros(3, dtype=torch.float64))
        self.smoothness = smoothness

    @property
    def smoothness(self) -> float:
        """The smoothness, which can be set."""
        return min(_FORMS, key=lambda nu: abs(_FORMS[nu][2] - float(self.form[2])))

    @smoothness.setter
    def smoothness(self, smoothness: float) -> None:
        if smoothness not in _FORMS:
            raise RequestError(f"smoothness is {smoothness}; expected 0.5, 1.5 or 2.5: pass 2.5")
        self.form.copy_(torch.tensor(_FORMS[smoothness]))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: Any) -> Tensor:
        """Return the covariances, shape `(n, m)`, or `(n,)` of pairs of rows with `diag`."""
        r: Tensor = self.covar_dist(x1 / self.lengthscale, x2 / self.lengthscale, diag=diag, **options)
        a, b, c = self.form.to(r)
        covariance: Tensor = (1 + a * r + b * r.square()) * (-c * r).exp()
        return covariance
