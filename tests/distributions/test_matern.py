r"""The Matern kernel whose smoothness is data, against gpytorch's and as it is chosen."""

import pytest
import torch

from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.errors import RequestError
from vaekit.models.base import seeded
from vaekit.regression import fit_to_outputs

gpytorch = pytest.importorskip("gpytorch")

from vaekit.distributions.matern import Matern  # noqa: E402 - it needs gpytorch


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_it_is_that_of_gpytorch(smoothness: float) -> None:
    x = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, theirs = Matern(smoothness), gpytorch.kernels.MaternKernel(nu=smoothness)
    ours.lengthscale = theirs.lengthscale = 1.3
    torch.testing.assert_close(ours(x, x[:4]).to_dense(), theirs(x, x[:4]).to_dense())
    torch.testing.assert_close(ours(x, diag=True), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_the_smoothness_is_part_of_the_state(smoothness: float) -> None:
    kernel, other = Matern(smoothness), Matern()
    other.load_state_dict(kernel.state_dict())
    assert other.smoothness == smoothness


def test_another_smoothness_is_refused() -> None:
    with pytest.raises(RequestError, match=r"expected 0\.5, 1\.5 or 2\.5"):
        Matern(2.0)


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_the_likeliest_smoothness_is_that_of_the_process(smoothness: float) -> None:
    x = torch.linspace(0, 40, 120, dtype=torch.float64)[:, None]
    truth = Matern(smoothness)
    truth.lengthscale = 4.0
    factor = torch.linalg.cholesky(truth(x, x).to_dense().detach() + 1e-9 * torch.eye(120))
    with seeded(0):
        y = factor @ torch.randn(120, 8, dtype=torch.float64)
    process = GaussianProcess("matern", length_scale=1.0)
    fit_to_outputs(process, [(x, y)])
    assert process.kernel.smoothness == smoothness
    assert process.kernel.lengthscale.item() == pytest.approx(4.0, rel=0.3)
