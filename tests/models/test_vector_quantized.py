r"""The vector-quantised model: its bound, its loss by its laws, and what training leaves alone."""

import math

import pytest
import torch
from torch import nn

from vaekit.distributions import (
    Bernoulli,
    Codebook,
    Conditional,
    FiniteScalar,
    Gaussian,
    MovingCodebook,
    PixelCNNPrior,
    ResidualQuantiser,
    UniformCodes,
)
from vaekit.errors import RequestError
from vaekit.models import VAE, VectorQuantized
from vaekit.networks import FeatureDecoder, FeatureEncoder, OneHot
from vaekit.objectives import Commitment

KINDS = ["ema", "gradient", "residual", "fsq"]


def model_of(kind="ema", shape=(1, 8, 8), codes=16, prior=None, context=None, seed=0, **options):
    torch.manual_seed(seed)
    quantiser = {
        "ema": lambda: MovingCodebook(codes, 4, **options),
        "gradient": lambda: Codebook(codes, 4),
        "residual": lambda: ResidualQuantiser([MovingCodebook(codes, 4, **options) for _ in range(2)]),
        "fsq": lambda: FiniteScalar((4, 3)),
    }[kind]()
    likelihood = Bernoulli(shape)
    encoder = FeatureEncoder(shape, quantiser.dim, (8, 8), blocks=1)
    grid = quantiser.grid(encoder.out_shape[1:])
    return VectorQuantized(
        encoder,
        quantiser,
        Conditional(FeatureDecoder(quantiser.dim, likelihood.parameter_shape, (8, 8), blocks=1), likelihood),
        UniformCodes(grid, quantiser.codes) if prior is None else prior(grid, quantiser.codes),
        Commitment(0.25),
        context,
    )


def bits(n=12, shape=(1, 8, 8), seed=0):
    return torch.bernoulli(torch.full((n, *shape), 0.5), generator=torch.Generator().manual_seed(seed))


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_the_distortion_and_the_length_of_the_code(kind):
    model, x = model_of(kind), bits()
    with torch.no_grad():
        codes = model.encode(x).mean
        distortion = -model.decode(codes).log_prob(x)
        length = codes[0].numel() * math.log(model.quantiser.codes)
        for value in (model.elbo(x), model.elbo(x, samples=3), model.log_prob(x, samples=7), model(x).terms["elbo"]):
            torch.testing.assert_close(value, -(distortion + length))
        inference = model.infer(x, samples=2)
        assert inference.rate.shape == inference.distortion.shape == (2, 12)
        torch.testing.assert_close(inference.rate, torch.full((2, 12), length))


def test_the_bound_holds_under_a_prior_that_was_fitted():
    model, x = model_of(prior=lambda grid, codes: PixelCNNPrior(grid, codes, channels=8, layers=2, epochs=8)), bits(100)
    before = model.elbo(x).mean()
    torch.testing.assert_close(before, model(x).terms["elbo"].mean())  # uniform until then
    codes = model.encode(x).mean
    model.prior.fit(codes, 0)
    after = model.elbo(x)
    assert after.mean() > before
    torch.testing.assert_close(after, model.decode(codes).log_prob(x) + model.latent().log_prob(codes))
    # On a space so small that all codes can be summed over, it is no more than the likelihood.
    small = model_of("fsq", (1, 3, 3), prior=lambda grid, codes: UniformCodes(grid, codes))
    x = bits(5, (1, 3, 3))
    every = torch.arange(12).view(12, 1, 1)
    joint = small.decode(every).log_prob(x.unsqueeze(1)) - math.log(12)
    assert (small.elbo(x) <= joint.logsumexp(1)).all()
    torch.testing.assert_close(small.elbo(x), joint[torch.arange(5), small.encode(x).mean.flatten()])


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_does_not_depend_on_the_size_of_the_batch(kind):
    model, x = model_of(kind).eval(), bits()
    whole, twice = model(x), model(torch.cat([x, x]))
    parts = torch.stack([model(part).loss for part in x.split(4)])
    torch.testing.assert_close(twice.loss, whole.loss)
    torch.testing.assert_close(parts.mean(), whole.loss)
    for name in ("elbo", "rate", "distortion", "commitment"):
        assert whole.terms[name].shape == (12,)
        torch.testing.assert_close(twice.terms[name][12:], whole.terms[name])
    torch.testing.assert_close(twice.terms["perplexity"].mean(), whole.terms["perplexity"].mean())


def test_the_loss_by_hand():
    model, x = model_of("gradient"), bits()
    found = model.quantise(x)
    square = (model.encoder(x) - model.quantiser.embed(found.codes)).square().sum((1, 2, 3))
    distortion = -model.decoder(found.embedded).log_prob(x)
    torch.testing.assert_close(model(x).loss, (distortion + 0.25 * square + square).mean())
    moving = model_of("ema").eval()
    terms = moving(x).terms
    torch.testing.assert_close(moving(x).loss, (terms["distortion"] + 0.25 * terms["commitment"]).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    model = model_of(kind)
    model.prepare(bits(50))
    model(bits(50, seed=1)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("kind", ["ema", "residual"])
def test_codebooks_learn_in_training_and_at_no_other_time(kind):
    model, x = model_of(kind), bits()
    start = state(model.quantiser)
    model.encode(x), model.elbo(x), model.reconstruct(x), model.sample(3)
    with torch.no_grad():
        model(x)
    model.eval()(x)
    model.objective(model, x)
    assert same(start, state(model.quantiser))
    model.train()(x)
    assert not same(start, state(model.quantiser))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_the_same_to_the_bit(kind, tmp_path):
    from safetensors.torch import load_file, save_file

    model, x = model_of(kind), bits()
    model.prepare(x)
    model(x)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again = model_of(kind, seed=5)
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(model.encode(x).mean, again.encode(x).mean)
    assert torch.equal(model.eval().elbo(x), again.eval().elbo(x))
    assert torch.equal(model.sample(4, seed=1), again.sample(4, seed=1))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 37, 50), (1, 1, 1), (2, 64, 64)])
