import copy
import math

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
    constraints,
)

from vaekit.distributions import (
    Ancestral,
    Conditional,
    ConditionalPrior,
    DiagonalGaussian,
    DiagonalMixture,
    Factorised,
    FullGaussian,
    Gaussian,
    LearnedNormal,
    MixturePrior,
    RelaxedUniform,
    StandardNormal,
    SymmetricDirichlet,
    VampPrior,
)
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.networks import MLP
from vaekit.objectives import ImportanceWeighted


def test_any_family_makes_a_factorised_prior():
    for family, parameters in ((Laplace, {"loc": 1.0, "scale": 2.0}), (StudentT, {"df": 5, "loc": 0.0, "scale": 1.0})):
        prior = Factorised(3, family, **parameters)
        p = prior(torch.zeros(8, 2))  # whatever the context
        assert (p.batch_shape, p.event_shape) == ((), (3,))
        z = torch.randn(5, 3)
        torch.testing.assert_close(p.log_prob(z), family(**parameters).log_prob(z).sum(1))
        assert prior.state_dict() == {}
        assert prior.double()().mean.dtype == torch.float64  # it follows the model


@pytest.mark.parametrize("parameters", [{"loc": 0.0, "scale": -1.0}, {"mean": 0.0, "scale": 1.0}, {"loc": 0.0}])
def test_a_family_refuses_parameters_that_are_not_its_own(parameters):
    with pytest.raises(RequestError, match="refuses the parameters"):
        Factorised(2, Laplace, **parameters)


def test_wrong_numbers_are_refused():
    with pytest.raises(RequestError, match="concentration is 0"):
        SymmetricDirichlet(3, 0)
    with pytest.raises(RequestError, match="temperature is -1"):
        RelaxedUniform(2, 3, -1)
    for make in (lambda: MixturePrior(2, 0), lambda: VampPrior(nn.Identity(), (3,), 0)):
        with pytest.raises(RequestError, match="components is 0"):
            make()


def test_a_learned_normal_starts_as_the_standard_one_and_learns():
    prior = LearnedNormal(3)
    z = torch.randn(5, 3)
    torch.testing.assert_close(prior().log_prob(z), StandardNormal(3)().log_prob(z))
    prior().log_prob(z).sum().backward()
    torch.testing.assert_close(prior.loc.grad, z.sum(0))  # of -(z - mean)^2 / 2 at 0
    torch.testing.assert_close(prior.log_scale.grad, (z.square() - 1).sum(0))


def test_a_conditional_prior_depends_on_the_context_row_by_row():
    net = nn.Linear(4, 6)
    prior = ConditionalPrior(net, DiagonalGaussian(3))
    context = torch.randn(5, 4)
    p = prior(context)
    assert (p.batch_shape, p.event_shape) == ((5,), (3,))
    torch.testing.assert_close(p.mean, net(context)[:, :3])
    torch.testing.assert_close(p.stddev.log(), net(context)[:, 3:])
    with pytest.raises(RequestError, match="the prior was given no context"):
        prior()


def mixture(components=7, d=3, dtype=torch.float64, scale=None, seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits, loc, raw = (torch.randn(*s, generator=draw, dtype=dtype) for s in ((components,), *[(components, d)] * 2))
    p = DiagonalMixture(logits, 2 * loc, raw.exp() if scale is None else torch.full_like(raw, scale))
    reference = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(p.loc, p.scale), 1))
    return p, reference


