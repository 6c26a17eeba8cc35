r"""The objective of the InfoVAE: the aggregate posterior is held to the prior by their discrepancy."""

__all__ = ["InfoVAE"]

import math
from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Distribution

from vaekit.distributions.discrepancy import Kernel, maximum_mean_discrepancy
from vaekit.errors import RequestError
from vaekit.objectives.elbo import Estimator
from vaekit.objectives.penalised import Penalised, Penalties
from vaekit.schedules import Schedule


class InfoVAE(Penalised):
    r"""A rate with less weight, or none, and the discrepancy between the aggregate posterior and the prior.

    .. math::
        \text{loss} = \text{distortion} + (1 - \alpha) \, \text{rate}
        + (\alpha + \lambda - 1) \, \mathrm{MMD}^2(q(z) \,\|\, p(z))

    With :math:`\alpha = 0, \lambda = 1` it is the ELBO. With :math:`\alpha = 1` it is the Wasserstein autoencoder of
    the same penalty, and codes may tell everything about x, as long as all of them together look like the prior.

    The discrepancy, reported as `mmd`, is of the batch's draws and as many of the prior, an unbiased estimate that lies
    about zero for a good match, below as well as above; of a batch of one it is the biased one.

    References:
        InfoVAE: balancing learning and inference in variational autoencoders (Zhao, Song and Ermon, 2017), equation 6.
        Wasserstein auto-encoders (Tolstikhin et al., 2018).

    Arguments:
        alpha: Weight taken off the rate, at most 1.
        lambda_: :math:`\lambda`, a number, or a schedule over epochs.
        kernel: "imq" or "rbf"; see `vaekit.distributions.maximum_mean_discrepancy`.
        scales: Of the kernel.
        samples: Draws of z for each example.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range.

    Example:
        >>> InfoVAE(alpha=0.5, lambda_=100.0).weights()
        {'beta': 0.5, 'lambda_': 100.0}
    """

    lambda_: Tensor

    def __init__(
        self,
        alpha: float = 0.0,
        lambda_: float | Schedule = 1000.0,
        kernel: Kernel = "imq",
        scales: Sequence[float] | None = None,
        samples: int = 1,
        estimator: Estimator = "analytic",
    ) -> None:
        if not -math.inf < alpha <= 1:
            raise RequestError(f"alpha is {alpha}; expected at most 1, where the rate has no weight: pass 0, say")
        super().__init__(1 - alpha, samples, estimator)
        self.anneal("lambda_", lambda_, "the discrepancy would have a negative weight", lowest=1 - alpha)
        self.alpha = alpha
        self.kernel: Kernel = kernel
        self.scales = scales
        maximum_mean_discrepancy(self.lambda_.view(1, 1), self.lambda_.view(1, 1), kernel, scales, unbiased=False)

    def penalties(self, z: Tensor, posterior: Distribution, prior: Distribution) -> Penalties:
        """Return the discrepancy of the batch's codes and the prior, `mmd`."""
        expected = prior.sample(z.shape[: 1 if prior.batch_shape else 2])
        mmd = maximum_mean_discrepancy(z, expected, self.kernel, self.scales, unbiased=z.shape[1] > 1)
        return {"mmd": (self.alpha + self.lambda_ - 1, mmd.mean())}
