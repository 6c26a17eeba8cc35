r"""Augmentation changes what is trained on, at every visit, and nothing else; a run with it can be resumed."""

import signal

import numpy as np
import pytest
import torch

from vaekit.data import Dataset, Split
from vaekit.data.rows import LazyRows
from vaekit.errors import Interrupted
from vaekit.training import fit


class Mirror:
    """Each image turned around with even chance; counts what it is shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, x):
        assert torch.is_grad_enabled()  # that is, in training alone
        self.seen.append(len(x))
        turned = torch.rand(len(x), device=x.device) < 0.5
        return torch.where(turned[:, None, None, None], x.flip(-1), x)

    def describe(self):
        return "mirrored"


class Silent(Mirror):
    """One that can be compiled."""

    def __call__(self, x):
        return torch.where(torch.rand(len(x), device=x.device)[:, None, None, None] < 0.5, x.flip(-1), x)


class Constant(Silent):
    """The same image whatever is shown."""

    def __call__(self, x):
        return torch.full_like(x, 16)


class FromDisk(LazyRows):
    def __init__(self, x):
        self.x, self.shape, self.dtype = x, x.shape, x.dtype

    def read(self, rows):
        return self.x[rows]


def same(a, b):
    a, b = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_every_visit_is_augmented_and_no_validation(make_plan, digits):
    mirror = Mirror()
    with_it = fit(make_plan(epochs=2, augment=mirror), digits, progress=False)
    assert mirror.seen == [100] * 12
    assert not same(with_it, fit(make_plan(epochs=2), digits, progress=False))


def test_what_is_trained_on_is_what_augmentation_gives_and_what_validates_is_not(make_plan, digits):
    white = np.full_like(digits.train.x, 16)
    on_white = Dataset("white", Split(white), digits.validation, digits.test, levels=17, suggested="bernoulli")
    expected = fit(make_plan(epochs=2), on_white, progress=False)
    found = fit(make_plan(epochs=2, augment=Constant()), digits, progress=False)
    assert same(expected, found)
    assert expected.history["validation_elbo"] == found.history["validation_elbo"]


def test_streamed_rows_are_augmented_like_those_in_memory(make_plan, digits):
    lazy = {name: Split(FromDisk(split.x), split.labels) for name, split in digits.splits.items()}
    streamed = Dataset("lazy", **lazy, levels=17, suggested="bernoulli")
    whole = fit(make_plan(epochs=2, augment=Silent()), digits, progress=False)
    assert same(whole, fit(make_plan(epochs=2, augment=Silent()), streamed, progress=False, checked=True))


@pytest.mark.parametrize("step", [1, 9])
def test_a_run_with_augmentation_resumes_to_the_bit(tmp_path, make_plan, digits, signal_at, step):
    whole = fit(make_plan(augment=Silent()), digits, progress=False)
    with signal_at(step), pytest.raises(Interrupted):
        fit(make_plan(augment=Silent()), digits, directory=tmp_path, progress=False)
    torch.manual_seed(9)
    resumed = fit(make_plan(augment=Silent(), seed=5), digits, directory=tmp_path, resume=True, progress=False)
    assert same(whole, resumed)


@pytest.mark.slow
def test_a_compiled_run_with_augmentation_resumes_to_the_bit(tmp_path, make_plan, digits):
    whole = fit(make_plan(augment=Silent(), epochs=3), digits, compile=True, progress=False)
    assert whole.facts["compiled"]
    torch.compiler.reset()
    rows = []

    def stop(row):
        rows.append(row)
        if len(rows) == 1:
            signal.raise_signal(signal.SIGINT)

    options = {"augment": Silent(), "epochs": 3}
    with pytest.raises(Interrupted):
        fit(make_plan(**options), digits, directory=tmp_path, compile=True, progress=False, on_epoch=stop)
    torch.compiler.reset()
    resumed = fit(make_plan(**options), digits, directory=tmp_path, resume=True, progress=False)
    assert resumed.facts["compiled"]
    assert same(whole, resumed)
