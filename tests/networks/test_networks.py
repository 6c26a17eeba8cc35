import math

import pytest
import torch
from torch import nn

from vaekit.errors import RequestError
from vaekit.networks import MLP, ConvDecoder, ConvEncoder, activation

# Every height from 1 to 40, each with a width of 1 to 40 (all are met, as 7 and 41 have no common factor), 1 to 4
# channels and 1 to 4 convolutions.
IMAGES = [(1 + h % 4, h, (h * 7) % 41, 1 + h // 4 % 4) for h in range(1, 41)]


def test_the_sampled_images_are_what_they_say():
    assert {w for _, _, w, _ in IMAGES} == set(range(1, 41))
    assert {(c, depth) for c, _, _, depth in IMAGES} == {(c, depth) for c in range(1, 5) for depth in range(1, 5)}


@pytest.mark.parametrize(("channels", "height", "width", "depth"), IMAGES)
def test_convolutions_fit_images_of_every_size(channels, height, width, depth):
    shape, features = (channels, height, width), (3, 4, 5, 6)[:depth]
    encoder = ConvEncoder(shape, (5,), features)
    decoder = ConvDecoder((2,), shape, features[::-1])
    assert encoder(torch.rand(2, *shape)).shape == (2, 5)
    assert decoder(torch.randn(2, 2)).shape == (2, *shape)
    # The decoder retraces the encoder: its feature maps are the encoder's, from last to first.
    down = [tuple(encoder.convolutions[: 2 * i](torch.rand(1, *shape)).shape[2:]) for i in range(depth + 1)]
    features_map = torch.rand(1, *decoder.head.out_shape)
    up = [tuple(decoder.convolutions[: 2 * i](features_map).shape[2:]) for i in range(depth + 1)]
    assert up == down[::-1]


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 1, 40), (2, 40, 1), (3, 28, 28)])
def test_default_convolutions_and_hidden_layers(shape):
    encoder, decoder = ConvEncoder(shape, (2, 3), hidden=(7,)), ConvDecoder((2, 3), shape, hidden=(7,))
    z = encoder(torch.rand(3, *shape))
    assert z.shape == (3, 2, 3)
    assert decoder(z).shape == (3, *shape)
    assert decoder.output.out_channels == shape[0]


def test_every_pixel_of_the_image_matters_and_every_pixel_is_drawn():
    # On sizes of both parities: a stride that misses the last row would leave it without a gradient.
    for height, width in ((7, 10), (8, 9), (5, 5), (16, 16)):
        x = torch.rand(1, 1, height, width, requires_grad=True)
        ConvEncoder((1, height, width), (4,), activation="tanh")(x).sum().backward()
        assert (x.grad != 0).all()
        z = torch.randn(64, 3)
        assert (ConvDecoder((3,), (1, height, width), activation="tanh")(z).std(0) > 0).all()


@pytest.mark.parametrize("shape", [(784,), (28, 28), (1, 0, 28), (1, 1, 28, 28), ()])
@pytest.mark.parametrize("build", [lambda s: ConvEncoder(s, (4,)), lambda s: ConvDecoder((4,), s)])
def test_what_is_no_image_is_refused(build, shape):
    with pytest.raises(RequestError, match=r"expected images \(channels, height, width\): use an MLP"):
        build(shape)


@pytest.mark.parametrize("channels", [(), (4, 0), (-1,)])
@pytest.mark.parametrize(
    "build", [lambda c: ConvEncoder((1, 8, 8), (4,), c), lambda c: ConvDecoder((4,), (1, 8, 8), c)]
)
def test_there_is_at_least_one_convolution_with_channels(build, channels):
    with pytest.raises(RequestError, match="expected a positive number for each of one or more convolutions"):
        build(channels)


@pytest.mark.parametrize(
    ("net", "wrong", "wanted"),
    [
        (MLP((3, 2), (4,)), (5, 2, 3), r"\(5, 2, 3\); expected \(batch, 3, 2\)"),
        (ConvEncoder((1, 8, 8), (4,)), (5, 1, 8, 9), r"\(5, 1, 8, 9\); expected \(batch, 1, 8, 8\)"),
        (ConvDecoder((4,), (1, 8, 8)), (5, 3), r"\(5, 3\); expected \(batch, 4\)"),
    ],
)
def test_another_shape_is_refused_where_it_enters(net, wrong, wanted):
    with pytest.raises(RequestError, match=f"input has shape {wanted}: reshape it"):
        net(torch.zeros(wrong))


@pytest.mark.parametrize("build", [MLP, ConvEncoder, ConvDecoder])
def test_the_callers_widths_and_shapes_are_left_alone(build):
    shape, other, hidden, channels = [1, 9, 9], [4], [7, 6, 5], [3, 4]
    if build is MLP:
        build(shape, other, hidden)
    elif build is ConvEncoder:
        build(shape, other, channels, hidden)
    else:
        build(other, shape, channels, hidden)
    assert (shape, other, hidden, channels) == ([1, 9, 9], [4], [7, 6, 5], [3, 4])


def test_mlp_layers_are_as_asked_from_input_to_output():
    net = MLP((2, 3), (4, 5), (7, 8), "tanh")
    assert [(m.in_features, m.out_features) for m in net.layers if isinstance(m, nn.Linear)] == [
        (6, 7),
        (7, 8),
        (8, 20),
    ]
    assert [type(m) for m in net.layers] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert net.output is net.layers[-1]
    x = torch.randn(9, 2, 3)
    first, second, last = (m for m in net.layers if isinstance(m, nn.Linear))
    expected = last(second(first(x.flatten(1)).tanh()).tanh()).view(9, 4, 5)
    torch.testing.assert_close(net(x), expected)


def test_mlp_without_hidden_layers_is_linear():
    net = MLP((3,), (2,), ())
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(net(x + y) + net(torch.zeros(4, 3)), net(x) + net(y))


def test_a_context_joins_the_input():
    for net in (
        MLP((2, 3), (4,), (5,), context_dim=6),
        ConvDecoder((2, 3), (1, 4, 4), context_dim=6),
    ):
        x, context = torch.randn(7, 2, 3), torch.randn(7, 2, 3)
        assert not torch.equal(net(x, context), net(x, context + 1))
        torch.testing.assert_close(net(x, context), net(x, context.flatten(1)))
    encoder = ConvEncoder((1, 8, 8), (4,), context_dim=6)
    x, context = torch.randn(7, 1, 8, 8), torch.randn(7, 6)
    assert not torch.equal(encoder(x, context), encoder(x, context + 1))


def test_glorot_initialisation_is_the_published_one():
    torch.manual_seed(0)
    net = MLP((300,), (200,), (100,), glorot=True)
    for layer in (m for m in net.layers if isinstance(m, nn.Linear)):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert not layer.bias.any()
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("hidden", [(0,), (5, -1)])
def test_widths_are_positive(hidden):
    with pytest.raises(RequestError, match=r"layer widths are \[3, .*every layer needs at least 1 unit"):
        MLP((3,), (2,), hidden)


def test_activations_by_name_or_by_what_makes_one():
    assert isinstance(activation("leaky-relu"), nn.LeakyReLU)
    assert isinstance(MLP((2,), (2,), (3,), nn.Hardtanh).layers[1], nn.Hardtanh)
    assert activation("relu") is not activation("relu")
    with pytest.raises(RequestError, match=r"unknown activation 'rely'; expected one of .*Did you mean 'relu'"):
        MLP((2,), (2,), (3,), "rely")
