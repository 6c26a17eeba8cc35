import json
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.distributions import Independent, Normal
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from vaekit.data.rows import Subset
from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale
from vaekit.distributions import StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import reconstruction
from vaekit.evaluation.reconstruction import PSNR_LIMIT, perceptual_distance, reconstruction_metrics
from vaekit.models import VAE


class Encoder(nn.Module):
    """The code is the image itself, laid out in a row; its posterior is wide, but only its mean should count."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, context=None):
        mean = self.dropout(x).flatten(1)
        return Independent(Normal(mean, torch.full_like(mean, 3.0)), 1)


class Decoder(nn.Module):
    """What a function makes of the image is the mean."""

    def __init__(self, shape, change):
        super().__init__()
        self.shape, self.change = shape, change

    def forward(self, z, context=None):
        mean = self.change(z.view(-1, *self.shape))
        return Independent(Normal(mean, torch.ones_like(mean)), len(self.shape))


def model(shape, change=lambda x: x):
    return VAE(Encoder(), Decoder(shape, change), StandardNormal(math.prod(shape)))


def pictures(n=30, shape=(1, 16, 20), seed=0):
    """Smooth pictures, in bytes."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(n, *shape)), (0, 0, 2, 2))
    return (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def degrade(x):
    return 0.8 * x + 0.1 * torch.roll(x, 1, -1)


def test_exact_reconstructions():
    x = pictures()
    m = reconstruction_metrics(model(x.shape[1:]), x, Scale(256))
    assert (m["mse"], m["psnr"], m["ssim"]) == (0.0, PSNR_LIMIT, pytest.approx(1.0, abs=1e-6))
    assert m["mse_se"] == m["psnr_se"] == 0
    assert "seen_mse" not in m
    json.dumps(m, allow_nan=False)


@pytest.mark.parametrize("offset", [0.1, 0.25])
def test_a_constant_offset(offset):
    x = np.full((10, 1, 12, 12), 102, np.uint8)  # 0.4
    m = reconstruction_metrics(model(x.shape[1:], lambda y: y + offset), x, Scale(256))
    assert m["mse"] == pytest.approx(offset**2, rel=1e-5)
    assert m["psnr"] == pytest.approx(-20 * math.log10(offset), rel=1e-5)
    # Flat images: no structure, and of the means a and b what (2ab + c) / (a^2 + b^2 + c) leaves.
    a, b, c = 0.4, 0.4 + offset, 0.01**2
    assert m["ssim"] == pytest.approx((2 * a * b + c) / (a**2 + b**2 + c), rel=5e-4)


def test_the_mean_is_over_images_of_each_ones_own_number():
    # Errors of 0.1 and 0.01 an image: 20 and 40 decibels, not those of the error averaged before.
    x = np.full((2, 1, 12, 12), 102, np.uint8)
    error = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    m = reconstruction_metrics(model(x.shape[1:], lambda y: y + error), x, Scale(256))
    assert m["psnr"] == pytest.approx(30, abs=1e-3)
    assert m["psnr_se"] == pytest.approx(10, abs=1e-3)
    assert m["mse"] == pytest.approx((0.01 + 0.0001) / 2, rel=1e-4)
    assert m["mse_se"] == pytest.approx((0.01 - 0.0001) / 2, rel=1e-4)


def test_sharpness_is_the_square_of_the_contrast_and_less_where_there_is_blur():
    x = pictures()
    assert reconstruction_metrics(model(x.shape[1:]), x, Scale(256))["sharpness"] == pytest.approx(1)
    flat = reconstruction_metrics(model(x.shape[1:], lambda y: 0.5 * y), x, Scale(256))
    assert flat["sharpness"] == pytest.approx(0.25)
    # Of noise with variance 1, differences have 2 each way. In means of two, a quarter of 2 along them, 1 across.
    noise = np.random.default_rng(0).integers(0, 256, (40, 1, 32, 32)).astype(np.uint8)
    blurred = reconstruction_metrics(
        model(noise.shape[1:], lambda y: (y + torch.roll(y, 1, -1)) / 2), noise, Scale(256)
    )
    assert blurred["sharpness"] == pytest.approx((0.5 + 1) / 4, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 16, 20), (3, 24, 11)])
