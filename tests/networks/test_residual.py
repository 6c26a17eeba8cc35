import pytest
import torch
from torch import nn

from vaekit.errors import RequestError
from vaekit.networks import ConvDecoder, ConvEncoder, ResidualDecoder, ResidualEncoder

# Every height from 1 to 20, with widths of 1 to 20 (7 and 21 share a factor, so 23 takes its place), 1 and 3 channels.
IMAGES = [(1 + 2 * (h % 2), h, (h * 7) % 23 or 1, 1 + h % 3) for h in range(1, 21)]


@pytest.mark.parametrize(("channels", "height", "width", "levels"), IMAGES)
def test_the_decoder_retraces_the_sizes_of_the_encoder_which_are_those_of_plain_convolutions(
    channels, height, width, levels
):
    shape, features = (channels, height, width), (3, 4, 5)[:levels]
    encoder = ResidualEncoder(shape, (5,), features, (6,), blocks=2)
    decoder = ResidualDecoder((2,), shape, features[::-1], (6,), blocks=2)
    assert encoder(torch.rand(2, *shape)).shape == (2, 5)
    assert decoder(torch.randn(2, 2)).shape == (2, *shape)
    x = encoder.stem(torch.rand(1, *shape))
    down = [tuple(encoder.levels[:i](x).shape[2:]) for i in range(levels + 1)]
    maps = torch.rand(1, *decoder.head.out_shape)
    up = [tuple(decoder.levels[:i](maps).shape[2:]) for i in range(levels + 1)]
    assert up == down[::-1]
    plain = ConvEncoder(shape, (5,), features)
    assert down == [tuple(plain.convolutions[: 2 * i](torch.rand(1, *shape)).shape[2:]) for i in range(levels + 1)]
    assert decoder.head.out_shape == ConvDecoder((2,), shape, features[::-1]).head.out_shape


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14)])
def test_defaults_and_scale(shape, blocks):
    encoder, decoder = ResidualEncoder(shape, (2, 3), blocks=blocks), ResidualDecoder((2, 3), shape, blocks=blocks)
    for net in (encoder, decoder):
        assert [len(level) for level in net.levels] == [blocks] * 3
        assert any(isinstance(m, nn.Linear) and 450 in (m.in_features, m.out_features) for m in net.head.modules())
        assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert [level[-1].first[1].out_channels for level in encoder.levels] == [16, 32, 32]
    assert [level[0].first[1].in_channels for level in decoder.levels] == [32, 32, 16]
    z = encoder(torch.rand(3, *shape))
    assert z.shape == (3, 2, 3)
    assert decoder(z).shape == (3, *shape)


@pytest.mark.parametrize("shape", [(1, 7, 10), (3, 8, 9), (1, 1, 1)])
def test_every_parameter_gets_a_gradient_and_every_pixel_matters(shape):
    torch.manual_seed(0)
    encoder = ResidualEncoder(shape, (4,), (3, 4), (8,), context_dim=2)
    decoder = ResidualDecoder((4,), shape, (4, 3), (8,), context_dim=2)
    x, context = torch.randn(6, *shape, requires_grad=True), torch.randn(6, 2)
    y = decoder(encoder(x, context), context)
    y.square().sum().backward()
    for net in (encoder, decoder):
        for name, parameter in net.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    assert (x.grad != 0).any(0).all()
    assert (y.std(0) > 0).all()


def test_an_example_depends_on_no_other():
    torch.manual_seed(0)
    encoder = ResidualEncoder((1, 9, 9), (4,), (3, 4), (8,)).double()
    x = torch.randn(5, 1, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(encoder(x)[:1], encoder(x[:1]))


def test_a_block_adds_to_what_it_is_given():
    torch.manual_seed(0)
    level = ResidualEncoder((1, 8, 8), (4,), (3,), blocks=3).levels[0]
    for block in level:
        nn.init.zeros_(block.second[1].weight)
        nn.init.zeros_(block.second[1].bias)
    x = torch.randn(2, 3, 8, 8)
    # With silent branches all that is left is the first block's shortcut, a 1×1 convolution of every second pixel.
    shortcut = level[0].shortcut
    expected = torch.einsum("oi,nihw->nohw", shortcut.weight[:, :, 0, 0], x[:, :, ::2, ::2])
    torch.testing.assert_close(level(x), expected + shortcut.bias[:, None, None])


def test_activations_come_before_convolutions():
    block = ResidualEncoder((1, 8, 8), (4,), (3,), activation=nn.Hardtanh).levels[0][1]
    x = torch.randn(2, 3, 4, 4)
    expected = x + block.second[1](block.first[1](x.clamp(-1, 1)).clamp(-1, 1))
    torch.testing.assert_close(block(x), expected)


def test_the_decoder_enlarges_by_repeating_pixels():
    torch.manual_seed(0)
    decoder = ResidualDecoder((2,), (1, 5, 6), (3,), (4,), blocks=1)
    (block,) = decoder.levels[0]
    for conv in (block.second[1],):
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
    x = torch.randn(1, 3, 3, 3)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :5, :6]
    shortcut = block.shortcut(repeated)
    torch.testing.assert_close(block(x), shortcut)


def test_depth_neither_blows_signals_up_nor_loses_them():
    torch.manual_seed(0)
    x = torch.bernoulli(torch.full((50, 1, 28, 28), 0.3))
    with torch.no_grad():
        spread = ResidualEncoder((1, 28, 28), (64,), blocks=12)(x).std(0).mean()
        drawn = ResidualDecoder((16,), (1, 28, 28), blocks=12)(torch.randn(50, 16)).std(0).mean()
    assert 1e-3 < spread < 3
    assert 1e-3 < drawn < 3


def test_a_recipe_sets_the_last_bias():
    decoder = ResidualDecoder((2,), (3, 8, 8), (4,), (4,))
    before = decoder(torch.zeros(1, 2))
    with torch.no_grad():
        decoder.output.bias += torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(
        decoder(torch.zeros(1, 2)) - before, torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    )


def test_wrong_requests_are_refused():
    for build in (
        lambda s, **more: ResidualEncoder(s, (4,), **more),
        lambda s, **more: ResidualDecoder((4,), s, **more),
    ):
        with pytest.raises(RequestError, match=r"expected images \(channels, height, width\): use an MLP"):
            build((784,))
        with pytest.raises(RequestError, match="expected a positive number for each of one or more convolutions"):
            build((1, 8, 8), channels=())
        with pytest.raises(RequestError, match="blocks is 0; expected at least 1 residual block"):
            build((1, 8, 8), blocks=0)
    with pytest.raises(RequestError, match=r"input has shape \(5, 1, 8, 9\); expected \(batch, 1, 8, 8\): reshape it"):
        ResidualEncoder((1, 8, 8), (4,))(torch.zeros(5, 1, 8, 9))
    with pytest.raises(RequestError, match=r"input has shape \(5, 3\); expected \(batch, 4\): reshape it"):
        ResidualDecoder((4,), (1, 8, 8))(torch.zeros(5, 3))


@pytest.mark.parametrize("build", [ResidualEncoder, ResidualDecoder])
def test_the_callers_widths_are_left_alone(build):
    shape, other, channels, hidden = [1, 9, 9], [4], [3, 4], [7, 6]
    build(*((shape, other) if build is ResidualEncoder else (other, shape)), channels, hidden)
    assert (shape, other, channels, hidden) == ([1, 9, 9], [4], [3, 4], [7, 6])
