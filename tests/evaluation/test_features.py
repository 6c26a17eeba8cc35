import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vaekit.errors import RequestError
from vaekit.evaluation.features import FeatureNet, feature_net, features_of, suggest_features
from vaekit.networks import pretrained
from vaekit.networks.inception import FIDInception
from vaekit.networks.pretrained import FILES, WEIGHTS, read_weights, shipped_weights

SHIPPED = ("mnist", "squeezenet")
DIMS = {"mnist": 128, "squeezenet": 512}


@pytest.fixture(scope="module")
def nets():
    return {name: feature_net(name) for name in SHIPPED}


def images(n=4, channels=1, height=28, width=28):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 70, 40), (3, 300, 270), (1, 1, 1)])
def test_images_of_any_size_have_features(nets, name, shape):
    net = nets[name]
    features = net(images(2, *shape))
    assert (net.name, net.dim) == (name, DIMS[name])
    assert features.shape == (2, DIMS[name])
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    assert not torch.allclose(features[0], features[1])


@pytest.mark.parametrize("name", SHIPPED)
def test_features_of_an_image_do_not_depend_on_the_others(nets, name):
    x = images(7, 3, 64, 64)
    whole = features_of(nets[name], [x])
    parts = features_of(nets[name], [x[:2], x[2:3], x[3:]])
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4 * whole.abs().max().item())


def test_no_more_images_than_fit_are_in_the_network_at_once():
    sizes = []

    class Counting(FeatureNet):
        def forward(self, x):
            sizes.append(len(x))
            return x.mean((2, 3))

    done = []
    x = images(600)
    found = features_of(Counting("counting", 1, nn.Identity()), x.split(580), advance=done.append)
    assert torch.equal(found, x.mean((2, 3)))
    assert max(sizes) <= 250
    assert sum(sizes) == sum(done) == 600


class Moody(nn.Module):
    """A network that is random and learns statistics while in training mode."""

    def __init__(self):
        super().__init__()
        self.stack = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, x):
        return self.stack(x)


def test_a_feature_net_stays_frozen_within_a_model_that_trains():
    net = FeatureNet("moody", 3, Moody())
    model = nn.ModuleDict({"features": net, "other": nn.Dropout()})
    model.train()
    assert model["other"].training
    assert not any(module.training for module in net.modules())
    net.body.stack.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x = images(5, 1, 2, 2)
    assert torch.equal(net(x), net(x))
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("name", SHIPPED)
def test_gradients_pass_through_to_the_image_alone(nets, name):
    x = images(2, 1, 40, 40).requires_grad_()
    nets[name].train()(x).square().sum().backward()
    assert (x.grad != 0).any()
    assert all(p.grad is None and not p.requires_grad for p in nets[name].parameters())


@pytest.mark.parametrize("name", SHIPPED)
def test_grey_images_are_images_whose_colours_agree(nets, name):
    x = images(3, 1, 64, 64)
    torch.testing.assert_close(nets[name](x), nets[name](x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_squeezenet_sees_blue_first_in_bytes_less_their_means(nets):
    red, green, blue = 0.1, 0.5, 0.9
    x = torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, 64, 80)
    seen = nets["squeezenet"].prepare(x)
    expected = [255 * blue - 104.006, 255 * green - 116.669, 255 * red - 122.679]
    torch.testing.assert_close(seen.mean((0, 2, 3)), torch.tensor(expected))
    assert seen.std((0, 2, 3)).max() < 1e-3


@pytest.mark.parametrize(
    ("size", "seen"), [((32, 32), (64, 64)), ((64, 96), (64, 96)), ((30, 60), (64, 128)), ((512, 1024), (256, 512))]
)
def test_squeezenet_sees_images_of_the_size_it_knows(nets, size, seen):
    assert nets["squeezenet"].prepare(images(1, 3, *size)).shape[2:] == seen


def test_digits_are_seen_grey_and_in_their_size(nets):
    x = images(2, 1, 28, 28)
    assert torch.equal(nets["mnist"].prepare(x), x)
    colours = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 28, 28)
    weights = nets["mnist"].prepare(colours).mean((1, 2, 3))
    torch.testing.assert_close(weights, torch.tensor([0.299, 0.587, 0.114]))
    assert nets["mnist"].prepare(images(1, 1, 56, 8)).shape == (1, 1, 28, 28)
    # A fine chequerboard made smaller is grey: it is filtered, not sampled.
    board = (torch.arange(112)[:, None] + torch.arange(112)).remainder(2).float()[None, None]
    assert nets["mnist"].prepare(board).sub(0.5).abs().max() < 0.05


@pytest.mark.parametrize("name", SHIPPED)
def test_layers_are_those_of_the_network_on_what_it_sees(nets, name):
    net, x = nets[name], images(2, 1, 40, 40)
    maps = net.layers(x)
    assert all(m.ndim == 4 and len(m) == 2 and (m >= 0).all() for m in maps)
    for found, expected in zip(maps, net.body.layers(net.prepare(x)), strict=True):
        assert torch.equal(found, expected)
    torch.testing.assert_close(net(x)[:, -maps[-1].shape[1] :], maps[-1].mean((2, 3)))


def test_a_network_without_layers_says_so():
    with pytest.raises(RequestError, match="'mine' has no layers to show"):
        FeatureNet("mine", 784, nn.Flatten()).layers(images())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (images() * 255, r"values from .* to 25\d.*; expected them in \[0, 1\]: divide bytes by 255"),
        (images() - 0.5, r"values from -0\.\d+ to 0\.\d+; expected them in \[0, 1\]"),
        (torch.full((1, 1, 28, 28), torch.nan), "values from nan to nan"),
        ((images() * 255).byte(), "torch.uint8; expected floating point"),
        (images()[0], r"shape \(1, 28, 28\)"),
        (images(2, 4), "1 or 3 channels: use features='values'"),
    ],
)
def test_what_are_no_images_in_the_unit_interval_is_refused(nets, x, message):
    for net in nets.values():
        with pytest.raises(RequestError, match=message):
            net(x)
        with pytest.raises(RequestError, match=message):
            net.layers(x)


