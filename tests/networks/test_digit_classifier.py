import json
from pathlib import Path

import pytest
import torch

from vaekit.data import load_dataset
from vaekit.networks.digit_classifier import DigitClassifier
from vaekit.networks.pretrained import FILES, WEIGHTS, shipped_weights

RECORD = Path(__file__).parents[2] / "docs" / "results" / "digit_features.json"


@pytest.fixture(scope="module")
def net():
    net = DigitClassifier().eval()
    net.load_state_dict(shipped_weights("digits"))
    return net


def digits(n):
    test = load_dataset("mnist").test
    rows = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:n]
    return torch.from_numpy(test.x)[rows].float() / 255, torch.from_numpy(test.labels)[rows]


@torch.no_grad()
def accuracy(net, x, labels):
    found = torch.cat([net(part.contiguous(memory_format=torch.channels_last)).argmax(1) for part in x.split(500)])
    return (found == labels).double().mean().item()


def blurred(x):
    """A binomial kernel of a standard deviation of 0.7 pixels, written apart from that of the training."""
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    return torch.nn.functional.conv2d(x, torch.outer(kernel, kernel)[None, None], padding=1)


def test_it_knows_digits_that_are_grey_binary_or_soft(net):
    x, labels = digits(600)
    assert accuracy(net, x, labels) > 0.98
    assert accuracy(net, torch.bernoulli(x, generator=torch.Generator().manual_seed(0)), labels) > 0.98
    assert accuracy(net, (x > 0.5).float(), labels) > 0.98
    assert accuracy(net, blurred(x), labels) > 0.98


@torch.no_grad()
def test_both_halves_of_the_features_weigh_the_same(net):
    features = net.features(digits(600)[0].contiguous(memory_format=torch.channels_last))
    hidden, averages = (half.var(0).sum().item() for half in features.chunk(2, dim=1))
    assert hidden == pytest.approx(1, abs=0.1)
    assert averages == pytest.approx(1, abs=0.1)
    # Enough directions for a covariance: no unit is silent.
    assert (features.std(0) > 1e-3).all()


@torch.no_grad()
def test_features_are_made_of_the_layers(net):
    x = torch.rand(3, 1, 28, 28)
    maps = net.layers(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 28, 28), (48, 14, 14), (64, 5, 5)]
    features = net.features(x)
    torch.testing.assert_close(features[:, 64:], maps[-1].mean((2, 3)))
    torch.testing.assert_close(features[:, :64], net.hidden(maps[-1].flatten(1)).relu())
    torch.testing.assert_close(net(x), net.output(features[:, :64]))


def test_the_record_is_of_the_weights_that_are_shipped():
    record = json.loads(RECORD.read_text())
    assert record["sha256"] == WEIGHTS["digits"]
    assert record["bytes"] == (FILES / "digits.safetensors").stat().st_size < 500_000
    assert record["accuracy"]["test"]["grey"] >= 0.993


@pytest.mark.slow
def test_the_recorded_accuracy_is_found_again(net):
    expected = json.loads(RECORD.read_text())["accuracy"]["test"]
    x, labels = digits(10_000)
    assert accuracy(net, x, labels) == pytest.approx(expected["grey"], abs=1e-4)
    assert accuracy(net, (x > 0.5).float(), labels) == pytest.approx(expected["thresholded"], abs=1e-4)
