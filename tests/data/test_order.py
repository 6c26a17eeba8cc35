r"""Orders are permutations, and windows keep neighbours together."""

import numpy as np
import pytest
import torch

from vaekit.data.order import Shuffled, Windows
from vaekit.errors import RequestError

SEQUENCE = np.repeat([0, 4, 2], [50, 3, 31])


def drawn(order, seed, sequence=SEQUENCE):
    return order(len(SEQUENCE), sequence, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [Shuffled(), Windows(1), Windows(8), Windows(1000)])
def test_every_row_is_visited_once_and_a_seed_says_when(order):
    assert drawn(order, 0).sort().values.tolist() == list(range(len(SEQUENCE)))
    assert torch.equal(drawn(order, 0), drawn(order, 0))
    assert not torch.equal(drawn(order, 0), drawn(order, 1))


def test_windows_are_runs_of_one_sequence_no_longer_than_asked():
    rows = drawn(Windows(8), 0).numpy()
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(SEQUENCE[rows]) != 0)) + 1
    windows = np.split(rows, breaks)
    for window in windows:
        assert len(set(SEQUENCE[window])) == 1
    full = -(-50 // 8) + 1 + 2 + -(-31 // 8) + 1
    assert 50 // 8 + 1 + 31 // 8 <= len(windows) <= full


def test_no_two_neighbours_are_always_apart():
    together = np.zeros(len(SEQUENCE) - 1, bool)
    for seed in range(40):
        places = np.empty(len(SEQUENCE), int)
        places[drawn(Windows(4), seed).numpy()] = np.arange(len(SEQUENCE))
        together |= np.diff(places) == 1
    assert together[np.diff(SEQUENCE) == 0].all()


def test_rows_without_sequences_are_one():
    assert (np.diff(drawn(Windows(1000), 3, None).numpy()) == 1).sum() >= len(SEQUENCE) - 2


def test_a_window_needs_a_row():
    with pytest.raises(RequestError, match="at least 1 row"):
        Windows(0)
