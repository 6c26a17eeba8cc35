import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.networks.pretrained import shipped_weights
from vaekit.networks.squeezenet import SqueezeNet

# What is to be seen in pictures that come with other packages, as ImageNet numbers it.
SUIT, BOW_TIE, WINDSOR_TIE, UNIFORM = 834, 457, 906, 652
DOME, MONASTERY, STUPA, PALACE, BELL_COTE, BOATHOUSE = 538, 663, 832, 698, 442, 449


@pytest.fixture(scope="module")
def net():
    net = SqueezeNet().eval()
    net.load_state_dict(shipped_weights("squeezenet1_1"))
    return net


def prepared(image):
    """Bring a picture, bytes of shape (height, width, 3), to where the network was trained."""
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    factor = 256 / min(x.shape[2:])
    size = [round(side * factor) for side in x.shape[2:]]
    x = torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True)
    top, left = ((side - 227) // 2 for side in x.shape[2:])
    x = x[..., top : top + 227, left : left + 227]
    return x.flip(1) - torch.tensor([104.006, 116.669, 122.679]).view(3, 1, 1)


@torch.no_grad()
def test_it_knows_what_is_in_a_picture(net):
    from matplotlib.cbook import get_sample_data
    from sklearn.datasets import load_sample_image

    with get_sample_data("grace_hopper.jpg") as file:
        portrait = prepared(np.asarray(Image.open(file)))
    probabilities = net(portrait).softmax(1)[0]
    assert probabilities[[SUIT, BOW_TIE, WINDSOR_TIE, UNIFORM]].sum() > 0.9
    temple = prepared(load_sample_image("china.jpg"))
    probabilities = net(temple).softmax(1)[0]
    assert probabilities[[DOME, MONASTERY, STUPA, PALACE, BELL_COTE, BOATHOUSE]].sum() > 0.7


@pytest.mark.parametrize(("side", "sizes"), [(64, (31, 15, 7, 3)), (66, (32, 16, 8, 4)), (227, (113, 56, 28, 14))])
def test_maps_have_the_sizes_of_pooling_that_rounds_up(net, side, sizes):
    with torch.no_grad():
        maps = net.layers(torch.zeros(1, 3, side, side))
    first, second, third, fourth = sizes
    assert [m.shape[1] for m in maps] == [64, 128, 256, 384, 384, 512, 512]
    assert [m.shape[2] for m in maps] == [first, second, third, fourth, fourth, fourth, fourth]


def test_layers_are_what_the_features_pass_through(net):
    x = torch.rand(2, 3, 70, 90) * 255 - 110
    with torch.no_grad():
        maps = net.layers(x)
        assert torch.equal(maps[-1], net.features(x))
        assert torch.equal(maps[0], net.features[:2](x))
        assert torch.equal(maps[2], net.features[:8](x))
        logits = net.classifier[1](maps[-1]).relu().mean((2, 3))
        torch.testing.assert_close(net(x), logits)


def test_a_fire_module_by_hand(net):
    fire = net.features[3]
    x = torch.randn(2, 64, 5, 6)
    with torch.no_grad():
        squeezed = torch.einsum("oc,nchw->nohw", fire.squeeze1x1.weight[..., 0, 0], x)
        squeezed = (squeezed + fire.squeeze1x1.bias.view(-1, 1, 1)).clamp(min=0)
        narrow = torch.einsum("oc,nchw->nohw", fire.expand1x1.weight[..., 0, 0], squeezed)
        narrow = (narrow + fire.expand1x1.bias.view(-1, 1, 1)).clamp(min=0)
        wide = torch.nn.functional.conv2d(squeezed, fire.expand3x3.weight, fire.expand3x3.bias, padding=1).clamp(min=0)
        torch.testing.assert_close(fire(x), torch.cat([narrow, wide], 1))


def test_parameters_have_the_names_and_the_number_of_the_published_network(net):
    names = set(net.state_dict())
    assert {"features.0.weight", "features.12.expand3x3.bias", "classifier.1.weight"} <= names
    assert len(names) == 2 * (1 + 3 * 8 + 1)
    assert sum(p.numel() for p in net.parameters()) == 1_235_496
