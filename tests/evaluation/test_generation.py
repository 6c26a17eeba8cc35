import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import load_dataset
from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale
from vaekit.errors import RequestError
from vaekit.evaluation.features import FeatureNet, feature_net
from vaekit.evaluation.frechet import frechet_distance
from vaekit.evaluation.generation import generation_metrics
from vaekit.evaluation.kernel import kernel_distance
from vaekit.evaluation.manifolds import manifold_metrics
from vaekit.models import LatentVariableModel

SCORES = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")


class Drawer(LatentVariableModel):
    """A model whose draws are those of a function; its means are `mean`, its draws have noise about them."""

    def __init__(self, shape, mean=None, noise=0.0):
        super().__init__()
        self.shape, self.mean, self.noise = shape, mean, noise
        self.dropout = nn.Dropout(0.5)
        self.modes = []

    def infer(self, x, context=None, samples=1, *, analytic=False):
        raise NotImplementedError

    def generate(self, n, context=None, *, mean=True):
        self.modes.append(self.training)
        x = torch.randn(n, *self.shape) if self.mean is None else self.mean.expand(n, *self.shape)
        return self.dropout(x if mean else x + self.noise * torch.randn(x.shape))


def normal(n, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


class Corner(FeatureNet):
    """The first pixels of an image, as they come."""

    def __init__(self, dim=3):
        super().__init__("corner", dim, nn.Identity())
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return x.flatten(1)[:, : self.dim]

    @property
    def sets(self):
        """What was seen of generated, reference and other examples."""
        return torch.cat(self.seen).tensor_split(3)


def pixels(n, seed=0, high=256):
    return np.random.default_rng(seed).integers(0, high, (n, 1, 8, 8), dtype=np.uint8)


def test_a_perfect_model_has_the_numbers_of_real_data():
    # The same numbers but for noise, for which they say their own standard errors.
    found = generation_metrics(Drawer((3,)), normal(600), Identity(), others=normal(600, seed=1))
    assert found["images"] == 600
    for name in SCORES:
        noise = math.hypot(found[f"{name}_se"], found[f"{name}_real_se"])
        assert 0 < noise < 1
        assert abs(found[name] - found[f"{name}_real"]) < 4 * noise
    assert abs(found["kernel_distance"]) < 4 * found["kernel_distance_se"]
    assert abs(found["frechet_distance_extrapolated"]) < 4 * found["frechet_distance_se"]
    worse = generation_metrics(Drawer((3,)), normal(600) + 2, Identity(), others=normal(600, seed=1) + 2)
    assert worse["frechet_distance"] == pytest.approx(12, abs=4 * worse["frechet_distance_se"])
    for name in ("precision", "recall", "density", "coverage"):
        assert worse[name] < worse[f"{name}_real"] - 3 * worse[f"{name}_se"]


def test_every_number_is_what_the_three_sets_give():
    net = Corner()
    found = generation_metrics(
        torch.rand(90, 1, 8, 8), pixels(100), Scale(256), others=pixels(95, seed=1), features=net, k=3, seed=5
    )
    generated, real, others = (net(x) for x in net.sets)
    assert found["images"] == len(generated) == len(real) == len(others) == 90
    for suffix, x in (("", generated), ("_real", others)):
        value, error = frechet_distance(x, real)
        assert (found[f"frechet_distance{suffix}"], found[f"frechet_distance{suffix}_se"]) == (value, error)
        value, error = kernel_distance(x, real)
        assert (found[f"kernel_distance{suffix}"], found[f"kernel_distance{suffix}_se"]) == (value, error)
        for name, value in manifold_metrics(x, real, k=3, seed=5).items():
            stem, se, _ = name.partition("_se")
            assert found[f"{stem}{suffix}{se}"] == value
    assert found["neighbours"] == 3


def rows(x):
    return {bytes(row) for row in np.asarray(x, np.float32).reshape(len(x), -1)}


def test_without_others_the_real_data_are_halved_and_with_them_all_serve():
    real, others = normal(101), normal(80, seed=1)
    net = feature_net("values", (3,))
    seen = []
    net.register_forward_hook(lambda *given: seen.append(given[1][0]))
    found = generation_metrics(Drawer((3,)), real, Identity(), features=net)
    assert found["images"] == 50
    assert not rows(seen[1]) & rows(seen[2])
    assert rows(seen[1]) | rows(seen[2]) < rows(real)
    assert "against 50 of 101 real examples" in found["protocol"]
    assert "50 of 101 real examples apart from these in the model's place" in found["protocol"]
    seen.clear()
    found = generation_metrics(
        Drawer((3,)), real, Identity(), others=others, features=net, names=("test", "validation")
    )
    assert found["images"] == 80
    assert rows(seen[1]) < rows(real)
    assert rows(seen[2]) == rows(others)
    assert "against 80 of 101 test examples" in found["protocol"]
    assert "80 of 80 validation examples in the model's place" in found["protocol"]


def test_data_in_the_order_of_classes_are_drawn_from_throughout():
    real = np.repeat(np.arange(10.0), 100)[:, None] + normal(1000, 1) / 100
    net = feature_net("values", (1,))
    seen = []
    net.register_forward_hook(lambda *given: seen.append(given[1][0]))
    generation_metrics(real[::-1].copy(), real, Identity(), features=net, n=200)
    for x in (torch.cat(seen[start : start + 1]) for start in range(3)):
        assert set(x.round().flatten().tolist()) == set(range(10))


def test_binarised_data_are_held_against_in_grey_and_means_with_them():
    # A model that gives the grey mean of what it saw; and draws of bits with it.
    x = pixels(400)
    net = Corner()
    found = generation_metrics(torch.rand(200, 1, 8, 8), x, Binarise(256), features=net)
    assert "256 levels scaled to [0, 1]" in found["protocol"]
    assert set((net.sets[1] * 255).round().unique().tolist()) > {1, 100, 254}
    net = Corner()
    found = generation_metrics(torch.rand(200, 1, 8, 8), x, Binarise(256), features=net, mean=False)
    assert "dynamic binarisation" in found["protocol"]
    assert net.sets[1].unique().tolist() == [0, 1]
    assert not torch.equal(net.sets[1], net.sets[2])


def test_bits_as_stored_are_held_against_draws():
    for transform in (Scale(2), Binarise(2)):
        model = Drawer((1, 8, 8), mean=torch.tensor(0.5), noise=10.0)
        net = Corner()
        found = generation_metrics(model, pixels(200, high=2), transform, features=net)
        assert "100 draws of x from p(x|z) clamped to [0, 1]" in found["protocol"]
        assert "bits as stored" in found["protocol"]
        assert (net.sets[0] == 0.5).float().mean() < 0.01
    net = Corner()
    found = generation_metrics(Drawer((1, 8, 8)), pixels(200), Scale(256), features=net)
    assert "100 means of p(x|z) clamped" in found["protocol"]


def test_dequantised_data_are_held_against_in_the_middle_of_their_levels():
    x = pixels(200)
    net = Corner()
    generation_metrics(torch.rand(100, 1, 8, 8), x, Dequantise(256), features=net)
    assert set((net.sets[1] * 256).unique().tolist()) <= {level + 0.5 for level in range(256)}
    net = Corner()
    found = generation_metrics(torch.rand(100, 1, 8, 8), x, Dequantise(256), features=net, mean=False)
    assert "uniform dequantisation" in found["protocol"]
    assert len((net.sets[1] * 256 % 1).unique()) > 1000


def test_what_a_decoder_gives_is_clamped_and_not_rounded():
    net = Corner()
    generation_metrics(Drawer((1, 8, 8)), pixels(200), Scale(256), features=net)
    generated = net.sets[0]
    assert (generated.min(), generated.max()) == (0, 1)
    inside = generated[(generated > 0) & (generated < 1)]
    assert (inside * 255 % 1).std() > 0.2


def test_bytes_given_for_samples_are_refused_and_not_clamped():
    with pytest.raises(RequestError, match="divide bytes by 255"):
        generation_metrics(pixels(300), pixels(300, seed=1), Scale(256), features="mnist")


def test_values_are_compared_by_draws_and_are_not_clamped():
    model = Drawer((2,), mean=torch.tensor([5.0, -5.0]), noise=1.0)
    real = normal(400, 2) + np.array([5.0, -5.0], np.float32)
    found = generation_metrics(model, real, Identity())
    assert (found["features"], found["images"]) == ("values", 200)
    assert found["frechet_distance"] < 0.2
    assert "200 draws of x from p(x|z);" in found["protocol"]
    # The means are one point, which is no like of the data.
    assert generation_metrics(model, real, Identity(), mean=True)["frechet_distance"] > 1.5


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_evaluated_in_evaluation_mode_and_gets_its_mode_back(training):
    model = Drawer((3,)).train(training)
    generation_metrics(model, normal(60), Identity())
    assert not any(model.modes)
    assert model.training == model.dropout.training == training


def test_a_seed_is_a_result_and_the_random_state_stays():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    results = [generation_metrics(Drawer((3,)), normal(300), Identity(), seed=seed) for seed in (1, 1, 2)]
    assert results[0] == results[1]
    assert results[0]["frechet_distance"] != results[2]["frechet_distance"]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_draws_in_blocks_are_all_different():
    net = feature_net("values", (3,))
    seen = []
    net.register_forward_hook(lambda *given: seen.append(given[1][0]))
    generation_metrics(Drawer((3,)), normal(2400), Identity(), others=normal(2400, seed=1), features=net, n=2300)
    generated = torch.cat(seen)[:2300]
    assert len(rows(generated)) == 2300


def test_it_is_json_with_an_error_beside_every_number():
    done = []
    found = generation_metrics(Drawer((3,)), normal(300), Identity(), advance=done.append)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name in SCORES:
        for key in (name, f"{name}_real"):
            assert isinstance(found[key], float)
            assert found[f"{key}_se"] > 0
    assert sum(done) == 3 * found["images"]
    assert {"images", "features", "features_sha256", "neighbours", "seed", "protocol"} <= set(found)
    for words in ("150 draws", "seed 0", "k = 5", "the 3 values themselves", "± is one standard error"):
        assert words in found["protocol"]


def test_the_shipped_net_is_taken_for_digits_and_tells_good_from_bad():
    mnist = load_dataset("mnist")
    real, others = (torch.from_numpy(split.x[:400]) for split in (mnist.test, mnist.validation))
    found = generation_metrics(others[:200].float() / 255, real.numpy(), Binarise(256), others=others[200:].numpy())
    assert (found["features"], found["images"]) == ("mnist", 200)
    assert "mnist features (128, weights " in found["protocol"]
    assert found["features_sha256"] == feature_net("mnist").sha256
    assert found["frechet_distance"] < 2 * found["frechet_distance_real"]
    blurred = nn.functional.avg_pool2d(others[:200].float() / 255, 5, stride=1, padding=2)
    worse = generation_metrics(blurred, real.numpy(), Binarise(256), others=others[200:].numpy())
    assert worse["frechet_distance_real"] == found["frechet_distance_real"]
    assert worse["frechet_distance"] > 2 * found["frechet_distance"]
    assert worse["precision"] < found["precision"] - 0.1
    assert worse["density"] < found["density"] / 2


def test_wrong_requests():
    real = normal(300)
    with pytest.raises(RequestError, match=r"3 examples in each set and 3 values features; expected at least 4"):
        generation_metrics(Drawer((3,)), real[:7], Identity())
    with pytest.raises(RequestError, match=r"100 examples in each set and 128 mnist features; expected at least 129"):
        generation_metrics(Drawer((1, 8, 8)), pixels(200), Scale(256))
    with pytest.raises(RequestError, match=r"shape \(2,\) were given; expected \(3,\)"):
        generation_metrics(normal(300, 2), real, Identity())
    with pytest.raises(RequestError, match=r"shape \(2,\) were given; expected \(3,\)"):
        generation_metrics(Drawer((3,)), real, Identity(), others=normal(300, 2))
    with pytest.raises(RequestError, match=r"draws examples of shape \(4,\); expected \(3,\)"):
        generation_metrics(Drawer((4,)), real, Identity())
    with pytest.raises(RequestError, match="n is 0"):
        generation_metrics(Drawer((3,)), real, Identity(), n=0)
    with pytest.raises(RequestError, match=r"values from -.*expected them in \[0, 1\]"):
        generation_metrics(Drawer((1, 8, 8)), np.random.default_rng(0).normal(size=(300, 1, 8, 8)), Identity())
