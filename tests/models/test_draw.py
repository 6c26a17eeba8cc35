import math

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import from_arrays
from vaekit.data.transforms import Scale
from vaekit.distributions import Bernoulli, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import evaluate_model
from vaekit.models import DRAW, VAE, DrawDecoder, DrawEncoder
from vaekit.models.base import seeded
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.training.acceleration import compilable

SHAPE = (1, 4, 5)
KINDS = [(2, 3), (None, None), (2, None), (None, 3)]


def model_of(glimpses=3, latent_dim=2, read=2, write=3, likelihood=None, seed=0, sharper=1.0):
    with seeded(seed):
        head = Bernoulli(SHAPE) if likelihood is None else likelihood
        encoder = DrawEncoder(head.event_shape, latent_dim, 6, read)
        model = DRAW(encoder, DrawDecoder(head, latent_dim, glimpses, 6, write))
        for parameter in model.parameters():  # so that steps depend on each other, and starts are not zero
            parameter.data = sharper * torch.randn_like(parameter) / 2
    return model


def bits(n, shape=SHAPE, seed=0):
    return torch.bernoulli(torch.full((n, *shape), 0.4), generator=torch.Generator().manual_seed(seed))


class OneLook(nn.Module):
    """The encoder of a VAE with the parts of a model of one glimpse."""

    def __init__(self, model):
        super().__init__()
        self.encoder, self.decoder, self.head = model.encoder, model.decoder, DiagonalGaussian(2)

    def forward(self, x, context=None):
        n = len(x)
        nothing = self.decoder.head(self.decoder.canvas.bias.expand(n, -1).view(x.shape)).mean
        before = self.decoder.start.bias.expand(n, -1)
        gates = self.encoder.reader(self.encoder.reader.look(x), nothing, before)
        gates = gates + self.encoder.recurrent(torch.cat([before, self.encoder.start.bias.expand(n, -1)], 1))
        i, _, g, o = gates.chunk(4, 1)
        return self.head(self.encoder.head(o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()))


@pytest.mark.parametrize(("read", "write"), KINDS)
@pytest.mark.parametrize("analytic", [True, False])
def test_one_glimpse_is_a_vae_of_the_same_parts(read, write, analytic):
    model, x = model_of(1, 2, read, write), bits(5)
    vae = VAE(OneLook(model), model.decoder, StandardNormal(2))
    found = []
    for each in (model, vae):
        torch.manual_seed(3)
        found.append(each.infer(x, samples=4, analytic=analytic))
    torch.testing.assert_close(found[0].distortion, found[1].distortion)
    torch.testing.assert_close(found[0].rate, found[1].rate.expand(4, -1) if analytic else found[1].rate)
    torch.testing.assert_close(found[0].parts.sum(-1), found[0].rate)
    torch.testing.assert_close(model.reconstruct(x), vae.reconstruct(x))


@pytest.mark.parametrize(("read", "write"), KINDS)
def test_the_rate_is_the_sum_of_the_divergences_of_the_steps(read, write):
    model, x = model_of(3, 2, read, write), bits(4)
    torch.manual_seed(0)
    found = model.infer(x, samples=2, analytic=True)
    torch.manual_seed(0)
    course = model.course(x, noise=torch.randn(2, 4, 6).flatten(0, 1))
    mean, scale = (t.view(2, 4, 3, 2) for t in (course.posterior.mean, course.posterior.stddev))
    steps = (0.5 * (mean**2 + scale**2 - 1) - scale.log()).sum(-1)
    torch.testing.assert_close(found.parts, steps)
    torch.testing.assert_close(found.rate, steps.sum(-1))


def test_a_step_is_inferred_from_what_was_drawn_before_and_no_later_latent():
    model, x = model_of(3, 2), bits(2)
    z = torch.randn(2, 6, requires_grad=True)
    mean = model.course(x, z=z).posterior.mean
    for step in range(3):
        (gradient,) = torch.autograd.grad(mean[:, 2 * step : 2 * step + 2].sum(), z, retain_graph=True)
        assert bool((gradient[:, : 2 * step] != 0).all())
        assert bool((gradient[:, 2 * step :] == 0).all())


@pytest.mark.parametrize(("read", "write"), KINDS)
def test_a_draw_and_its_density_are_those_of_the_course(read, write):
    q = model_of(3, 2, read, write).encode(bits(4))
    with seeded(1):
        z, density = q.rsample_and_log_prob((5,))
    assert (z.shape, density.shape) == ((5, 4, 6), (5, 4))
    torch.testing.assert_close(q.log_prob(z), density)
    with seeded(1):
        assert torch.equal(q.sample((5,)), z)