def test_images_of_any_size_and_channels(shape):
    model, x = model_of(shape=shape), bits(2, shape)
    height, width = (math.ceil(size / 4) for size in shape[1:])
    assert model.encode(x).mean.shape == (2, height, width)
    assert model.reconstruct(x).shape == model.sample(2).shape == (2, *shape)
    model(x).loss.backward()


def test_networks_see_all_of_an_image_of_odd_size():
    encoder, decoder = FeatureEncoder((1, 7, 5), 2, (4, 4)), FeatureDecoder(2, (1, 7, 5), (4, 4))
    x = torch.randn(1, 1, 7, 5, requires_grad=True)
    encoder(x).sum().backward()
    assert (x.grad != 0).all()
    z = torch.randn(1, *encoder.out_shape, requires_grad=True)
    for row, column in ((0, 0), (6, 4)):
        assert torch.autograd.grad(decoder(z)[0, 0, row, column], z)[0].any()
    with pytest.raises(RequestError, match="input has shape"):
        decoder(torch.zeros(1, 2, 7, 5))


def test_a_label_reaches_the_prior_alone():
    def prior(grid, codes):
        return PixelCNNPrior(grid, codes, 3, channels=8, layers=2, epochs=8)

    model, x, labels = model_of(prior=prior, context=OneHot(3)), bits(90), torch.arange(90) % 3
    codes = model.encode(x, labels).mean
    assert torch.equal(codes, model.encode(x, labels.roll(1)).mean)
    assert torch.equal(model.decode(codes, labels).mean, model.decode(codes, labels.roll(1)).mean)
    model.prior.fit(codes, 0, context=OneHot(3)(labels))
    assert not torch.equal(model.elbo(x, labels), model.elbo(x, labels.roll(1)))
    assert model.sample(6, torch.arange(6) % 3, seed=0).shape == (6, 1, 8, 8)
    with pytest.raises(RequestError, match="conditional"):
        model.elbo(x)


def test_the_start_is_from_the_data():
    model, x = model_of(), bits(200)
    assert model.first_look == 1000
    cold = model.eval()(x).terms["perplexity"].mean()
    model.prepare(x)
    assert model(x).terms["perplexity"].mean() > 1.5 * cold
    assert model_of("fsq").first_look == 0
    assert model_of("ema", kmeans=False).first_look == 0


def test_terms_of_use_are_those_of_the_codes():
    model, x = model_of("residual"), bits()
    codes = model.encode(x).mean
    terms = model.eval()(x).terms
    used = [len(part.unique()) for part in codes.unbind(1)]
    assert terms["used"].tolist() == pytest.approx([sum(used) / 2] * 12)
    entropies = []
    for part in codes.unbind(1):
        shares = part.flatten().bincount() / part.numel()
        entropies.append(-(shares[shares > 0] * shares[shares > 0].log()).sum())
    assert terms["perplexity"][0].item() == pytest.approx(torch.stack(entropies).exp().mean().item(), rel=1e-5)


def test_coordinates_are_the_mean_of_what_codes_stand_for():
    model, x = model_of(), bits()
    z = model.encode(x).mean
    torch.testing.assert_close(model.coordinates(z), model.quantiser.weight[z].mean((1, 2)))
    vectors = torch.randn(3, 2)
    assert VAE(nn.Identity(), nn.Identity(), nn.Identity()).coordinates(vectors) is vectors


def test_what_does_not_fit_is_refused():
    with pytest.raises(RequestError, match="no codes to be committed to"):
        Commitment()(VAE(nn.Identity(), nn.Identity(), nn.Identity()), bits())
    with pytest.raises(RequestError, match="commitment is -1"):
        Commitment(-1.0)
    with pytest.raises(RequestError, match="at least 1 importance sample"):
        model_of().log_prob(bits(), samples=0)
    likelihood = Gaussian((1, 8, 8))
    encoder, decoder = FeatureEncoder((1, 8, 8), 5), FeatureDecoder(4, (1, 8, 8))
    wrong = VectorQuantized(
        encoder, MovingCodebook(8, 4), Conditional(decoder, likelihood), UniformCodes((2, 2), 8), Commitment()
    )
    with pytest.raises(RequestError, match=r"expected \(n, 4, ...\), vectors of the codebook's size"):
        wrong(bits())


@pytest.mark.slow  # of which nearly all is importing the compiler
def test_a_step_is_traced_whole():
    model, x = model_of(), bits()
    model(x)  # which looks divergences up
    before = state(model)
    torch.manual_seed(0)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    loss = compiled(x).loss
    after = state(model)
    model.load_state_dict(before)
    torch.manual_seed(0)
    torch.testing.assert_close(loss, model(x).loss)
    assert not same(before, after)
    for name, value in state(model).items():
        torch.testing.assert_close(value, after[name])