def test_agreement_with_torchmetrics_image_by_image(shape):
    x = pictures(shape=shape)
    m = reconstruction_metrics(model(shape, degrade), x, Scale(256))
    original = torch.from_numpy(x).float() / 255
    result = degrade(original)
    pairs = list(zip(result.split(1), original.split(1), strict=True))
    ssim = torch.stack([structural_similarity_index_measure(a, b, data_range=1.0) for a, b in pairs])
    psnr = torch.stack([peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in pairs])
    for name, values in (("ssim", ssim), ("psnr", psnr)):
        assert m[name] == pytest.approx(values.mean().item(), rel=1e-5)
        assert m[f"{name}_se"] == pytest.approx(values.std().item() / math.sqrt(30), rel=1e-4)
    assert m["ssim"] < 0.99


def test_structural_similarity_by_its_formula():
    x = pictures()
    a = x.astype(np.float64) / 255
    b = degrade(torch.from_numpy(a)).numpy()

    def blur(image):
        return gaussian_filter(image, (0, 0, 1.5, 1.5), mode="mirror", truncate=3.5)

    ma, mb = blur(a), blur(b)
    va, vb, both = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    index = (2 * ma * mb + 1e-4) * (2 * both + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    m = reconstruction_metrics(model(x.shape[1:], degrade), x, Scale(256))
    assert m["ssim"] == pytest.approx(index.mean(), rel=1e-4)


def test_binarised_data_are_held_against_the_grey_levels_and_against_the_bits():
    # The code is of bits, and what comes back are the bits: exact as seen, and off the grey levels p by p (1 - p).
    x = np.full((400, 1, 12, 12), 51, np.uint8)
    m = reconstruction_metrics(model(x.shape[1:]), x, Binarise(256))
    assert m["seen_mse"] == 0
    assert m["mse"] == pytest.approx(0.2 * 0.8, rel=0.02)
    # A decoder that says p, whatever the code.
    m = reconstruction_metrics(model(x.shape[1:], lambda y: 0 * y + 0.2), x, Binarise(256))
    assert m["mse"] == pytest.approx(0, abs=1e-12)
    assert m["seen_mse"] == pytest.approx(0.2 * 0.8, rel=0.02)
    assert "against the 256 levels as stored" in m["protocol"]
    assert "seen_mse is against, dynamic binarisation drawn once, seed 0" in m["protocol"]


def test_dequantised_data_are_held_against_the_levels():
    x = pictures()
    m = reconstruction_metrics(model(x.shape[1:]), x, Dequantise(256))
    assert m["seen_mse"] == 0
    assert 0 < m["mse"] < 1 / 256**2


def test_bits_are_seen_as_stored():
    x = (pictures() > 127).astype(np.uint8)
    for transform in (Scale(2), Binarise(2)):
        m = reconstruction_metrics(model(x.shape[1:]), x, transform)
        assert m["mse"] == 0
        assert "seen_mse" not in m


def test_probabilities_that_are_binarised_are_their_own_reference():
    x = np.full((100, 1, 12, 12), 0.25, np.float32)
    m = reconstruction_metrics(model(x.shape[1:], lambda y: 0 * y + 0.25), x, Binarise(256))
    assert m["mse"] == 0
    assert m["psnr"] == PSNR_LIMIT


def test_pictures_are_clipped_and_vectors_are_not():
    x = np.full((5, 1, 12, 12), 255, np.uint8)
    assert reconstruction_metrics(model((1, 12, 12), lambda y: y + 0.5), x, Scale(256))["mse"] == 0
    x = np.ones((5, 3), np.float32)
    assert reconstruction_metrics(model((3,), lambda y: y + 0.5), x, Identity())["mse"] == 0.25


def test_vectors_have_a_squared_error_alone():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    m = reconstruction_metrics(model((3,), lambda y: y + torch.tensor([0.0, 0.0, 3.0])), x, Identity())
    assert set(m) == {"mse", "mse_se", "protocol"}
    assert m["mse"] == pytest.approx(3.0)
    assert "no PSNR and SSIM, for examples are no images" in m["protocol"]


def test_small_images_have_no_structural_similarity():
    x = pictures(shape=(1, 8, 30))
    m = reconstruction_metrics(model((1, 8, 30)), x, Scale(256))
    assert "ssim" not in m
    assert "psnr" in m
    assert "no SSIM, for its window is 11 pixels wide and images are 8 by 30" in m["protocol"]


def test_images_of_unknown_range_have_a_squared_error_alone():
    x = pictures().astype(np.float32) / 255
    inside = reconstruction_metrics(model(x.shape[1:], degrade), x, Identity())
    bytes_ = reconstruction_metrics(model(x.shape[1:], degrade), pictures(), Scale(256))
    assert inside["psnr"] == pytest.approx(bytes_["psnr"])
    m = reconstruction_metrics(model(x.shape[1:], degrade), 4 * x - 2, Identity())
    assert set(m) == {"mse", "mse_se", "protocol"}
    assert "values from -2 to 2 are not within [0, 1]" in m["protocol"]
    for other in (2 * x, x - 0.5):
        assert "psnr" not in reconstruction_metrics(model(x.shape[1:], degrade), other, Identity())


class Features:
    """Two layers known by hand: the pixels, and their sums over 2 by 2 with a second channel of ones."""

    def __init__(self):
        self.sizes = []

    def describe(self):
        return "features by hand"

    def layers(self, x):
        self.sizes.append(len(x))
        pooled = nn.functional.avg_pool2d(x.mean(1, keepdim=True), 2)
        return [x, torch.cat([pooled, torch.ones_like(pooled)], 1)]


def test_perceptual_distance_by_hand():
    x, y = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    x[0, 0], y[0, 1] = 0.5, 0.25  # red and green: orthogonal however bright, so 2
    x[1], y[1] = 1.0, 0.5  # white and grey: one direction, so 0
    first = torch.tensor([2.0, 0.0])

    def second(a, b):  # of the unit vectors along (a, 1) and (b, 1)
        u, v = np.array([a, 1]), np.array([b, 1])
        return 2 - 2 * (u @ v) / np.linalg.norm(u) / np.linalg.norm(v)

    expected = (first + torch.tensor([second(0.5 / 3, 0.25 / 3), second(1.0, 0.5)])) / 2
    torch.testing.assert_close(perceptual_distance(Features(), x, y), expected.float())
    assert (perceptual_distance(Features(), x, x) == 0).all()
    black = torch.zeros(1, 3, 4, 4)
    assert perceptual_distance(Features(), black, black) == 0  # and no division by zero


def test_perceptual_metric_is_that_of_stored_and_result_in_small_parts():
    x = pictures(n=50, shape=(3, 12, 12))
    features = Features()
    m = reconstruction_metrics(model(x.shape[1:], degrade), x, Scale(256), features=features)
    assert max(features.sizes) <= 20
    original = torch.from_numpy(x).float() / 255
    values = perceptual_distance(Features(), original, degrade(original))
    assert m["perceptual"] == pytest.approx(values.mean().item(), rel=1e-5)
    assert m["perceptual_se"] == pytest.approx(values.std().item() / math.sqrt(50), rel=1e-4)
    assert m["perceptual"] > 0
    assert "perceptual distance by features by hand, unweighted, which is not LPIPS" in m["protocol"]


def test_the_network_looks_at_as_many_images_as_asked_from_everywhere():
    # The second half comes back in another colour.
    x = np.zeros((3000, 3, 11, 11), np.uint8)
    x[:, 0] = 200
    half = torch.tensor(1500)
    seen = []

    def change(y):
        seen.append(len(y))
        late = torch.arange(sum(seen) - len(y), sum(seen)) >= half
        return torch.where(late[:, None, None, None], y.flip(1), y)

    features = Features()
    options = {"features": features, "perceptual_images": 300}
    m = reconstruction_metrics(model(x.shape[1:], change), x, Scale(256), **options)
    assert sum(features.sizes) == 2 * 300
    assert m["perceptual"] == pytest.approx(2 / 2 / 2, abs=0.15)  # half of the images, one of the two layers
    assert m["perceptual_se"] == pytest.approx(0.5 / math.sqrt(300), rel=0.05)
    assert "perceptual distance of 300 of them by" in m["protocol"]


def test_parts_are_bounded_and_change_nothing(monkeypatch):
    x = pictures(n=2100, shape=(1, 11, 11))
    done = []
    whole = reconstruction_metrics(model(x.shape[1:], degrade), x, Binarise(256), advance=done.append)
    assert sum(done) == 2100
    sizes = []
    similarity = reconstruction._similarity

    def recording(a, b):
        sizes.append(len(a))
        return similarity(a, b)

    monkeypatch.setattr(reconstruction, "_NUMBERS", 70 * 121)
    monkeypatch.setattr(reconstruction, "_similarity", recording)
    parts = reconstruction_metrics(model(x.shape[1:], degrade), x, Binarise(256))
    assert max(sizes) == 70
    for name, value in whole.items():
        assert parts[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5)), name