def grid_of(most=7.0, steps=141):
    line = torch.linspace(-most, most, steps, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    return z, 2 * math.log(float(line[1] - line[0]))


def test_the_posterior_is_a_density_and_the_weights_give_the_likelihood():
    model, x = model_of(2, 1).double(), bits(2).double()
    z, cell = grid_of()
    with torch.no_grad():
        density = model.encode(x).log_prob(z[:, None].expand(-1, 2, -1))
        torch.testing.assert_close((density.logsumexp(0) + cell).exp(), torch.ones(2).double(), rtol=1e-4, atol=1e-4)
        joint = [model.decode(z).log_prob(one.expand(len(z), *SHAPE)) + model.latent().log_prob(z) for one in x]
    truth = (torch.stack(joint, 1)).logsumexp(0) + cell
    with seeded(0):
        estimate = model.importance_bounds(x, (20_000,), rows=40_000)[0]
    torch.testing.assert_close(estimate, truth, rtol=0, atol=0.05)
    assert bool((model.elbo(x, samples=500) < truth).all())


def test_one_importance_weight_is_the_bound_on_average():
    model, x = model_of(), bits(3)
    with seeded(0), torch.no_grad():
        weights = torch.cat(list(model.importance_weights(x, 8000, rows=32_000)), 1)
        exact = -sum(model.infer(x, samples=8000, analytic=True)[:2])
    error = (weights.var(0) / 8000 + exact.var(0) / 8000).sqrt()
    assert bool(((weights.mean(0) - exact.mean(0)).abs() < 5 * error).all())
    assert bool((exact.var(0) < weights.var(0)).all())


@pytest.mark.parametrize(("read", "write"), KINDS)
def test_every_parameter_gets_a_gradient(read, write):
    model = model_of(3, 2, read, write)
    model(bits(6)).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())] == []


def test_gradients_are_those_of_finite_differences():
    model, x, noise = model_of(2, 1).double(), bits(2).double(), torch.randn(2, 2).double()
    names, parameters = zip(*model.named_parameters(), strict=True)

    def bound(*values):
        course = torch.func.functional_call(
            _Course(model), {f"model.{name}": value for name, value in zip(names, values, strict=True)}, (x, noise)
        )
        return course.sum()

    chosen = [p.detach().requires_grad_() for p in parameters]
    assert torch.autograd.gradcheck(bound, chosen, fast_mode=True)


class _Course(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, noise):
        course = self.model.course(x, noise=noise)
        return self.model.decoder.head(course.canvas).log_prob(x) - course.posterior.log_prob(course.z)


@pytest.mark.slow
def test_both_gradients_of_the_importance_weighted_bound_agree_on_average():
    model, x = model_of(2, 2), bits(2)
    means, errors = [], []
    for gradient in ("standard", "doubly-reparameterised"):
        model.objective, found = ImportanceWeighted(3, gradient), []
        for seed in range(300):
            model.zero_grad()
            with seeded(seed):
                model(x).loss.backward()
            found.append(torch.cat([p.grad.flatten() for p in model.encoder.parameters()]))
        together = torch.stack(found)
        means.append(together.mean(0))
        errors.append(together.var(0) / 300)
    away = (means[0] - means[1]) / (errors[0] + errors[1]).sqrt().clamp_min(1e-9)
    assert float(away.square().mean()) < 1.5


@pytest.mark.parametrize("objective", [ELBO(), ImportanceWeighted(4)])
def test_rows_do_not_touch_each_other(objective):
    model, x = model_of(), bits(6)
    noise = torch.randn(6, 6)
    whole, some = model.course(x, noise=noise), model.course(x[2:4], noise=noise[2:4])
    torch.testing.assert_close(some.canvas, whole.canvas[2:4])
    torch.testing.assert_close(some.posterior.mean, whole.posterior.mean[2:4])
    twice = model.course(torch.cat([x, x]), noise=torch.cat([noise, noise]))
    torch.testing.assert_close(twice.z, torch.cat([whole.z, whole.z]))


@pytest.mark.parametrize("read", [2, None])
def test_several_draws_are_laid_out_as_more_rows(read):
    model, x = model_of(read=read), bits(3)
    noise = torch.randn(4, 3, 6)
    together = model.course(x, noise=noise.flatten(0, 1)).z.view(4, 3, 6)
    for k in range(4):
        torch.testing.assert_close(model.course(x, noise=noise[k]).z, together[k])


@pytest.mark.parametrize(
    ("read", "write", "steps", "bound"), [(None, None, 100, -4), pytest.param(2, 3, 400, -15, marks=pytest.mark.slow)]
)
def test_it_learns_which_pictures_there_are(read, write, steps, bound):
    # Four of random bits: log 4 = 1.4 nats at best, and some 21 without a code.
    with seeded(0):
        pictures = bits(4, (1, 6, 6), seed=1).repeat(10, 1, 1, 1)
        model = DRAW(DrawEncoder((1, 6, 6), 2, 16, read), DrawDecoder(Bernoulli((1, 6, 6)), 2, 3, 16, write))
        adam = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(steps):
            adam.zero_grad()
            model(pictures).loss.backward()
            adam.step()
        assert -math.log(4) > model.elbo(pictures, samples=20).mean().item() > bound


