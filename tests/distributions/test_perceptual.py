import copy
import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vaekit.distributions import Conditional, DiagonalGaussian, Perceptual, StandardNormal
from vaekit.distributions.perceptual import FrozenFeatures, Perceived, frozen_features
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.networks import MLP, VGG

SHAPE = (3, 32, 32)


@pytest.fixture(scope="module")
def features():
    return frozen_features()


def logits(x):
    return x.clamp(1e-4, 1 - 1e-4).logit()


def model_with(head, shape=SHAPE):
    posterior = DiagonalGaussian(3)
    return VAE(
        Conditional(MLP(shape, posterior.parameter_shape, (8,)), posterior),
        Conditional(MLP((3,), head.parameter_shape, (8,)), head),
        StandardNormal(3),
    )


def with_norm():
    """A small network with batch normalisation, whose statistics training would move."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 5, 3))
    return FrozenFeatures(body, (2, 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_zero_for_the_image_itself_and_falls_with_distance(features, channels):
    torch.manual_seed(0)
    x, noise = torch.rand(4, channels, 32, 32) * 0.6 + 0.2, torch.randn(4, channels, 32, 32)
    p = Perceptual((channels, 32, 32), features, pixel=1.0)(logits(x))
    assert p.log_prob(p.mean).tolist() == [0.0] * 4
    steps = torch.stack([p.log_prob(p.mean + scale * noise) for scale in (0.01, 0.03, 0.1)])
    assert (steps < 0).all()
    assert (steps.diff(dim=0) < 0).all()


def test_the_formula_by_hand_with_one_linear_layer():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 2, 2, bias=False)
    mean, scale = (10.0, 20.0, 30.0), (2.0, 3.0, 4.0)
    head = Perceptual((3, 4, 5), FrozenFeatures(nn.Sequential(layer), (0,), mean, scale, reverse=True), 0.7, pixel=0.3)
    a, b = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    # Means cancel in a difference; blue comes first, and has the first scale.
    moved = 255 * (a - b).flip(1) / torch.tensor(scale).view(3, 1, 1)
    squares = layer(moved).square().sum((1, 2, 3))
    expected = -0.7 * 3.0**2 * squares / (2 * 2 * 3 * 4) - 0.15 * (a - b).square().sum((1, 2, 3))
    torch.testing.assert_close(head(logits(a)).log_prob(b), expected, rtol=1e-3, atol=1e-3)


def test_inputs_are_what_the_network_was_trained_on(features):
    grey = torch.full((1, 1, 32, 32), 0.5)
    seen = []
    handle = features.body[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    features(grey)
    features(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    handle.remove()
    blue, green, red = 104.006, 116.669, 122.679
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx([127.5 - blue, 127.5 - green, 127.5 - red], abs=1e-3)
    assert seen[1][0, :, 0, 0].tolist() == pytest.approx([-blue, 127.5 - green, 255 - red], abs=1e-3)


def test_grey_is_the_colour_image_of_equal_channels(features):
    x, y = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    one, three = Perceptual((1, 32, 32), features), Perceptual(SHAPE, features)
    expected = three(logits(x).expand(-1, 3, -1, -1)).log_prob(y.expand(-1, 3, -1, -1))
    torch.testing.assert_close(one(logits(x)).log_prob(y), expected)


def test_examples_do_not_know_of_each_other(features):
    x, y = torch.rand(5, *SHAPE), torch.rand(5, *SHAPE)
    head = Perceptual(SHAPE, features)
    alone = torch.cat([head(a[None]).log_prob(b[None]) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(head(x).log_prob(y), alone, rtol=1e-4, atol=1e-2)


def test_draws_of_z_share_the_features_of_x(features):
    x, images = torch.rand(2, *SHAPE), torch.rand(3, 2, *SHAPE)
    calls = []

    def counted(batch):
        calls.append(len(batch))
        return features(batch)

    found = Perceived(images, counted, (1e-5, 1e-5, 1e-5)).log_prob(x)
    assert sorted(calls) == [2, 6]
    expected = torch.stack([Perceived(image, features, (1e-5, 1e-5, 1e-5)).log_prob(x) for image in images])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


def test_gradients_reach_the_decoder_and_not_the_network(features):
    model = model_with(Perceptual(SHAPE, features))
    model(torch.rand(4, *SHAPE)).loss.backward()
    for part in (model.encoder, model.decoder):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None and not p.requires_grad for p in features.parameters())
    ours = {id(p) for p in features.parameters()}
    assert not ours & {id(p) for phase in model.phases().values() for p in phase}


def test_training_mode_moves_nothing_in_the_network():
    features = with_norm()
    before = copy.deepcopy(features.state_dict())
    model = model_with(Perceptual(SHAPE, features)).train()
    features.train()
    x = torch.rand(4, *SHAPE)
    p = model.decode(torch.zeros(4, 3))
    assert torch.equal(p.log_prob(x), p.log_prob(x))  # dropout would differ
    assert not any(module.training for module in features.modules())
    model(x).loss.backward()
    torch.optim.Adam(model.parameters(), 0.1).step()
    assert all(torch.equal(before[name], tensor) for name, tensor in features.state_dict().items())


def test_the_network_is_no_part_of_the_saved_model(features):
    head = Perceptual(SHAPE, features)
    assert not head.state_dict()
    assert not list(head.parameters())
    assert head.features is features
    model = model_with(head)
    other = model_with(Perceptual(SHAPE, features))
    other.load_state_dict(model.state_dict())
    assert not any("features" in name for name in model.state_dict())


def test_it_follows_the_model():
    model = model_with(Perceptual(SHAPE, with_norm()))
    x = torch.rand(2, *SHAPE)
    single = model.decode(torch.zeros(2, 3)).log_prob(x)
    model.double()
    double = model.decode(torch.zeros(2, 3, dtype=torch.float64)).log_prob(x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-3)
    model.to("meta")
    assert {t.device.type for t in (*model.decoder.head.features.parameters(), model.decoder.head.features.mean)} == {
        "meta"
    }
    twin = copy.deepcopy(model)
    assert twin.decoder.head.features is not model.decoder.head.features


def test_it_is_an_image_and_no_density(features):
    p = Perceptual(SHAPE, features)(3 * torch.randn(2, *SHAPE).requires_grad_())
    assert not p.has_density
    assert p.support.check(p.mean).all()
    assert p.batch_shape == (2,)
    assert p.event_shape == SHAPE
    assert torch.equal(p.sample((4,)), p.mean.expand(4, 2, *SHAPE))
    assert not p.sample().requires_grad
    assert p.rsample().requires_grad
    assert p.variance.count_nonzero() == 0


def test_a_weight_for_each_layer_is_its_own():
    features = frozen_features("squeezenet", ("fire3", "conv1"))
    image, x = torch.rand(2, *SHAPE), torch.rand(2, *SHAPE)
    found = {w: Perceptual(SHAPE, features, w)(image).log_prob(x) for w in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0))}
    torch.testing.assert_close(found[2.0, 3.0], 2 * found[1.0, 0.0] + 3 * found[0.0, 1.0])
    deep, shallow = (frozen_features("squeezenet", (name,)) for name in ("fire3", "conv1"))
    torch.testing.assert_close(found[1.0, 0.0], Perceptual(SHAPE, deep, 1.0)(image).log_prob(x))
    torch.testing.assert_close(found[0.0, 1.0], Perceptual(SHAPE, shallow, 1.0)(image).log_prob(x))


def test_one_weight_suits_either_scale_of_inputs(tmp_path):
    torch.manual_seed(0)
    weights = {f"features.{name}": tensor for name, tensor in VGG(16, "relu1_1").features.state_dict().items()}
    weights["features.0.bias"].zero_()
    save_file(weights, tmp_path / "reds.safetensors")
    # The same network for inputs a deviation's width larger, blue first: weights over that width, and turned round.
    width = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    weights["features.0.weight"] = (weights["features.0.weight"] / width).flip(1).contiguous()
    save_file(weights, tmp_path / "blues.safetensors")
    image, x = torch.zeros(2, *SHAPE), torch.full((2, *SHAPE), 0.8)
    nets = [
        frozen_features(f"vgg:{tmp_path}/{name}.safetensors", ("relu1_1",), inputs)
        for name, inputs in (("reds", "torchvision"), ("blues", "caffe"))
    ]
    by_hand = [net(x)[0] for net in nets]
    torch.testing.assert_close(by_hand[0], by_hand[1], rtol=1e-2, atol=1e-2)  # their means differ in the third digit
    one, other = (Perceptual(SHAPE, net, 1.0)(image).log_prob(x) for net in nets)
    width_squared = ((58.395 + 57.12 + 57.375) / 3) ** 2
    torch.testing.assert_close(one, width_squared * other, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Perceptual((5,)), "expected images"),
        (lambda: Perceptual((4, 32, 32)), "1 or 3 channels"),
        (lambda: Perceptual((3, 4, 4)), "too small"),
        (lambda: Perceptual(SHAPE, weights=(1.0, 2.0)), "expected numbers of at least 0, 3"),
        (lambda: Perceptual(SHAPE, weights=-1.0), "at least 0"),
        (lambda: Perceptual(SHAPE, pixel=math.inf), "at least 0"),
        (lambda: frozen_features("squeezenet", ("fire33",)), "Did you mean 'fire3'"),
        (lambda: frozen_features("resnet"), "expected one of squeezenet, vgg:PATH"),
        (lambda: frozen_features("vgg"), "pass vgg:PATH"),
        (lambda: frozen_features("vgg:x", (), "openai"), "torchvision or caffe"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(RequestError, match=words):
        make()
