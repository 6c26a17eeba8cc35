import warnings

import numpy as np
import pytest
import torch

from vaekit.data import Binarise, Dequantise, Identity, Scale, default_transform, from_arrays, transforms, view
from vaekit.errors import RequestError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


ALL = [Identity(), Scale(256), Scale(2), Binarise(256), Binarise(17), Binarise(2), Dequantise(256)]


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_float32_of_the_same_shape_and_x_untouched(transform):
    for x in (torch.randint(0, 2, (3, 1, 5, 7), dtype=torch.uint8), torch.rand(3, 4), torch.zeros(0, 3)):
        before = x.clone()
        y = transform(x, seeded())
        assert (y.dtype, y.shape) == (torch.float32, x.shape)
        assert torch.equal(x, before)
        y += 1  # nor do bytes share memory with the result
        assert torch.equal(x, before) or x.is_floating_point()
        assert transform.describe()


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_same_seed_same_draw(transform):
    x = torch.randint(0, 2, (50, 40), dtype=torch.uint8) * (getattr(transform, "levels", 2) // 2)
    assert torch.equal(transform(x, seeded(1)), transform(x, seeded(1)))
    assert torch.equal(transform(x, seeded(1)), transform(x, seeded(2))) != transform.random


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_scale(levels):
    x = torch.arange(levels, dtype=torch.uint8)
    torch.testing.assert_close(Scale(levels)(x), torch.linspace(0, 1, levels))
    assert Scale(levels)(x)[[0, -1]].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("levels", [3, 17, 100, 255, 256])
def test_binarise_probability_over_every_possible_draw(monkeypatch, levels):
    # All 65,536 draws for every level: the probability is then counted, not estimated.
    draws = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    x = torch.arange(levels, dtype=torch.uint8)
    monkeypatch.setattr(transforms, "_sixteen_bits", lambda x, generator: draws[:, None].expand(x.shape))
    counted = Binarise(levels)(x.expand(2**16, levels)).double().mean(0)
    assert counted[0] == 0
    assert counted[-1] == 1
    assert (counted - torch.arange(levels) / (levels - 1)).abs().max() <= 2**-16


@pytest.mark.parametrize("levels", [17, 256])
def test_binarise_statistics(levels):
    n = 20_000
    x = torch.arange(levels, dtype=torch.uint8).expand(n, levels).contiguous()
    y = Binarise(levels)(x, seeded())
    p = torch.arange(levels) / (levels - 1)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert y[:, 0].sum() == 0
    assert (1 - y[:, -1]).sum() == 0
    # 256 means at 5 standard errors: a false alarm once in 7,000 seeds, and the seed is fixed.
    assert ((y.mean(0) - p).abs() <= 5 * (p * (1 - p) / n).sqrt() + 1e-6).all()
    # Neighbours share a 64-bit draw: they must still be independent.
    z = (y - p)[:, 1:-1] / (p * (1 - p))[1:-1].sqrt()
    for lag in range(1, 6):
        assert (z[:, lag:] * z[:, :-lag]).mean().abs() < 5 / (n * (levels - 2 - lag)) ** 0.5


def test_sixteen_bits_are_uniform_in_every_place():
    x = torch.empty(2**20 + 3, dtype=torch.uint8)
    drawn = transforms._sixteen_bits(x, seeded()).int() + 2**15
    assert (drawn.min(), drawn.max()) == (0, 2**16 - 1)
    for place in range(4):
        part = drawn[place::4]
        counts = torch.bincount(part // 256, minlength=256).double()
        expected = len(part) / 256
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi2 - 255) < 5 * (2 * 255) ** 0.5
        low = torch.bincount(part % 256, minlength=256).double()
        assert abs(((low - expected) ** 2 / expected).sum() - 255) < 5 * (2 * 255) ** 0.5


def test_binarise_floats_are_probabilities():
    p = torch.tensor([0.0, 0.3, 0.9, 1.0]).expand(50_000, 4)
    y = Binarise(256)(p, seeded())
    assert y[:, 0].sum() == 0
    assert y[:, 3].sum() == 50_000
    torch.testing.assert_close(y.mean(0), p[0], atol=0.011, rtol=0)


def test_binarise_of_bits_is_the_bits():
    x = torch.randint(0, 2, (9, 9), dtype=torch.uint8)
    assert torch.equal(Binarise(2)(x), x.float())
    assert torch.equal(Binarise(2)(x.bool()), x.float())
    assert not Binarise(2).random


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_dequantise_stays_within_its_level_and_is_uniform(levels):
    x = torch.arange(levels, dtype=torch.uint8).expand(2000, levels).contiguous()
    y = Dequantise(levels)(x, seeded()).double()
    assert y.min() >= 0
    assert y.max() < 1
    u = y * levels - x
    assert u.min() > -1e-5
    assert u.max() < 1 + 1e-5
    n = u.numel()
    assert abs(u.mean() - 0.5) < 5 / (12 * n) ** 0.5 + 2**-16
    assert abs(u.var() - 1 / 12) < 5 * (1 / 180 / n) ** 0.5


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_traces_whole(transform):
    pytest.importorskip("torch._dynamo")
    compiled = torch.compile(lambda x: transform(x), fullgraph=True, backend="aot_eager")
    x = torch.randint(0, 2, (200, 784), dtype=torch.uint8) * (getattr(transform, "levels", 2) - 1)
    y = compiled(x)
    if not transform.random or isinstance(transform, Binarise):
        torch.testing.assert_close(y, transform(x))  # only the ends, which are not random
    else:
        assert ((y * 256).floor() == x).all()


@pytest.mark.slow
@pytest.mark.parametrize("transform", [Binarise(256), Dequantise(256)], ids=str)
def test_compiled_statistics(transform):
    torch.manual_seed(0)
    compiled = torch.compile(lambda x: transform(x), fullgraph=True)
    x = torch.arange(256, dtype=torch.uint8).expand(4000, 256).contiguous()
    y, p = compiled(x), torch.arange(256) / 255
    assert not torch.equal(y, compiled(x))
    if isinstance(transform, Binarise):
        assert y[:, 0].sum() == 0
        assert (1 - y[:, -1]).sum() == 0
        assert ((y.mean(0) - p).abs() <= 5 * (p * (1 - p) / 4000).sqrt() + 1e-6).all()
    else:
        assert ((y * 256).floor() == x).all()
        assert abs((y * 256 - x).mean() - 0.5) < 0.005


@pytest.mark.parametrize("kind", [Scale, Binarise, Dequantise])
@pytest.mark.parametrize("levels", [1, 0, -2, 2.5, None, 2**17])
def test_wrong_levels_are_refused(kind, levels):
    with pytest.raises(RequestError, match="levels is"):
        kind(levels)


def test_default_transform():
    grey = from_arrays(np.full((20, 4, 4), 9, np.uint8))
    bits = from_arrays(np.ones((20, 4, 4), np.uint8))
    real = from_arrays(np.zeros((20, 4)))
    assert default_transform(grey, "bernoulli") == Binarise(256)
    assert default_transform(grey, "gaussian") == Scale(256)
    assert default_transform(grey, "continuous-bernoulli") == Scale(256)
    assert default_transform(bits, "bernoulli") == Scale(2)
    assert default_transform(real, "gaussian") == Identity()


def test_view_is_in_order_and_in_blocks_of_a_thousand():
    x = np.random.default_rng(0).integers(0, 256, (2345, 6), dtype=np.uint8)
    blocks = list(view(x, Scale(256)))
    assert [len(block) for block in blocks] == [1000, 1000, 345]
    torch.testing.assert_close(torch.cat(blocks), torch.from_numpy(x) / 255)
    assert list(view(x[:0], Scale(256))) == []


def test_view_depends_on_seed_and_block_alone():
    x = np.full((3000, 8), 128, np.uint8)
    transform = Binarise(256)
    once = list(view(x, transform, seed=5))
    torch.manual_seed(99)
    again = []
    for block in view(torch.from_numpy(x), transform, seed=5):
        torch.rand(7)  # what a caller draws in between, in whatever batches, does not matter
        again.append(block)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    # A later block is the same whatever came before it.
    changed = x.copy()
    changed[:1000] = 3
    assert torch.equal(list(view(changed, transform, seed=5))[2], once[2])
    assert torch.equal(list(view(x[:2000], transform, seed=5))[1], once[1])
    # Blocks and seeds differ from each other, and the caller's generator is left alone.
    assert not torch.equal(once[0], once[1])
    assert not torch.equal(next(view(x, transform, seed=6)), once[0])
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(view(x, transform))
    assert torch.equal(torch.rand(3), expected)


def test_view_of_a_read_only_array_is_silent_and_a_copy():
    x = np.zeros((5, 3), np.float32)
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = next(view(x, Identity()))
    block += 1
    assert x.sum() == 0


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_view_refuses_a_wrong_seed_at_once(seed):
    with pytest.raises(RequestError, match="seed is"):
        view(np.zeros((5, 3), np.uint8), Binarise(256), seed=seed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_view_is_the_same_on_every_device():
    x = np.full((1500, 8), 128, np.uint8)
    for here, there in zip(view(x, Binarise(256)), view(x, Binarise(256), device="cuda"), strict=True):
        assert torch.equal(here, there.cpu())
