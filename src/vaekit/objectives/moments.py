r"""The objective of the DIP-VAE: the moments of the aggregate posterior are held to those of independent units."""

__all__ = ["DIP"]

from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.errors import RequestError
from vaekit.objectives.base import choice
from vaekit.objectives.elbo import Estimator
from vaekit.objectives.penalised import Penalised, Penalties
from vaekit.schedules import Schedule


class DIP(Penalised):
    r"""The evidence lower bound and the distance of the codes' covariance from the identity.

    .. math::
        \text{loss} = \text{distortion} + \beta \, \text{rate} + \lambda_{od} \sum_{i \ne j} C_{ij}^2
        + \lambda_d \sum_i (C_{ii} - 1)^2

    where C is, over the batch, the covariance of the posterior means (DIP-VAE-I), or that of the codes themselves,
    which is larger by the mean of the posterior covariances (DIP-VAE-II). The two sums are reported as
    `dip_off_diagonal` and `dip_diagonal`. Covariances are divided by n, not by n - 1.

    References:
        Variational inference of disentangled latent concepts from unlabeled observations (Kumar, Sattigeri and
        Balakrishnan, 2018), equations 6 and 7.

    Arguments:
        kind: "i" or "ii".
        lambda_od: Weight of the covariances: a number, or a schedule over epochs.
        lambda_d: Weight of the variances. For "i" they take about ten times `lambda_od`, without which the means
            shrink; for "ii" as much as `lambda_od`.
        beta: Weight of the rate: a number, or a schedule over epochs.
        samples: Draws of z for each example.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range; in use, if the posterior's moments are not known.

    Example:
        >>> DIP("i", lambda_od=10.0, lambda_d=100.0).weights()
        {'beta': 1.0, 'lambda_od': 10.0, 'lambda_d': 100.0}
    """

    lambda_od: Tensor
    lambda_d: Tensor

    def __init__(
        self,
        kind: Literal["i", "ii"] = "ii",
        lambda_od: float | Schedule = 10.0,
        lambda_d: float | Schedule = 10.0,
        beta: float | Schedule = 1.0,
        samples: int = 1,
        estimator: Estimator = "analytic",
    ) -> None:
        super().__init__(beta, samples, estimator)
        self.kind = choice("kind", kind, ("i", "ii"))
        self.anneal("lambda_od", lambda_od, "pass 10, say")
        self.anneal("lambda_d", lambda_d, "pass 10, say")

    def penalties(self, z: Tensor, posterior: Distribution, prior: Distribution) -> Penalties:
        """Return the two sums, `dip_off_diagonal` and `dip_diagonal`."""
        covariance = self._covariance(posterior)
        variances = covariance.diagonal()
        return {
            "dip_off_diagonal": (self.lambda_od, covariance.square().sum() - variances.square().sum()),
            "dip_diagonal": (self.lambda_d, (variances - 1).square().sum()),
        }

    def _covariance(self, q: Distribution) -> Tensor:
        """The covariance of the means, or of the codes, shape `(d, d)`."""
        try:
            centred = q.mean - q.mean.mean(0)
            covariance = centred.mT @ centred / len(centred)
            if self.kind == "i":
                return covariance
            full = getattr(q, "covariance_matrix", None)
            return covariance + (torch.diag(q.variance.mean(0)) if full is None else full.mean(0))
        except NotImplementedError:
            raise RequestError(
                f"the mean and variance of a posterior of type {type(q).__name__} are not known, which DIP takes: use "
                "a posterior such as DiagonalGaussian"
            ) from None
