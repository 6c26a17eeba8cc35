import pytest
import torch
from torch import nn

from vaekit.networks.inception import FIDInception, _Convolution, _long, _small, _wide

# Known sizes of the published network with 1000 classes, and of the last layer of each.
PUBLISHED, LAST, LAST_HERE = 23_834_568, 1000 * 2049, 1008 * 2049


@pytest.fixture(scope="module")
def net():
    with torch.device("meta"):
        net = FIDInception().eval()
    return net.to_empty(device="cpu").apply(lambda module: [p.zero_() for p in module.state_dict().values()])


def test_the_number_of_parameters_is_the_published_one_but_for_the_classes(net):
    assert sum(p.numel() for p in net.parameters()) == PUBLISHED - LAST + LAST_HERE


@torch.no_grad()
def test_shapes_and_names(net):
    maps = net.layers(torch.rand(1, 3, 299, 299))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 73, 73), (192, 35, 35), (768, 17, 17), (2048, 8, 8)]
    assert net.fc(maps[-1].mean((2, 3))).shape == (1, 1008)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_5b.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert shapes["Mixed_6c.branch7x7dbl_4.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7a.branch7x7x3_4.conv.weight"] == (192, 192, 3, 3)
    assert shapes["Mixed_7c.branch3x3dbl_3b.bn.running_var"] == (384,)
    assert shapes["Mixed_7b.branch_pool.conv.weight"] == (192, 1280, 1, 1)
    assert len([name for name in shapes if name.endswith("conv.weight")]) == 94


def only_pool(block):
    """Show what the pooled branch of a block sees."""
    block = block.eval()
    channels = block.branch_pool.conv.in_channels
    block.branch_pool = nn.Identity()
    return channels, lambda x: block(x)[:, -channels:]


@pytest.mark.parametrize("block", [_small(192, 32), _long(128), _wide(1280, "mean")])
@torch.no_grad()
def test_means_leave_the_padding_out(block):
    channels, pool = only_pool(block)
    torch.testing.assert_close(pool(torch.ones(1, channels, 9, 9)), torch.ones(1, channels, 9, 9))
    x = torch.rand(1, channels, 6, 6)
    torch.testing.assert_close(pool(x)[0, :, 0, 0], x[0, :, :2, :2].mean((1, 2)))


@torch.no_grad()
def test_the_last_block_pools_by_maximum():
    channels, pool = only_pool(_wide(64, "max"))
    x = torch.rand(1, channels, 6, 6)
    torch.testing.assert_close(pool(x)[0, :, 2, 2], x[0, :, 1:4, 1:4].amax((1, 2)))


@torch.no_grad()
def test_normalisation_by_hand():
    layer = _Convolution(2, 3, 1).eval()
    layer.bn.running_mean.normal_()
    layer.bn.running_var.uniform_(1e-3, 1)
    layer.bn.weight.normal_()
    layer.bn.bias.normal_()
    x = torch.randn(4, 2, 5, 5)
    column = (slice(None), None, None)
    y = torch.einsum("oc,nchw->nohw", layer.conv.weight[..., 0, 0], x)
    y = (y - layer.bn.running_mean[column]) / (layer.bn.running_var[column] + 0.001).sqrt()
    torch.testing.assert_close(layer(x), (y * layer.bn.weight[column] + layer.bn.bias[column]).clamp(min=0))


def test_a_fork_ends_in_both_orientations():
    block = _wide(64, "mean").eval()
    assert block.branch3x3_2a.conv.kernel_size == (1, 3)
    assert block.branch3x3_2b.conv.kernel_size == (3, 1)
    with torch.no_grad():
        x = torch.randn(1, 64, 5, 5)
        y = block.branch3x3_1(x)
        forked = torch.cat([block.branch3x3_2a(y), block.branch3x3_2b(y)], 1)
        torch.testing.assert_close(block(x)[:, 320 : 320 + 768], forked)
        assert block(x).shape[1] == 2048
