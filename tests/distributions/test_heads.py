import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from vaekit.distributions import (
    Bernoulli,
    Conditional,
    ContinuousBernoulli,
    Delta,
    DiagonalGaussian,
    Gaussian,
    Point,
    StandardNormal,
    kl_divergence,
    likelihood,
)
from vaekit.errors import RequestError

SHAPES = [(5,), (1, 4, 3), (3, 2, 2)]
NAMES = ["bernoulli", "continuous-bernoulli", "gaussian", "gaussian-pixel", "squared-error"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_likelihoods_have_one_batch_axis_and_the_datas_event(name, shape):
    head = likelihood(name, list(shape))
    p = head(torch.zeros(7, *head.parameter_shape))
    assert (p.batch_shape, p.event_shape) == ((7,), shape)
    assert p.mean.shape == (7, *shape)
    assert p.sample().shape == (7, *shape)
    assert p.log_prob(p.sample()).shape == (7,)
    assert p.log_prob(p.sample((4,))).shape == (4, 7)
    assert p.support.check(p.sample()).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_rows_density_depends_on_no_other_row(name):
    head = likelihood(name, (2, 3))
    parameters, x = torch.randn(6, *head.parameter_shape), torch.bernoulli(torch.full((6, 2, 3), 0.5))
    whole = head(parameters).log_prob(x)
    single = torch.cat([head(parameters[i : i + 1]).log_prob(x[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(whole, single)


def test_a_likelihood_of_that_name():
    kinds = [type(likelihood(name, (2,))) for name in NAMES]
    assert kinds == [Bernoulli, ContinuousBernoulli, Gaussian, Gaussian, Gaussian]
    assert torch.equal(likelihood("squared-error", (2,))(torch.zeros(1, 2)).variance, torch.ones(1, 2))
    assert [name for name in NAMES if list(likelihood(name, (2,)).parameters())] == ["gaussian"]


def test_an_unknown_likelihood_is_refused_with_the_nearest():
    with pytest.raises(
        RequestError, match=r"unknown likelihood 'bernouli'; expected one of .*Did you mean 'bernoulli'"
    ):
        likelihood("bernouli", (2,))


def test_the_network_gives_means_first_then_scales_along_the_first_axis():
    head = Gaussian((2, 1, 3), "pixel")
    assert head.parameter_shape == (4, 1, 3)
    parameters = torch.randn(5, 4, 1, 3)
    p = head(parameters)
    torch.testing.assert_close(p.mean, parameters[:, :2])
    torch.testing.assert_close(p.stddev, 1e-3 + nn.functional.softplus(parameters[:, 2:]))


def test_support_tells_bits_from_fractions():
    bits, fractions = (likelihood(name, (2,))(torch.zeros(1, 2)).support for name in NAMES[:2])
    grey = torch.tensor([[0.0, 0.5]])
    assert not bits.check(grey).all()
    assert fractions.check(grey).all()
    assert not fractions.check(torch.tensor([[0.0, 1.5]])).all()


def test_diagonal_gaussian_reads_mean_and_log_scale():
    head = DiagonalGaussian(3)
    assert head.parameter_shape == (6,)
    parameters = torch.randn(4, 6)
    q = head(parameters)
    assert (q.batch_shape, q.event_shape) == ((4,), (3,))
    torch.testing.assert_close(q.mean, parameters[:, :3])
    torch.testing.assert_close(q.stddev, parameters[:, 3:].exp())


def test_draws_of_a_posterior_carry_gradients_to_both_parameters():
    parameters = torch.randn(4, 6, requires_grad=True)
    DiagonalGaussian(3)(parameters).rsample((5,)).square().sum().backward()
    assert (parameters.grad != 0).all()


@pytest.mark.parametrize("head", [DiagonalGaussian, Point])
@pytest.mark.parametrize("latent_dim", [0, -3])
def test_a_latent_space_has_a_dimension(head, latent_dim):
    with pytest.raises(RequestError, match=rf"latent_dim is {latent_dim}; a latent space has at least 1 dimension"):
        head(latent_dim)


def test_standard_normal():
    prior = StandardNormal(3)
    p = prior(torch.zeros(8, 2))  # whatever the context
    assert (p.batch_shape, p.event_shape) == ((), (3,))
    z = torch.randn(5, 3)
    torch.testing.assert_close(p.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(1))
    assert prior.state_dict() == {}
    assert prior.double()().mean.dtype == torch.float64  # it follows the model


def test_delta_is_a_point():
    loc = torch.randn(4, 3, requires_grad=True)
    q = Delta(loc)
    assert (q.batch_shape, q.event_shape) == ((4,), (3,))
    assert torch.equal(q.mean, loc)
    assert torch.equal(q.rsample((6,)), loc.expand(6, 4, 3))
    assert not q.sample().requires_grad
    assert q.rsample().requires_grad
    assert not q.variance.any()
    assert Delta(torch.zeros(5, 2, 3), event_dim=2).event_shape == (2, 3)


def test_delta_has_no_density_and_no_rate():
    q = Delta(torch.ones(4, 3))
    assert not q.has_density
    for p in (StandardNormal(3)(), Independent(Normal(torch.ones(3), torch.ones(3)), 1)):
        assert torch.equal(kl_divergence(q, p), torch.zeros(4))
    with pytest.raises(NotImplementedError, match="a point posterior has no density"):
        q.log_prob(torch.ones(4, 3))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = None

    def forward(self, *given):
        self.seen = given
        return torch.zeros(len(given[0]), 4)


def test_a_conditional_passes_a_context_only_if_there_is_one():
    net = Net()
    conditional = Conditional(net, DiagonalGaussian(2))
    x, context = torch.ones(3, 5), torch.ones(3, 1)
    assert conditional(x).event_shape == (2,)
    assert len(net.seen) == 1
    conditional(x, context)
    assert net.seen[1] is context


def test_a_network_whose_output_the_head_does_not_read_is_refused():
    for head, size in ((DiagonalGaussian(2), 6), (Bernoulli((3,)), 4)):
        with pytest.raises(RequestError, match=rf"parameters of shape \({size},\) for an example; expected \(\d,\)"):
            Conditional(nn.Linear(5, size), head)(torch.zeros(2, 5))