@pytest.mark.parametrize(("shape", "variance"), [((3, 7, 5), "pixel"), ((2, 5, 9), "scalar"), ((1, 1, 6), 1.0)])
@pytest.mark.parametrize(("read", "write"), [(2, 3), (None, None)])
def test_any_size_and_any_channels(shape, variance, read, write):
    model = model_of(3, 2, read, write, Gaussian(shape, variance), sharper=0.3)
    x = torch.randn(4, *shape)
    loss = model(x)
    loss.loss.backward()
    assert bool(loss.loss.isfinite())
    assert model.sample(5, seed=0).shape == (5, *shape)
    assert model.reconstruct(x).shape == (4, *shape)


def test_codes_and_pictures_are_certain_and_samples_follow_the_seed():
    model, x = model_of(), bits(4)
    assert torch.equal(model.encode(x).mean, model.encode(x).mean)
    torch.testing.assert_close(model.reconstruct(x), model.decode(model.encode(x).mean).mean)
    assert torch.equal(model.sample(3, seed=1), model.sample(3, seed=1))
    assert not torch.equal(model.sample(3, seed=1), model.sample(3, seed=2))
    state = torch.get_rng_state()
    model.sample(3, seed=1)
    model.reconstruct(x)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("write", [3, None])
def test_a_drawing_ends_in_what_the_decoder_gives_and_shows_where_it_was_drawn(write):
    model = model_of(3, 2, write=write)
    z = torch.randn(4, 6)
    images, boxes = model.draw(z)
    assert images.shape == (4, 3, *SHAPE)
    torch.testing.assert_close(images[:, -1], model.decode(z).mean)
    if write is None:
        assert boxes is None
    else:  # changing the last latent moves the last box alone
        moved = model.draw(torch.cat([z[:, :4], z[:, 4:] + 1], 1)).boxes
        assert boxes.shape == (4, 3, 5)
        assert torch.equal(moved[:, :2], boxes[:, :2])
        assert not torch.equal(moved[:, 2], boxes[:, 2])


def test_a_step_is_compiled_only_where_that_is_asked_for():
    assert not compilable(model_of())


@pytest.mark.slow
def test_a_step_is_traced_whole():
    model, x = model_of(2, 2), bits(4)
    model(x)  # looks up the divergence
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    losses = []
    for call in (compiled, model):
        torch.manual_seed(0)
        losses.append(call(x).loss)
    torch.testing.assert_close(*losses)


def test_wrong_requests_say_so():
    model, x = model_of(), bits(3)
    with pytest.raises(RequestError, match="repeat z for each example"):
        model.encode(x).log_prob(torch.zeros(7, 1, 6))
    with pytest.raises(RequestError, match="without one"):
        model.infer(x, torch.zeros(3))


@pytest.mark.parametrize(
    ("start", "temperatures"), [("prior", 15), pytest.param("posterior", 100, marks=pytest.mark.slow)]
)
def test_annealing_finds_the_likelihood(start, temperatures):
    from vaekit.evaluation.annealed import annealed_log_prob

    model, x = model_of(2, 1).double(), bits(2).double()
    z, cell = grid_of()
    with torch.no_grad():
        joint = [model.decode(z).log_prob(one.expand(len(z), *SHAPE)) + model.latent().log_prob(z) for one in x]
    truth = torch.stack(joint, 1).logsumexp(0) + cell
    found = annealed_log_prob(model, x, chains=20, temperatures=temperatures, steps=2, start=start, seed=0)
    torch.testing.assert_close(found, truth, rtol=0, atol=0.1)


def test_evaluation_asks_for_nothing_else_and_says_what_does_not_apply():
    x = bits(100).numpy().astype(np.uint8)
    data = from_arrays(x, name="bits", seed=0)
    model = model_of(sharper=0.3)
    found = evaluate_model(model, data, Scale(2), metrics=["likelihood", "code-use"], samples=(5,)).metrics
    assert found["elbo"] == pytest.approx(-found["rate"] - found["distortion"])
    assert -found["nll"] > found["elbo"]
    assert found["latent_dim"] == 6
    assert found["code_use"]["code_gain_se"] > 0
    for family, reason in (("aggregate", "step by step"), ("amortisation", "diagonal Gaussian")):
        with pytest.raises(RequestError, match=reason):
            evaluate_model(model, data, Scale(2), metrics=[family])