@pytest.mark.parametrize(("kind", "transform"), [(np.uint8, Binarise(256)), (np.float32, Identity())])
def test_rows_that_are_read_when_asked_for_give_the_same(kind, transform):
    x = pictures(n=1100, shape=(1, 11, 11)) / (255 if kind is np.float32 else 1)
    x = x.astype(kind)
    vae = model(x.shape[1:], degrade)
    options = {"features": Features(), "perceptual_images": 50}
    lazy = Subset(x, np.arange(1100))
    assert reconstruction_metrics(vae, lazy, transform, **options) == reconstruction_metrics(
        vae, x, transform, **options
    )


@pytest.mark.parametrize("training", [True, False])
def test_reconstructions_are_deterministic_and_the_mode_is_given_back(training):
    x = pictures()
    vae = model(x.shape[1:], degrade).train(training)
    state = torch.get_rng_state()
    first = reconstruction_metrics(vae, x, Binarise(256))
    assert first == reconstruction_metrics(vae, x, Binarise(256))
    assert first != reconstruction_metrics(vae, x, Binarise(256), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.encoder.dropout.training == training


def test_one_image_has_no_standard_error():
    m = reconstruction_metrics(model((1, 16, 20), degrade), pictures(1), Scale(256))
    assert math.isfinite(m["ssim"])
    assert math.isnan(m["ssim_se"])


def test_wrong_requests():
    x = pictures()
    with pytest.raises(RequestError, match="there are no examples to reconstruct"):
        reconstruction_metrics(model(x.shape[1:]), x[:0], Scale(256))
    vectors = np.zeros((5, 3), np.float32)
    with pytest.raises(RequestError, match="features are for images of 1 or 3 channels"):
        reconstruction_metrics(model((3,)), vectors, Identity(), features=Features())
    with pytest.raises(RequestError, match="perceptual_images is 0"):
        reconstruction_metrics(model(x.shape[1:]), x, Scale(256), features=Features(), perceptual_images=0)
    four = pictures(shape=(4, 12, 12))
    with pytest.raises(RequestError, match="features are for images of 1 or 3 channels"):
        reconstruction_metrics(model((4, 12, 12)), four, Scale(256), features=Features())
