import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vaekit.distributions.perceptual import frozen_features
from vaekit.errors import RequestError
from vaekit.networks.vgg import VGG, load_vgg

# As torchvision writes its networks down; M is a pooling.
PLANS = {
    16: [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    19: [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


def plain(depth):
    layers, before = [], 3
    for width in PLANS[depth]:
        if width == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
    return nn.Sequential(*layers)


def named(body, until):
    """The weights of a network's first layers, as torchvision calls them."""
    weights = {f"features.{name}": tensor.contiguous() for name, tensor in body.state_dict().items()}
    return {name: tensor for name, tensor in weights.items() if int(name.split(".")[1]) <= until}


# The last two are where the depths part: VGG-19 has a convolution where VGG-16 has a pooling.
@pytest.mark.parametrize(
    ("depth", "layer", "place"), [(16, "relu3_1", 11), (19, "relu2_2", 8), (16, "relu4_1", 18), (19, "relu4_1", 20)]
)
def test_it_is_torchvisions_network(tmp_path, depth, layer, place):
    torch.manual_seed(0)
    with torch.device("meta"):
        body = plain(depth)
    body = body[: max(place + 1, 18)].to_empty(device="cpu")  # as far as it tells the depths apart
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.05)
    path = tmp_path / "vgg.safetensors"
    save_file({**named(body, len(body)), "classifier.0.bias": torch.zeros(3)}, path)
    net = load_vgg(path, layer)
    assert net.places[layer] == place == len(net.features) - 1
    x = torch.rand(1, 3, 36, 28)
    with torch.no_grad():
        assert torch.equal(net(x), body[: place + 1](x))
        # Through the features of a perceptual likelihood, inputs are normalised as torchvision documents.
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        seen = frozen_features(f"vgg:{path}", ("relu1_1", layer))(x)
        normal = (x - mean) / std
        torch.testing.assert_close(seen[0], body[:2](normal), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(seen[1], body[: place + 1](normal), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("depth", "count"), [(16, 14_714_688), (19, 20_024_384)])
def test_whole_networks_have_the_published_number_of_parameters(depth, count):
    with torch.device("meta"):
        net = VGG(depth)
    assert sum(p.numel() for p in net.parameters()) == count
    assert set(net.state_dict()) == {f"features.{name}" for name in plain(depth).to("meta").state_dict()}
    assert [type(m) for m in net.features] == [type(m) for m in plain(depth)[:-1].to("meta")]


def test_half_precision_becomes_single(tmp_path):
    body = plain(16)[:2]
    save_file({name: tensor.half() for name, tensor in named(body, 1).items()}, tmp_path / "half.safetensors")
    net = load_vgg(tmp_path / "half.safetensors", "relu1_1")
    assert net.features[0].weight.dtype == torch.float32
    assert torch.equal(net.features[0].weight, body[0].weight.half().float())


def test_what_does_not_fit_is_refused(tmp_path):
    def refused(words, path=tmp_path / "w.safetensors", until="relu1_1"):
        with pytest.raises(RequestError, match=words):
            load_vgg(path, until)

    weights = named(plain(16)[:2], 1)
    refused("no such file", tmp_path / "absent.safetensors")
    save_file(weights, tmp_path / "w.safetensors")
    refused("features.2.weight is missing; expected", until="relu1_2")
    refused("Did you mean 'relu1_2'", until="relu12")
    save_file({**weights, "features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "w.safetensors")
    refused(r"is \(64, 1, 3, 3\); expected \(64, 3, 3, 3\)")
    save_file({**weights, "features.1.running_mean": torch.zeros(64)}, tmp_path / "w.safetensors")
    refused("batch normalisation")
    with pytest.raises(RequestError, match="expected 16 or 19"):
        VGG(11)


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"features.0.weight": Trap()}, tmp_path / "vgg19.pth")
    with pytest.raises(RequestError, match="no safetensors"):
        load_vgg(tmp_path / "vgg19.pth")
    assert not (tmp_path / "sprung").exists()
