r"""The process against the closed form, gpytorch's exact inference, and finite differences."""

import gpytorch
import pytest
import torch

from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.errors import RequestError

WAYS = ("noise", "scale", "none")


def drawn(n=12, m=7, d=2, latent=3, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return 2 * normal(n, d), normal(n, latent), normal(n, latent).exp() * 0.1, 2 * normal(m, d)


def gram(a, b, length_scale=1.0):
    return torch.exp(-0.5 * torch.cdist(a, b).square() / length_scale**2)


def test_two_points_by_hand():
    x, z = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [-1.0]])
    v, new = torch.tensor([[0.5], [0.25]]), torch.tensor([[0.5]])
    p = GaussianProcess()(x, z, v, new)
    k, c = torch.tensor(-0.5).exp(), torch.tensor(-0.125).exp()
    a, b = 1.5, 1.25  # the inverse of [[a, k], [k, b]], by its determinant
    determinant = a * b - k**2
    weights = torch.stack([(b - k) * c, (a - k) * c]) / determinant
    assert p.mean.item() == pytest.approx((2 * weights[0] - weights[1]).item(), abs=1e-6)
    assert p.variance.item() == pytest.approx((1 - c * weights.sum()).item(), abs=1e-6)


def test_the_published_kernel_by_hand():
    x, z, v, new = drawn()
    p = GaussianProcess(variances="scale", length_scale=0.7)(x, z, v, new)
    inverse, across = torch.linalg.inv(gram(x, x, 0.7)), gram(new, x, 0.7)
    for d in range(3):
        own = (across @ inverse @ v[:, d].log()).exp()
        k = (v[:, d, None] * v[None, :, d]).sqrt() * gram(x, x, 0.7)
        k_new = (own[:, None] * v[None, :, d]).sqrt() * across
        solved = torch.linalg.solve(k, k_new.T)
        torch.testing.assert_close(p.mean[:, d], solved.T @ z[:, d], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(p.variance[:, d], own - (k_new * solved.T).sum(1), rtol=1e-4, atol=1e-6)


class Exact(gpytorch.models.ExactGP):
    def __init__(self, x, y, likelihood, kernel):
        super().__init__(x, y, likelihood)
        self.mean_module, self.covar_module = gpytorch.means.ZeroMean(), kernel

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


@pytest.mark.parametrize("name", ["rbf", "matern-1/2", "matern-3/2", "matern-5/2"])
def test_agrees_with_gpytorchs_exact_inference(name):
    x, z, v, new = drawn()
    process = GaussianProcess(name, length_scale=1.3)
    p = process(x, z, v, new)
    total = 0.0
    for d in range(3):
        likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(v[:, d])
        model = Exact(x, z[:, d], likelihood, process.kernel).double()
        with gpytorch.settings.fast_computations(False, False, False), torch.no_grad():
            marginal = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
            total += marginal(model(x), z[:, d]).item() * len(x)
            expected = model.eval()(new)
        torch.testing.assert_close(p.mean[:, d], expected.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(p.variance[:, d], expected.variance, rtol=1e-5, atol=1e-6)
    assert process.log_marginal(x, z, v).item() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_the_marginal_likelihood_is_that_of_the_joint_normal(way):
    x, z, v, _ = drawn(n=5)
    expected = 0.0
    for d in range(3):
        k = gram(x, x) + (torch.diag(v[:, d]) if way == "noise" else 0)
        k = k * (v[:, d, None] * v[None, :, d]).sqrt() if way == "scale" else k
        expected += torch.distributions.MultivariateNormal(torch.zeros(5).double(), k).log_prob(z[:, d]).item()
    assert GaussianProcess(variances=way).log_marginal(x, z, v).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("inducing", [None, 5])
@pytest.mark.parametrize("way", WAYS)
def test_gradients_through_the_solve(way, inducing):
    x, z, v, new = drawn(n=7, m=3, latent=2)
    if inducing is not None:
        v = v + 0.1
    process = GaussianProcess(variances=way, inducing=inducing)

    def moments(z, log_v, new):
        p = process(x, z, log_v.exp(), new)
        return p.mean, p.variance

    inputs = [t.clone().requires_grad_() for t in (z, v.log(), new)]
    assert torch.autograd.gradcheck(moments, inputs, eps=1e-5, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_exact_points_are_reproduced_and_far_away_the_prior_is_left(way):
    x, z, v, _ = drawn(latent=2)
    process = GaussianProcess(variances=way, length_scale=0.5)
    p = process(x, z, None if way == "noise" else v, x)
    torch.testing.assert_close(p.mean, z, rtol=1e-4, atol=1e-4)
    assert p.variance.max() < 1e-5
    far = process(x, z, v, torch.full((1, 2), 1e3, dtype=torch.float64))
    torch.testing.assert_close(far.mean, torch.zeros(1, 2, dtype=torch.float64))
    torch.testing.assert_close(far.variance, torch.ones(1, 2, dtype=torch.float64))


def test_without_points_there_is_the_prior():
    p = GaussianProcess()(torch.zeros(0, 1), torch.zeros(0, 4), torch.ones(0, 4), torch.zeros(3, 1))
    assert torch.equal(p.mean, torch.zeros(3, 4))
    assert torch.equal(p.variance, torch.ones(3, 4))


def test_points_at_one_input_are_averaged():
    x = torch.tensor([[0.0], [0.0], [3.0]], dtype=torch.float64)
    z = torch.tensor([[1.0], [2.0], [0.0]], dtype=torch.float64)
    p = GaussianProcess(variances="none")(x, z, None, x)
    torch.testing.assert_close(p.mean, torch.tensor([[1.5], [1.5], [0.0]], dtype=torch.float64), rtol=0, atol=1e-5)
    doubled = GaussianProcess()(x, z, torch.full_like(z, 0.2), x[:1])
    merged = GaussianProcess()(x[1:], z[[0, 2]] + 0.5 * (x[1:] == 0), torch.tensor([[0.1], [0.2]]).double(), x[:1])
    torch.testing.assert_close(doubled.mean, merged.mean)
    torch.testing.assert_close(doubled.variance, merged.variance)


def test_a_matrix_that_cannot_be_factored_is_an_error_that_says_why():
    x, z = torch.zeros(6, 1), torch.zeros(6, 1)
    with pytest.raises(RequestError, match=r"condition number .*5 repeated inputs.*merge repeated inputs"):
        GaussianProcess(variances="none", jitter=0.0)(x, z, None, x)

    class Indefinite(gpytorch.kernels.Kernel):
        def forward(self, a, b, diag=False, **_):
            return torch.ones(len(a)).to(a) if diag else 2.0 - (a == b.T).to(a)

    distinct = torch.arange(6.0)[:, None]
    with pytest.raises(RequestError, match="positive definite"):
        GaussianProcess(Indefinite(), variances="none")(distinct, z, None, distinct)


@pytest.mark.parametrize("at", range(4))
def test_numbers_that_are_not_finite_are_an_error(at):
    given = [torch.zeros(2, 1), torch.zeros(2, 1), torch.ones(2, 1), torch.zeros(1, 1)]
    given[at][0, 0] = torch.nan
    with pytest.raises(RequestError, match="finite"):
        GaussianProcess()(*given)


def test_groups_are_independent():
    x, z, v, new = drawn()
    process = GaussianProcess()
    group, asked = torch.arange(12) % 2, torch.arange(7) % 2
    together = process(x, z, v, new, group=group, new_group=asked)
    for g in range(2):
        own, there = group == g, asked == g
        alone = process(x[own], z[own], v[own], new[there])
        torch.testing.assert_close(together.mean[there], alone.mean)
        torch.testing.assert_close(together.variance[there], alone.variance)


def test_a_row_does_not_depend_on_what_else_is_asked(monkeypatch):
    x, z, v, new = drawn()
    whole = GaussianProcess()(x, z, v, new)
    part = GaussianProcess()(x, z, v, new[2:3])
    torch.testing.assert_close(whole.mean[2:3], part.mean, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr("vaekit.distributions.gaussian_process._AT_ONCE", 1)  # dimension by dimension
    torch.testing.assert_close(GaussianProcess()(x, z, v, new).mean, whole.mean, rtol=1e-12, atol=1e-12)


class TestInducing:
    def test_all_points_inducing_is_exact(self):
        x, z, v, new = drawn(n=13)
        exact = GaussianProcess()(x, z, v, new)
        process = GaussianProcess(inducing=12)
        process._chosen = lambda x, group: torch.arange(len(x))
        sparse = process(x, z, v, new)
        torch.testing.assert_close(sparse.mean, exact.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(sparse.variance, exact.variance, rtol=1e-5, atol=1e-6)

    def test_the_closed_form_of_titsias(self):
        x, z, v, new = drawn(n=20, latent=1)
        process = GaussianProcess(inducing=6)
        u = x[process._chosen(x, None)]
        p = process(x, z, v, new)
        k_uu, k_ux, k_un = gram(u, u), gram(u, x), gram(u, new)
        inner = torch.linalg.inv(k_uu + k_ux @ torch.diag(1 / v[:, 0]) @ k_ux.T)
        mean = k_un.T @ inner @ k_ux @ (z[:, 0] / v[:, 0])
        variance = 1 - (k_un * (torch.linalg.inv(k_uu) @ k_un)).sum(0) + (k_un * (inner @ k_un)).sum(0)
        torch.testing.assert_close(p.mean[:, 0], mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(p.variance[:, 0], variance, rtol=1e-5, atol=1e-6)

    def test_few_points_suffice_for_a_smooth_curve(self):
        x = torch.linspace(0, 10, 200, dtype=torch.float64)[:, None]
        z, v, new = torch.cat([x.sin(), x.cos()], 1), torch.full((200, 2), 0.01).double(), x + 0.02
        exact, sparse = (GaussianProcess(inducing=m)(x, z, v, new) for m in (None, 20))
        torch.testing.assert_close(sparse.mean, exact.mean, rtol=0, atol=1e-3)
        torch.testing.assert_close(sparse.variance, exact.variance, rtol=0, atol=1e-4)

    def test_repeated_inputs_are_chosen_once(self):
        x = torch.tensor([[0.0], [0.0], [5.0], [5.0], [5.0]], dtype=torch.float64)
        assert sorted(x[GaussianProcess(inducing=4)._chosen(x, None)].flatten().tolist()) == [0.0, 5.0]


@pytest.mark.parametrize(
    "wrong", [{"kernel": "rfb"}, {"length_scale": 0.0}, {"variances": "both"}, {"inducing": 0}, {"jitter": -1.0}]
)
def test_a_wrong_request_says_what_to_pass(wrong):
    with pytest.raises(RequestError, match="expected"):
        GaussianProcess(**wrong)
