import copy
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import load, save
from torch.autograd.functional import jacobian
from torch.distributions import Independent, Normal

from vaekit.distributions import Bernoulli, Conditional, StandardNormal, kl_divergence
from vaekit.distributions.flows import KINDS, FlowPosterior, FlowPrior
from vaekit.distributions.planar import Planar
from vaekit.distributions.pushed import GatedTransform
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.networks import MLP

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("features", [0, 3])
def test_shapes_of_posteriors_and_priors(kind, d, features):
    posterior = FlowPosterior(d, kind, 2, context_features=features)
    assert posterior.parameter_shape == (2 * d + features,)
    prior = FlowPrior(d, kind, 2, context_dim=features)
    n = 5
    q, p = posterior(torch.randn(n, 2 * d + features)), prior(torch.randn(n, features) if features else None)
    assert (q.batch_shape, q.event_shape) == ((n,), (d,))
    assert (p.batch_shape, p.event_shape) == ((n,) if features else (), (d,))
    z = q.rsample((4,))
    assert z.shape == (4, n, d)
    assert z.requires_grad
    assert q.log_prob(z).shape == p.log_prob(z).shape == (4, n)
    assert q.mean.shape == (n, d)
    assert p.sample((3,)).shape == (3, *p.batch_shape, d)
    assert not p.sample((3,)).requires_grad


@each_kind
def test_a_flow_starts_as_nearly_the_plain_gaussian(kind):
    torch.manual_seed(0)
    d = 4
    posterior, prior = FlowPosterior(d, kind, 6), FlowPrior(d, kind, 6)
    parameters = 0.5 * torch.randn(20, *posterior.parameter_shape)
    mean, log_scale = parameters[:, :d], parameters[:, d : 2 * d]
    plain = Independent(Normal(mean, log_scale.exp()), 1)
    with torch.no_grad():
        q = posterior(parameters)
        noise = torch.randn(20, 20, d)
        z = mean + log_scale.exp() * noise
        assert (q.log_prob(z) - plain.log_prob(z)).abs().mean() < 0.15
        assert (q.mean - mean).abs().mean() < 0.1
        normal = StandardNormal(d)()
        assert (prior().log_prob(noise) - normal.log_prob(noise)).abs().mean() < 0.15


@each_kind
@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize("d", [1, 4])
def test_every_parameter_gets_a_finite_gradient(kind, features, d):
    torch.manual_seed(0)
    posterior = FlowPosterior(d, kind, 3, (8,), context_features=features)
    parameters = torch.randn(6, *posterior.parameter_shape, requires_grad=True)
    z, log_q = posterior(parameters).rsample_and_log_prob((5,))
    (log_q + z.pow(3).sum(-1)).sum().backward()
    assert (parameters.grad != 0).all()
    prior = FlowPrior(d, kind, 3, (8,), context_dim=features)
    p = prior(torch.randn(6, features) if features else None)
    p.log_prob(10 * torch.randn(5, 6, d)).sum().backward()  # also beyond the ends of the splines
    for module in (posterior, prior):
        for name, parameter in module.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@each_kind
def test_the_slow_direction_has_gradients_too(kind):
    torch.manual_seed(0)
    posterior = FlowPosterior(3, kind, 2, (8,), context_features=2).double()
    parameters = torch.randn(4, 8, dtype=torch.float64)
    z = torch.randn(5, 4, 3, dtype=torch.float64)
    step = 1e-5 * torch.randn_like(parameters)
    parameters.requires_grad_()
    (slope,) = torch.autograd.grad(posterior(parameters).log_prob(z).sum(), parameters)
    with torch.no_grad():
        change = posterior(parameters + step).log_prob(z).sum() - posterior(parameters - step).log_prob(z).sum()
    torch.testing.assert_close((slope * 2 * step).sum(), change, rtol=1e-4, atol=1e-9)


@each_kind
def test_a_flow_comes_back_from_its_weights_to_the_bit(kind):
    torch.manual_seed(0)
    for build in (lambda: FlowPosterior(5, kind, 3), lambda: FlowPrior(5, kind, 3, context_dim=74)):
        first, second = build(), build()
        x = torch.randn(6, 74)

        def outputs(module, x=x):
            torch.manual_seed(1)
            return module(x).rsample_and_log_prob((2,))

        state = first.state_dict()
        assert all(value.is_contiguous() for value in state.values())
        storages = [value.data_ptr() for value in state.values() if value.numel()]
        assert len(storages) == len(set(storages))
        assert not torch.equal(outputs(first)[0], outputs(second)[0])
        # Masks and orders are in the weights: were they not, another order would be a wrong density.
        for name, value in second.named_buffers():
            if name in state:
                value.zero_()
        second.load_state_dict(load(save(state)))
        for name, value in second.state_dict().items():
            assert torch.equal(value, state[name]), name
        duplicate = copy.deepcopy(first)
        for other in (second, duplicate):
            assert all(torch.equal(a, b) for a, b in zip(outputs(first), outputs(other), strict=True))
        assert not {p.data_ptr() for p in duplicate.parameters()} & {p.data_ptr() for p in first.parameters()}


def test_every_unit_of_a_wide_latent_space_is_seen():
    d = 40
    torch.manual_seed(0)
    prior = FlowPrior(d, "maf", 1).double()
    (step,) = prior().steps
    found = jacobian(step, torch.randn(d, dtype=torch.float64)) != 0
    assert torch.equal(found, torch.ones(d, d).tril().bool())
    with pytest.raises(RequestError, match=r"\(39, 64\) units for 40 latent ones; expected .*: pass wider ones"):
        FlowPrior(d, "maf", 1, (39, 64))


