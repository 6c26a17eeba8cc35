r"""Training on data that are read batch by batch is the training on the same data in memory."""

import numpy as np
import pytest
import torch

from vaekit.data import Dataset, Split
from vaekit.data.rows import LazyRows
from vaekit.errors import Interrupted
from vaekit.training import fit


class FromDisk(LazyRows):
    """Rows that are read when they are asked for, and how many were."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.most = x, x.shape, x.dtype, 0

    def read(self, rows):
        self.most = max(self.most, len(rows))
        return self.x[rows]


def lazily(data: Dataset) -> Dataset:
    splits = {name: Split(FromDisk(split.x), split.labels) for name, split in data.splits.items()}
    return Dataset(data.name, **splits, levels=data.levels, suggested=data.suggested)


@pytest.mark.parametrize("train_on", ["train", "all"])
def test_streamed_data_give_the_same_weights(make_plan, digits, train_on):
    whole = fit(make_plan(epochs=2, train_on=train_on), digits, seed=3, progress=False)
    streamed = fit(make_plan(epochs=2, train_on=train_on), data := lazily(digits), seed=3, progress=False, checked=True)
    assert whole.model.state_dict().keys() == streamed.model.state_dict().keys()
    for name, tensor in streamed.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name
    assert data.train.x.most <= 100  # a batch: it never asked for everything
    np.testing.assert_array_equal(streamed.history["validation_elbo"], whole.history["validation_elbo"])


def test_a_streamed_run_resumes_to_the_bit(make_plan, digits, tmp_path, signal_at):
    whole = fit(make_plan(epochs=2), lazily(digits), seed=3, progress=False)
    with signal_at(9), pytest.raises(Interrupted):  # in the middle of the second epoch
        fit(make_plan(epochs=2), lazily(digits), directory=tmp_path, seed=3, progress=False)
    resumed = fit(make_plan(epochs=2), lazily(digits), directory=tmp_path, seed=3, progress=False, resume=True)
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name