def test_weights_are_known_by_their_hash(nets):
    assert [nets[name].sha256 for name in SHIPPED] == [WEIGHTS["digits"], WEIGHTS["squeezenet1_1"]]
    assert f"weights {WEIGHTS['digits'][:8]}" in nets["mnist"].describe()
    mine = [FeatureNet("mine", 2, nn.Linear(2, 2)) for _ in range(2)]
    assert mine[0].sha256 != mine[1].sha256
    again = nn.Linear(2, 2)
    again.load_state_dict(mine[0].body.state_dict())
    assert FeatureNet("mine", 2, again).sha256 == mine[0].sha256


@pytest.mark.parametrize("name", WEIGHTS)
def test_damaged_and_missing_weights_are_refused(name, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "FILES", tmp_path)
    with pytest.raises(RequestError, match=r"cannot be read .*: reinstall vaekit"):
        shipped_weights(name)
    content = bytearray((FILES / f"{name}.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / f"{name}.safetensors").write_bytes(content)
    with pytest.raises(RequestError, match=rf"are damaged: .* expected {WEIGHTS[name][:12]}…: reinstall vaekit"):
        shipped_weights(name)


def test_names():
    with pytest.raises(RequestError, match=r"features are 'squeeze'; expected one of .*Did you mean 'squeezenet'"):
        feature_net("squeeze")
    with pytest.raises(RequestError, match="pass inception:PATH"):
        feature_net("inception")
    with pytest.raises(RequestError, match=r"features are a Linear; .* wrap a network"):
        feature_net(nn.Linear(2, 2))
    with pytest.raises(RequestError, match="expected their shape"):
        feature_net("values")
    mine = FeatureNet("mine", 784, nn.Flatten())
    assert feature_net(mine) is mine


def test_values_are_the_data():
    net = feature_net("values", (2, 3))
    x = torch.randn(5, 2, 3) * 100
    assert torch.equal(net(x), x.flatten(1))
    assert net.dim == 6
    with pytest.raises(RequestError, match=r"shape \(5, 3, 2\); expected \(n, 2, 3\)"):
        net(x.transpose(1, 2))


@pytest.mark.parametrize(
    ("shape", "name"),
    [((1, 28, 28), "mnist"), ((1, 8, 8), "mnist"), ((1, 64, 64), "squeezenet"), ((3, 28, 28), "squeezenet"),
     ((1, 3, 300), "values"), ((44,), "values"), ((5, 32, 32), "values"), ((20, 44), "values")],
)  # fmt: skip
def test_suggestions(shape, name):
    assert suggest_features(shape) == name
    assert feature_net(name, shape)(images(2, *shape) if len(shape) == 3 else torch.zeros(2, *shape)).shape[0] == 2


def test_nets_whose_output_is_not_what_they_say_are_refused():
    with pytest.raises(RequestError, match=r"gives shape \(4, 784\); expected \(4, 3\)"):
        features_of(FeatureNet("mine", 3, nn.Flatten()), [images()])
    with pytest.raises(RequestError, match="no images"):
        features_of(FeatureNet("mine", 3, nn.Flatten()), [])


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (open, ("sprung", "w"))


def test_nothing_in_a_file_of_weights_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.bias": Trap()}, tmp_path / "weights.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    for name in ("weights.pth", "plain.pth", "text.safetensors", "list.pth"):
        with pytest.raises(RequestError, match=r"which is no file of tensors|which holds something else"):
            feature_net(f"inception:{name}")
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(RequestError, match=r"'none.pth', which cannot be read"):
        feature_net("inception:none.pth")
    with pytest.raises(RequestError, match=r"'none.pth', which cannot be read"):
        read_weights("none.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    shutil.copy(FILES / "squeezenet1_1.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(RequestError, match=r"do not fit: \d+ parameters are missing .* expected those of pt_inception"):
        feature_net(f"inception:{tmp_path / 'other.safetensors'}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_inception_with_weights_of_the_users(tmp_path, kind):
    torch.manual_seed(0)
    body = FIDInception()
    weights = {name: t.clone() for name, t in body.state_dict().items() if not name.endswith("num_batches_tracked")}
    weights["AuxLogits.fc.bias"] = torch.zeros(1000)
    path = tmp_path / f"weights.{kind}"
    save_file(weights, path) if kind == "safetensors" else torch.save(weights, path)
    net = feature_net(f"inception:{path}")
    assert net.dim == 2048
    assert "not those of published FIDs" in net.describe()
    x = images(2, 1, 28, 28)
    seen = net.prepare(x)
    assert seen.shape == (2, 3, 299, 299)
    assert -1 <= seen.min() < -0.9 < 0.9 < seen.max() <= 1
    with torch.no_grad():
        torch.testing.assert_close(net(x), body.eval().features(seen))
    few = {name: tensor for name, tensor in weights.items() if name != "Mixed_6c.branch1x1.bn.running_mean"}
    few["fc.bias"] = torch.zeros(1000)
    torch.save(few, tmp_path / "few.pth")
    message = r"1 parameters are missing \(Mixed_6c.branch1x1.bn.running_mean\) and 1 .*fc.bias of shape \(1000,\)"
    with pytest.raises(RequestError, match=message):
        feature_net(f"inception:{tmp_path / 'few.pth'}")


def test_loading_a_net_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    feature_net("mnist")
    assert torch.equal(torch.rand(3), expected)