@pytest.mark.parametrize("scale", [None, 0.01, 1e-3])
@pytest.mark.parametrize("far", [0.0, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_density_of_a_mixture_is_torchs_in_single_precision_too(scale, far, dtype):
    p, reference = mixture(50, 40, dtype, scale)
    torch.manual_seed(0)
    z = p.loc[:30] + p.scale[:30] * torch.randn(30, 40, dtype=dtype) + far
    exact = MixtureSameFamily(
        Categorical(logits=reference.mixture_distribution.logits.double()),
        Independent(Normal(p.loc.double(), p.scale.double()), 1),
    )
    assert p.log_prob(z).dtype == dtype
    torch.testing.assert_close(p.log_prob(z).double(), exact.log_prob(z.double()), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(p.log_prob(z), reference.log_prob(z), rtol=1e-4, atol=1e-4)


def test_the_gradients_of_a_mixtures_density_are_torchs():
    p, reference = mixture()
    z = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    assert p.log_prob(z).shape == (4, 5)
    (mine,) = torch.autograd.grad(p.log_prob(z).sum(), z)
    (theirs,) = torch.autograd.grad(reference.log_prob(z).sum(), z)
    torch.testing.assert_close(mine, theirs)


def test_parts_and_moments_of_a_mixture():
    p, reference = mixture()
    torch.testing.assert_close(p.mean, reference.mean)
    torch.testing.assert_close(p.variance, reference.variance)
    assert p.components.batch_shape == (7,)
    z = torch.randn(5, 3).double()
    parts = p.components.log_prob(z[:, None]) + p.log_weights
    torch.testing.assert_close(p.component_log_prob(z), parts)
    assert p.log_weights.exp().sum().item() == pytest.approx(1)
    assert p.support is constraints.real_vector


def test_draws_of_a_mixture_come_from_all_of_it():
    loc = torch.tensor([[-5.0, 0.0], [5.0, 1.0], [0.0, 20.0]])
    p = DiagonalMixture(torch.tensor([0.5, 0.3, 0.2]).log(), loc, torch.tensor([[1.0, 0.1]]).expand(3, 2))
    torch.manual_seed(0)
    z = p.sample((100, 300))
    assert z.shape == (100, 300, 2)
    assert p.sample().shape == (2,)
    flat = z.view(-1, 2)
    assert ((flat.mean(0) - p.mean).abs() < 5 * p.stddev / math.sqrt(len(flat))).all()
    nearest = torch.cdist(flat, loc).argmin(1).bincount() / len(flat)
    torch.testing.assert_close(nearest, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)
    around = flat[torch.cdist(flat, loc).argmin(1) == 0]
    torch.testing.assert_close(around.std(0), torch.tensor([1.0, 0.1]), atol=0, rtol=0.05)


def test_a_mixture_prior_starts_with_the_standard_normals_moments():
    torch.manual_seed(0)
    prior = MixturePrior(2, components=5000)
    torch.testing.assert_close(prior().mean, torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(prior().variance, torch.ones(2), atol=0.05, rtol=0)
    assert (torch.pdist(MixturePrior(2, 5).loc) > 1e-2).all()
    prior().log_prob(torch.randn(9, 2)).sum().backward()
    assert all(p.grad.any() for p in prior.parameters())


def vamp_model(head=DiagonalGaussian, components=6, d=1, objective=None, **options):
    torch.manual_seed(0)
    posterior, likelihood = head(d), Gaussian((4,), variance=0.1)
    encoder = Conditional(MLP((4,), posterior.parameter_shape, (8,), "tanh"), posterior)
    decoder = Conditional(MLP((d,), likelihood.parameter_shape, (8,), "tanh"), likelihood)
    return VAE(encoder, decoder, VampPrior(encoder, (4,), components, spread=0.3, **options), objective)


@pytest.mark.parametrize("head", [DiagonalGaussian, FullGaussian])
def test_a_vamp_prior_is_the_uniform_mixture_of_posteriors(head):
    model = vamp_model(head, d=2)
    p, u = model.prior(), model.prior.pseudo_inputs
    z = torch.randn(50, 2)
    rows = torch.stack([model.encode(u[k : k + 1]).log_prob(z[:, None])[:, 0] for k in range(6)])
    torch.testing.assert_close(p.log_prob(z), rows.logsumexp(0) - math.log(6), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(p.mean, model.encode(u).mean.mean(0))


def test_the_density_of_a_vamp_prior_integrates_to_one_and_its_draws_are_its_own():
    model = vamp_model()
    with torch.no_grad():
        model.encoder.network.output.bias += torch.tensor([4.0, -1.0])  # off the standard normal
        p = model.prior()
        line = torch.linspace(-15, 15, 20_001)[:, None]
        density = p.log_prob(line).exp()
        step = 30 / 20_000
        assert density.sum().item() * step == pytest.approx(1, abs=1e-4)
        mean = (density[:, None] * line).sum().item() * step
        assert mean > 2
        torch.manual_seed(0)
        z = p.sample((20_000,))
        assert z.mean().item() == pytest.approx(mean, abs=0.02)
        assert z.std().item() == pytest.approx(p.stddev.item(), rel=0.03)
        # The model draws from it: what it decodes is spread about the decoder at the prior's mean.
        x = model.sample(4000, seed=0)
        torch.testing.assert_close(x.mean(0), model.decode(p.sample((4000,))).mean.mean(0), atol=0.05, rtol=0)


@pytest.mark.parametrize("objective", [None, ImportanceWeighted(3)])
def test_a_vamp_prior_in_a_model(objective, tmp_path):
    model = vamp_model(objective=objective)
    assert [name for name in model.state_dict() if name.startswith("prior")] == ["prior.raw"]
    x = torch.rand(10, 4)
    model(x).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    # The gradient to the encoder passes through the prior too.
    model.zero_grad()
    model.prior().log_prob(torch.randn(5, 1)).sum().backward()
    assert all(p.grad.any() for p in [*model.encoder.parameters(), model.prior.raw])
    # Its weights are stored once.
    save_model(model, str(tmp_path / "model.safetensors"))
    other = vamp_model(objective=objective)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(0.3)
    load_model(other, str(tmp_path / "model.safetensors"))
    z = torch.randn(5, 1)
    torch.testing.assert_close(other.prior().log_prob(z), model.prior().log_prob(z))


def test_a_copied_or_moved_model_has_a_prior_of_its_own_encoder():
    model = vamp_model()
    other = copy.deepcopy(model)
    assert other.prior._encoder[0] is other.encoder
    assert other.encoder is not model.encoder
    z = torch.randn(5, 1)
    before = model.prior().log_prob(z)
    with torch.no_grad():
        other.encoder.network.output.bias += 1
    assert not torch.allclose(other.prior().log_prob(z), before)
    assert torch.equal(model.prior().log_prob(z), before)
    model.double()
    assert model.prior().log_prob(z.double()).dtype == torch.float64
    assert vamp_model().to("meta").prior().log_prob(z.to("meta")).device.type == "meta"


def test_pseudo_inputs_start_near_the_mean_and_stay_in_the_datas_range():
    encoder = Conditional(nn.Linear(4, 2), DiagonalGaussian(1))
    mean = torch.tensor([0.0, 0.2, 0.7, 1.0])
    prior = VampPrior(encoder, (4,), 2000, mean)
    torch.testing.assert_close(prior.pseudo_inputs.mean(0), mean, atol=0.02, rtol=0)
    assert prior.pseudo_inputs.min() > 0  # so that each has a gradient
    assert prior.pseudo_inputs.max() < 1
    with torch.no_grad():
        prior.raw += torch.tensor([-2.0, 2.0, 0.0, 0.0])
    assert prior.pseudo_inputs[:, 0].eq(0).all()
    assert prior.pseudo_inputs[:, 1].eq(1).all()
    assert VampPrior(encoder, (4,), 50).pseudo_inputs.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (VampPrior(encoder, (4,), 3, mean=7.0, bounds=None).pseudo_inputs - 7).abs().max() < 0.1
    examples = torch.rand(5, 4) * 0.9 + 0.05
    torch.testing.assert_close(VampPrior(encoder, (4,), 5, examples, spread=0.0).pseudo_inputs, examples)
    with pytest.raises(RequestError, match=r"mean has shape \(3,\); expected one that broadcasts to \(5, 4\)"):
        VampPrior(encoder, (4,), 5, torch.zeros(3))
    with pytest.raises(RequestError, match="a VampPrior was given a context"):
        prior(torch.zeros(2, 3))


def chain(reverse=False, batch=None, dtype=torch.float64):
    """A linear-Gaussian chain, a (2 units) then b (3 units) = W a + c + noise, and its joint Gaussian as [a, b]."""
    draw = torch.Generator().manual_seed(0)
    weight, offset, mean = (torch.randn(*s, generator=draw, dtype=dtype) for s in ((3, 2), (3,), (2,)))
    scale_a, scale_b = torch.tensor([0.5, 1.5], dtype=dtype), torch.tensor([0.3, 1.0, 2.0], dtype=dtype)
    shape = (2,) if batch is None else (batch, 2)

    def then(a):
        assert a.dim() == 2  # a network sees one batch axis
        b = a @ weight.T + offset
        return Independent(Normal(b, scale_b.expand_as(b)), 1)

    first = Independent(Normal(mean.expand(shape), scale_a.expand(shape)), 1)
    cross = weight @ torch.diag(scale_a**2)
    below = cross @ weight.T + torch.diag(scale_b**2)
    covariance = torch.cat([torch.cat([torch.diag(scale_a**2), cross.T], 1), torch.cat([cross, below], 1)])
    joint = MultivariateNormal(torch.cat([mean, weight @ mean + offset]), covariance)
    return Ancestral(first, then, reverse=reverse), joint


def swap(z):
    return torch.cat([z[..., 3:], z[..., :3]], -1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch", [None, 4])
def test_two_groups_are_the_joint_gaussian(reverse, batch):
    p, joint = chain(reverse, batch)
    rows = () if batch is None else (batch,)
    assert (p.batch_shape, p.event_shape) == (rows, (5,))
    for k in ((), (6,), (6, 2)):
        z = torch.randn(*k, *rows, 5, dtype=torch.float64)
        expected = joint.log_prob(swap(z) if reverse else z)
        torch.testing.assert_close(p.log_prob(z), expected)
        parts = p.parts(z)
        assert parts.shape == (*k, *rows, 2)
        torch.testing.assert_close(parts.sum(-1), expected)
        a = z[..., 3:] if reverse else z[..., :2]
        torch.testing.assert_close(parts[..., 1 if reverse else 0], p.first.log_prob(a))
        for draws in (p.sample(k), p.rsample(k), p.rsample_and_log_prob(k)[0]):
            assert draws.shape == z.shape
    torch.testing.assert_close(swap(p.mean) if reverse else p.mean, joint.mean.expand(*rows, 5))


def test_points_are_held_against_every_row():
    loc = torch.randn(4, 2)
    q = Ancestral(
        Independent(Normal(loc, torch.ones(4, 2)), 1),
        lambda a: Independent(Normal(a + loc.repeat(len(a) // 4, 1), torch.ones(len(a), 2)), 1),  # of the row, too
    )
    z = torch.randn(3, 1, 4)
    assert q.log_prob(z).shape == (3, 4)
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.expand(3, 4, 4)))
    first, then = z[..., :2], z[..., 2:]
    expected = Normal(loc, 1.0).log_prob(first).sum(-1) + Normal(first + loc, 1.0).log_prob(then).sum(-1)
    torch.testing.assert_close(q.log_prob(z), expected)


@pytest.mark.parametrize("method", ["sample", "rsample", "both"])
def test_draws_of_two_groups_have_the_joint_moments(method):
    p, joint = chain(batch=2)
    torch.manual_seed(0)
    if method == "both":
        z, log_p = p.rsample_and_log_prob((50_000,))
        torch.testing.assert_close(log_p, p.log_prob(z))
    else:
        z = getattr(p, method)((50_000,))
    gap = z[:, 1] - joint.mean
    assert (gap.mean(0).abs() < 5 * joint.stddev / math.sqrt(50_000)).all()
    products = gap[:, :, None] * gap[:, None]
    error = (products - joint.covariance_matrix).mean(0).abs()
    assert (error < 5 * products.std(0) / math.sqrt(50_000)).all()


def test_draws_of_two_groups_carry_gradients_through_both_and_samples_none():
    p, _ = chain(batch=2)
    loc = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    q = Ancestral(Independent(Normal(loc, torch.ones(2, 2).double()), 1), p.then)
    (gradient,) = torch.autograd.grad(q.rsample((3,))[..., 2:].sum(), loc)
    assert gradient.all()
    assert not q.sample().requires_grad
    assert q.has_rsample
    assert not Ancestral(mixture(d=2)[0], p.then).has_rsample


class Layer(nn.Module):
    """The posterior of two layers, or their prior, of small networks."""

    def __init__(self, first, then, reverse=False):
        super().__init__()
        self.first, self.then, self.reverse = first, then, reverse

    def forward(self, *given):
        return Ancestral(self.first(*given), self.then, reverse=self.reverse)


class FirstLayer(nn.Module):
    def __init__(self, decoder, size):
        super().__init__()
        self.decoder, self.size = decoder, size

    def forward(self, z):
        return self.decoder(z[:, : self.size])


def dense(inputs, head):
    return Conditional(MLP((inputs,), head.parameter_shape, (8,)), head)


@pytest.mark.parametrize("objective", [None, ImportanceWeighted(5)])
def test_a_model_of_two_layers_is_a_composition(objective):
    torch.manual_seed(0)
    model = VAE(
        Layer(dense(6, DiagonalGaussian(3)), dense(3, FullGaussian(2))),
        FirstLayer(dense(3, Gaussian((6,))), 3),
        Layer(StandardNormal(2), dense(2, DiagonalGaussian(3)), reverse=True),
        objective,
    )
    x = torch.randn(10, 6)
    assert model.encode(x).mean.shape == (10, 5)
    assert model.reconstruct(x).shape == model.sample(10).shape == (10, 6)
    assert model.log_prob(x, samples=20).shape == (10,)
    q, p = model.encode(x), model.prior()
    z = q.rsample((4,))
    torch.testing.assert_close((q.parts(z) - p.parts(z)).sum(-1), q.log_prob(z) - p.log_prob(z))
    model(x).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
