r"""The doubly reparameterised gradient against the standard one, on a model whose weights are all known."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.distributions.flows import FlowPosterior
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.objectives import ELBO, ImportanceWeighted, Inference

STANDARD, DOUBLY = "standard", "doubly-reparameterised"


class Full(nn.Module):
    """A posterior with a full covariance, which has the density of its draws from elsewhere than `log_prob`."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Linear(4, 2)
        self.log_scales = nn.Parameter(torch.tensor([0.3, -0.3]))
        self.tilt = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, context=None):
        lower = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=x.dtype) * self.tilt
        factor = torch.diag_embed(self.log_scales.exp()) + lower
        q = MultivariateNormal(self.mean(x), scale_tril=factor.expand(len(x), 2, 2), validate_args=False)

        def together(shape):
            z = q.rsample(shape)
            return z, q.log_prob(z)

        q.rsample_and_log_prob = together
        return q


def model(objective=None, encoder=None):
    torch.manual_seed(0)
    encoder = encoder or Conditional(nn.Linear(4, 4), DiagonalGaussian(2))
    decoder = Conditional(nn.Linear(2, 4), Gaussian((4,), variance=0.5))
    return VAE(encoder, decoder, StandardNormal(2), objective).double()


X = torch.randn(1, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def gradient(vae, x, seed=0):
    torch.manual_seed(seed)
    vae.zero_grad()
    result = vae(x)
    result.loss.backward()
    return result, {name: p.grad.clone() for name, p in vae.named_parameters()}


def flat(gradients, part):
    return torch.cat([g.flatten() for name, g in gradients.items() if name.startswith(part)])


@pytest.mark.parametrize("encoder", [None, Full], ids=["diagonal", "full"])
def test_the_value_and_the_decoders_gradient_are_the_same(encoder):
    x = X.repeat(5, 1) + torch.arange(5)[:, None]
    found = [gradient(model(ImportanceWeighted(7, kind), encoder and encoder()), x) for kind in (STANDARD, DOUBLY)]
    (one, standard), (two, doubly) = found
    torch.testing.assert_close(one.loss, two.loss)
    for name in one.terms:
        torch.testing.assert_close(one.terms[name], two.terms[name])
    torch.testing.assert_close(flat(standard, "decoder"), flat(doubly, "decoder"))
    assert not torch.allclose(flat(standard, "encoder"), flat(doubly, "encoder"), rtol=0.01)


@pytest.mark.parametrize("encoder", [None, Full], ids=["diagonal", "full"])
@pytest.mark.parametrize("k", [1, 8])
def test_the_encoders_gradients_have_the_same_mean(encoder, k):
    # Gradients of many independent rows are those of one loss each: their spread is known from the batches.
    means, errors = [], []
    for kind in (STANDARD, DOUBLY):
        vae = model(ImportanceWeighted(k, kind), encoder and encoder())
        each = torch.stack([flat(gradient(vae, X.expand(3000, -1), seed)[1], "encoder") for seed in range(20)])
        means.append(each.mean(0))
        errors.append(each.std(0) / math.sqrt(20))
    error = (errors[0] ** 2 + errors[1] ** 2).sqrt()
    assert ((means[0] - means[1]).abs() < 5 * error + 1e-12).all()
    assert (error.max() < 0.05 * means[0].abs().max()).item()


class NearExact(nn.Module):
    """The exact posterior of a linear model, off by a shift, learned row by row, and by a scale."""

    def __init__(self, decoder, shift=0.0, scale=1.0, rows=1):
        super().__init__()
        self.weight, self.bias = (p.detach().clone() for p in decoder.network.parameters())
        self.covariance = torch.linalg.inv(torch.eye(2).double() + self.weight.T @ self.weight / 0.5)
        self.shift = nn.Parameter(torch.full((rows, 2), shift).double())
        self.scale = nn.Parameter(torch.tensor(scale).double())

    def forward(self, x, context=None):
        mean = (x - self.bias) @ self.weight @ self.covariance / 0.5 + self.shift
        return MultivariateNormal(mean, covariance_matrix=self.scale**2 * self.covariance.expand(len(x), 2, 2))


def near_exact(kind, k, **off):
    vae = model()
    return VAE(NearExact(vae.decoder, **off), vae.decoder, vae.prior, ImportanceWeighted(k, kind))


def test_its_variance_is_less_at_many_draws_and_its_signal_does_not_drown_in_more():
    def relative_spread(kind, k):
        vae = near_exact(kind, k, shift=0.1, scale=1.2, rows=2000)
        each = gradient(vae, X.expand(2000, -1))[1]["encoder.shift"]
        return (each.var(0).sum() / each.mean(0).square().sum()).item()

    few, many = relative_spread(DOUBLY, 4), relative_spread(DOUBLY, 64)
    assert many < relative_spread(STANDARD, 64) / 10
    assert many < few


def flow():
    head = FlowPosterior(2, "iaf", transforms=2, context_features=3)
    encoder = Conditional(nn.Linear(4, *head.parameter_shape), head)
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return encoder


@pytest.mark.parametrize("encoder", [None, Full, flow], ids=["diagonal", "full", "flow"])
def test_it_is_the_formula(encoder):
    # sum_i w~_i^2 dlog w_i/dz_i dz_i/dphi, each factor by itself.
    k = 6
    vae = model(ImportanceWeighted(k, DOUBLY), encoder and encoder())
    found = flat(gradient(vae, X, seed=1)[1], "encoder")

    torch.manual_seed(1)
    q = vae.encode(X)
    z = getattr(q, "rsample_and_log_prob", lambda shape: (q.rsample(shape), None))((k,))[0]
    with torch.no_grad():
        fixed = vae.encode(X)
    points = z.detach().requires_grad_()
    log_w = (
        vae.decode(points.flatten(0, 1)).log_prob(X.expand(k, -1))
        + vae.prior().log_prob(points)[:, 0]
        - fixed.log_prob(points)[:, 0]
    )
    (slope,) = torch.autograd.grad(log_w.sum(), points)
    share = log_w.detach().softmax(0)
    vae.zero_grad()
    (-(share**2)[:, None, None] * slope * z).sum().backward()
    expected = torch.cat([p.grad.flatten() for p in vae.encoder.parameters()])
    torch.testing.assert_close(found, expected)
    assert share.max() < 0.99  # more than one draw counts


def test_at_the_exact_posterior_nothing_is_left_to_learn():
    # Every weight is then the same whatever the draw, and the gradient is zero, not merely zero on average.
    for kind, still in ((DOUBLY, True), (STANDARD, False)):
        found = flat(gradient(near_exact(kind, 5), X)[1], "encoder")
        assert (found.abs().max() < 1e-10).item() == still


def test_one_draw_is_the_plain_bound():
    one = gradient(model(ImportanceWeighted(1, DOUBLY)), X)[0]
    plain = gradient(model(ELBO(estimator="monte-carlo")), X)[0]
    torch.testing.assert_close(one.loss, plain.loss)
    torch.testing.assert_close(one.terms["bound"], plain.terms["elbo"])


def test_validation_without_gradients():
    with torch.no_grad():
        terms = model(ImportanceWeighted(3, DOUBLY))(X).terms
    assert terms["bound"].shape == (1,)


def test_wrong_requests():
    with pytest.raises(RequestError, match=r"unknown gradient 'dreg'; expected 'standard' or 'doubly-reparam"):
        ImportanceWeighted(5, "dreg")

    class Weighs:
        def infer(self, x, context=None, samples=1, *, analytic=False):
            return Inference(x.expand(samples, -1), x.expand(samples, -1))

    ImportanceWeighted(2)(Weighs(), torch.zeros(3))
    with pytest.raises(RequestError, match="Weighs does not show its draws of z"):
        ImportanceWeighted(2, DOUBLY)(Weighs(), torch.zeros(3))