def test_the_order_is_reversed_from_step_to_step():
    torch.manual_seed(0)
    steps = FlowPosterior(4, "iaf", 3, context_features=0).double()(torch.zeros(1, 8, dtype=torch.float64)).steps
    lower = [jacobian(step, torch.randn(4, dtype=torch.float64)).triu(1).any().item() for step in steps]
    assert lower == [False, True, False]


def test_coupling_leaves_one_half_to_itself():
    torch.manual_seed(0)
    step = FlowPrior(4, "coupling", 1).double()().steps[0]
    found = jacobian(step, torch.randn(4, dtype=torch.float64)) != 0
    expected = torch.eye(4).bool()
    expected[2:, :2] = True
    assert torch.equal(found, expected)


def test_splines_are_the_identity_beyond_five_scales_of_the_base():
    torch.manual_seed(0)
    posterior = FlowPosterior(2, "spline", 2, (8,), context_features=0).double()
    with torch.no_grad():
        for p in posterior.parameters():
            p += torch.randn_like(p)
    mean, scale = torch.tensor([[30.0, -7.0]]).double(), torch.tensor([[0.01, 3.0]]).double()
    q = posterior(torch.cat([mean, scale.log()], 1))
    plain = Independent(Normal(mean, scale), 1)
    far, near = mean + 5.5 * scale, mean + 0.5 * scale
    torch.testing.assert_close(q.log_prob(far), plain.log_prob(far))
    assert (q.log_prob(near) - plain.log_prob(near)).abs() > 0.05


def test_the_gate_is_the_papers_up_to_its_start():
    m, s, x = torch.randn(3, 7, dtype=torch.float64)
    gate, start = torch.sigmoid(s + 2), torch.sigmoid(torch.tensor(2.0).double())
    torch.testing.assert_close(GatedTransform(m, s)(x), (gate * x + (1 - gate) * m) / start)
    zero = torch.zeros(7, dtype=torch.float64)
    torch.testing.assert_close(GatedTransform(zero, zero)(x), x)
    far = GatedTransform(torch.ones(2), torch.tensor([-80.0, 80.0]))  # where sigmoid rounds to 0 and to 1
    assert far.log_abs_det_jacobian(torch.zeros(2), torch.zeros(2)).isfinite().all()
    assert far(torch.ones(2)).isfinite().all()


def test_planar_steps_are_amortised():
    step = Planar(3, 4)
    one, other = step(torch.randn(2, 4)).w
    assert not torch.equal(one, other)
    alone = Planar(3)
    assert alone().w.shape == (3,)


def test_there_is_no_closed_form_of_the_rate():
    q = FlowPosterior(2)(torch.zeros(3, 68))
    for pair in ((q, StandardNormal(2)()), (StandardNormal(2)(), q), (q, q)):
        with pytest.raises(NotImplementedError):
            kl_divergence(*pair)


def test_the_conditional_prior_wants_its_context():
    prior = FlowPrior(2, context_dim=6)
    assert prior(torch.zeros(4, 2, 3)).batch_shape == (4,)
    with pytest.raises(RequestError, match=r"a context: none; expected \(batch, 6\)"):
        prior()
    with pytest.raises(RequestError, match=r"one of shape \(4, 5\); expected \(batch, 6\)"):
        prior(torch.zeros(4, 5))
    assert FlowPrior(2)(torch.zeros(4, 5)).batch_shape == ()  # the same whatever the context


@pytest.mark.parametrize("build", [FlowPosterior, FlowPrior])
def test_wrong_requests_are_refused(build):
    with pytest.raises(RequestError, match=r"unknown flow 'splines'; expected one of planar, .*Did you mean 'spline'"):
        build(2, "splines")
    with pytest.raises(RequestError, match="latent_dim is 0; a latent space has at least 1 dimension"):
        build(0)
    with pytest.raises(RequestError, match="transforms is 0; expected at least 1 step"):
        build(2, "iaf", 0)
    with pytest.raises(RequestError, match=r"have \(\) units for 2 latent ones"):
        build(2, "iaf", 1, ())
    with pytest.raises(RequestError, match="context has size -1; expected 0, for none, or more"):
        build(2, **{"context_features" if build is FlowPosterior else "context_dim": -1})


def test_the_users_choice_to_validate_arguments_stands():
    # zuko's import turns it off, and so does PyTorch's compiler when it is first used, maybe by another test.
    code = "import vaekit.distributions.flows; from torch.distributions import Normal; Normal(0.0, -1.0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ValueError: Expected parameter scale" in done.stderr


@pytest.mark.parametrize(
    ("kind", "prior"),
    [("iaf", "planar"), *(pytest.param(k, "maf", marks=pytest.mark.slow) for k in KINDS if k != "iaf")],
)
def test_a_training_step_is_traced_whole(kind, prior):
    torch.manual_seed(0)
    posterior, likelihood = FlowPosterior(3, kind, 1, (8,), context_features=2), Bernoulli((6,))
    model = VAE(
        Conditional(MLP((6,), posterior.parameter_shape, (8,)), posterior),
        Conditional(MLP((3,), likelihood.parameter_shape, (8,)), likelihood),
        FlowPrior(3, prior, 1, (8,)),
    )
    x = torch.bernoulli(torch.full((4, 6), 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        compiled = torch.compile(model, backend="eager", fullgraph=True)(x)
    torch.manual_seed(0)
    torch.testing.assert_close(compiled.loss, model(x).loss)
    compiled.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
