import math
from itertools import product

import pytest
import torch
from torch import nn

from vaekit.errors import RequestError
from vaekit.evaluation import kernel as module
from vaekit.evaluation.kernel import kernel_distance, polynomial_kernel


def generator(seed):
    return torch.Generator().manual_seed(seed)


def k(a, b):
    return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3


def by_hand(x, y):
    """The estimate in loops over Python's numbers."""
    x, y = x.double().tolist(), y.double().tolist()
    n, m = len(x), len(y)
    own_x = sum(k(x[i], x[j]) for i, j in product(range(n), repeat=2) if i != j) / (n * (n - 1))
    own_y = sum(k(y[i], y[j]) for i, j in product(range(m), repeat=2) if i != j) / (m * (m - 1))
    return own_x + own_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_the_kernel_by_hand():
    x, y = torch.randn(2, 5, 3, generator=generator(0))
    found = polynomial_kernel(x, y)
    for i, j in product(range(5), repeat=2):
        assert found[i, j].item() == pytest.approx(k(x[i].double().tolist(), y[j].double().tolist()))


def test_known_values():
    # One feature: k(a, b) = (ab + 1)^3, so a sample of zeros and one of ones have kernels 1, 8 and 1 across.
    zeros, ones = torch.zeros(4, 1), torch.ones(5, 1)
    assert kernel_distance(zeros, ones) == pytest.approx((1 + 8 - 2, 0))
    assert kernel_distance(ones, ones) == pytest.approx((0, 0))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (7, 4), (4, 9)])
def test_small_samples_by_hand_in_parts_of_any_size(monkeypatch, n, m):
    x, y = torch.randn(n, 3, generator=generator(0)), torch.randn(m, 3, generator=generator(1)) + 0.5
    expected = by_hand(x, y)
    errors = []
    for entries in (1, 10, 17, 2**20):
        monkeypatch.setattr(module, "ENTRIES", entries)
        value, error = kernel_distance(x, y)
        assert value == pytest.approx(expected, rel=1e-10)
        errors.append(error)
    assert errors == pytest.approx([errors[0]] * 4, rel=1e-9)


def test_the_standard_error_is_the_jackknife():
    x, y = torch.randn(12, 2, generator=generator(0)), torch.randn(9, 2, generator=generator(1)) + 0.5
    variance = 0.0
    for here, there in ((x, y), (y, x)):
        left = torch.tensor(
            [by_hand(torch.cat([here[:i], here[i + 1 :]]), there) for i in range(len(here))], dtype=torch.float64
        )
        variance += (len(here) - 1) / len(here) * (left - left.mean()).square().sum().item()
    value, error = kernel_distance(x, y)
    assert value == pytest.approx(by_hand(x, y), rel=1e-10)
    assert error == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_no_bias_at_any_count_and_an_honest_error():
    g = generator(0)
    for shift, truth in ((0.0, 0.0), (0.5, None)):
        few, many = (
            torch.tensor(
                [
                    kernel_distance(torch.randn(n, 2, generator=g), torch.randn(n, 2, generator=g) + shift)
                    for _ in range(r)
                ],
                dtype=torch.float64,
            ).T
            for n, r in ((4, 500), (40, 120))
        )
        noise = [sample[0].std() / math.sqrt(sample.shape[1]) for sample in (few, many)]
        assert abs(few[0].mean() - many[0].mean()) < 4 * math.hypot(*noise)
        if truth is not None:
            assert abs(few[0].mean() - truth) < 4 * noise[0]
            assert few[0].min() < 0
        # The jackknife errs on the safe side where the distance is near 0.
        assert 0.85 < (many[1].square().mean().sqrt() / many[0].std()) < 1.6


def test_order_does_not_matter_and_neither_does_which_is_which():
    x, y = torch.randn(2, 40, 4, generator=generator(0))
    found = kernel_distance(x, y + 1)
    assert kernel_distance(x.flip(0), y.roll(7, 0) + 1) == pytest.approx(found, rel=1e-9)
    assert kernel_distance(y + 1, x) == pytest.approx(found, rel=1e-9)


def test_too_few_examples_are_refused():
    x = torch.randn(5, 2, generator=generator(0))
    with pytest.raises(RequestError, match="2 and 5 examples; expected at least 3 of each"):
        kernel_distance(x[:2], x)


class Features(nn.Module):
    num_features = 6

    def forward(self, x):
        return x.flatten(1)[:, :6]


def test_agreement_with_torchmetrics_on_all_pairs():
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = torch.rand(2, 60, 3, 4, 4, generator=generator(0))
    y = y.square()
    theirs = KernelInceptionDistance(feature=Features(), normalize=True, subsets=1, subset_size=60)
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    assert kernel_distance(Features()(x), Features()(y))[0] == pytest.approx(theirs.compute()[0].item(), rel=1e-4)
