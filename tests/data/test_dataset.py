import dataclasses
import hashlib

import numpy as np
import pytest

from vaekit.data import Dataset, Split, from_arrays
from vaekit.data.assembly import assemble
from vaekit.data.rows import Subset
from vaekit.errors import RequestError


def rows(split):
    return {int(row[0]) for row in split.x}


@pytest.mark.parametrize(("n", "validation", "test"), [(10, 0.1, 0.1), (3, 0.1, 0.1), (1000, 0.25, 50), (101, 0, 0.5)])
def test_splits_are_disjoint_and_complete(n, validation, test):
    x = np.arange(n, dtype=np.int32)[:, None]
    data = from_arrays(x, np.arange(n), validation=validation, test=test)
    sets = [rows(split) for split in data.splits.values()]
    assert sum(len(split) for split in data.splits.values()) == n
    assert set.union(*sets) == set(range(n))
    for split in data.splits.values():
        assert np.array_equal(split.labels, split.x[:, 0])  # labels stay with their examples
    if validation:
        assert len(data.validation) == max(1, round(n * validation))


def test_split_is_fixed_by_the_seed_for_good():
    x = np.arange(10.0)[:, None]
    assert from_arrays(x).test.x.ravel().tolist() == [5.0]
    assert from_arrays(x, seed=1).test.x.ravel().tolist() != from_arrays(x, seed=2).test.x.ravel().tolist()
    assert from_arrays(x, seed=3).fingerprint == from_arrays(x, seed=3).fingerprint


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "levels"),
    [
        (np.full((20, 5, 4), 7, np.uint8), (1, 5, 4), np.uint8, 256),
        (np.ones((20, 5, 4), np.uint8), (1, 5, 4), np.uint8, 2),
        (np.ones((20, 5, 4), bool), (1, 5, 4), np.uint8, 2),
        (np.full((20, 5, 4, 3), 9, np.uint8), (3, 5, 4), np.uint8, 256),
        (np.full((20, 3, 5, 4), 9, np.uint8), (3, 5, 4), np.uint8, 256),
        (np.full((20, 3, 5, 3), 9, np.uint8), (3, 5, 3), np.uint8, 256),
        (np.zeros((20, 5, 4, 1)), (1, 5, 4), np.float32, None),
        (np.zeros((20, 5, 4)), (5, 4), np.float32, None),
        (np.zeros((20, 7), np.int64), (7,), np.float32, None),
        (np.zeros((20, 7), ">f8"), (7,), np.float32, None),
        (np.zeros((20, 7), np.float16), (7,), np.float32, None),
        ([[1, 2]] * 20, (2,), np.float32, None),
    ],
)
def test_layout_and_type(x, shape, dtype, levels):
    data = from_arrays(x)
    assert (data.shape, data.train.x.dtype, data.levels) == (shape, dtype, levels)
    assert data.suggested == ("bernoulli" if levels == 2 else "gaussian")
    assert data.train.x.flags.c_contiguous


def test_channels_last_keeps_each_pixel():
    x = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
    data = from_arrays(x, np.arange(12))
    for image, label in zip(data.train.x, data.train.labels, strict=True):
        assert np.array_equal(image, x[label].transpose(2, 0, 1))


def test_levels_are_those_of_all_splits_together():
    bits, grey = np.ones((5, 2, 2), np.uint8), np.full((5, 2, 2), 200, np.uint8)
    data = assemble({"train": (bits, None), "validation": (bits, None), "test": (grey, None)}, name="mixed")
    assert data.levels == 256
    data = assemble({"train": (bits, None), "test": (grey / 255, None)}, name="mixed")
    assert data.levels is None
    with pytest.raises(RequestError, match="shape"):
        assemble({"train": (np.ones((5, 2)), None), "test": (np.ones((5, 3)), None)}, name="mixed")


def bad(value, dtype=np.float64):
    x = np.zeros((10, 3), dtype)
    x[4, 1] = value
    x[7, 2] = value
    return x


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (bad(np.nan), r"holds 2 of 30 values that are NaN or infinite, the first nan at \(4, 1\)"),
        (bad(-np.inf, np.float32), r"the first -inf at \(4, 1\)"),
        (bad(1e300), r"holds 1e\+300 at \(4, 1\); expected magnitudes below 3.4e38"),
        (np.zeros((0, 3)), r"shape \(0, 3\) and is empty"),
        (np.zeros((3, 0)), r"shape \(3, 0\) and is empty"),
        (np.zeros(10), r"shape \(10,\); expected one example a row"),
        (np.array(3.0), "expected one example a row"),
        (np.array([[1, None]] * 9), "dtype object; expected bool, integers or floats"),
        (np.array([["a"]] * 9), "dtype <U1"),
        (np.zeros((9, 2), complex), "dtype complex128"),
        (np.zeros((2, 2)), "there are 2 examples, and 1 for validation and 1 for test leave none"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(x, said):
    with pytest.raises(RequestError, match=said) as caught:
        from_arrays(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0] * 9, r"labels have shape \(9,\); expected \(10,\)"),
        (np.zeros((10, 1), int), r"labels have shape \(10, 1\)"),
        ([0.5] * 10, "not class numbers or names"),
        ([np.nan] * 10, "not class numbers or names"),
        ([np.inf] * 10, "not class numbers or names"),
        ([None] * 10, "not class numbers or names"),
    ],
)
def test_wrong_labels_are_refused(labels, said):
    with pytest.raises(RequestError, match=said):
        from_arrays(np.zeros((10, 2)), labels)


def test_names_as_labels():
    data = from_arrays(np.arange(12.0)[:, None], ["dog", "cat", "ant"] * 4)
    assert data.label_names == ("ant", "cat", "dog")
    for split in data.splits.values():
        assert [data.label_names[i] for i in split.labels] == [["dog", "cat", "ant"][int(x) % 3] for x in split.x[:, 0]]
    assert from_arrays(np.zeros((10, 2)), [1.0, 2.0] * 5).train.labels.dtype == np.int64


@pytest.mark.parametrize("options", [{"validation": 1.0}, {"test": -0.1}, {"test": "a"}, {"validation": True}])
def test_wrong_parts_are_refused(options):
    with pytest.raises(RequestError, match="expected a part from 0 to below 1"):
        from_arrays(np.zeros((10, 2)), **options)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "a"])
def test_wrong_seed_is_refused(seed):
    with pytest.raises(RequestError, match="seed is"):
        from_arrays(np.zeros((10, 2)), seed=seed)


def test_fingerprint_sees_values_labels_shapes_types_and_splits():
    x = np.arange(40, dtype=np.uint8).reshape(10, 4)
    split = Split(x, np.zeros(10, np.int64))

    def of(**changed):
        return Dataset(**{"name": "a", "train": split, "validation": split, "test": split, "levels": 256} | changed)

    other = x.copy()
    other[3, 3] += 1
    prints = [
        of().fingerprint,
        of(train=Split(other, split.labels)).fingerprint,
        of(test=Split(other, split.labels)).fingerprint,
        of(train=Split(x)).fingerprint,
        of(train=Split(x, np.ones(10, np.int64))).fingerprint,
        of(**{name: Split(x.reshape(10, 2, 2), split.labels) for name in ("train", "validation", "test")}).fingerprint,
        of(test=Split(x[:9], split.labels[:9])).fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert all(len(p) == 64 for p in prints)
    # The name and the note are not data; nor is the layout in memory.
    fortran = Split(np.asfortranarray(x), split.labels)
    assert of(name="b", note="other", train=fortran).fingerprint == prints[0]
    assert dataclasses.replace(of(), reference="elsewhere").fingerprint == prints[0]
    assert from_arrays(x, validation=0).fingerprint  # an empty split has one too


def test_dataset_refuses_what_does_not_match_its_levels():
    split = Split(np.zeros((5, 2)))
    with pytest.raises(RequestError, match="stored as float64; expected float32"):
        Dataset(name="a", train=split, validation=split, test=split, levels=None)


def test_fingerprint_is_the_hash_of_what_it_says():
    x, labels = np.arange(24, dtype=np.uint8).reshape(4, 6), np.arange(4)
    data = Dataset("a", Split(x, labels), Split(x[:1]), Split(x[2:]), 256)
    said = hashlib.sha256()
    for head, part in (
        ("train.x |u1 (4, 6);", x),
        ("train.labels <i8 (4,);", labels),
        ("validation.x |u1 (1, 6);", x[:1]),
        ("test.x |u1 (2, 6);", x[2:]),
    ):
        said.update(head.encode() + part.tobytes())
    assert data.fingerprint == said.hexdigest()


def test_fingerprint_of_large_data_reads_some_rows_in_memory_or_not(monkeypatch):
    monkeypatch.setattr("vaekit.data.dataset._READ_WHOLE", 5000 * 3 + 2 * 5000 * 3)
    x, labels = np.zeros((5000, 3), np.uint8), np.zeros(5000, np.int64)
    split = Split(x, labels)
    small = Dataset("a", split, split, split, 256).fingerprint
    monkeypatch.setattr("vaekit.data.dataset._READ_WHOLE", 5000 * 3 + 2 * 5000 * 3 - 1)
    large = Dataset("a", split, split, split, 256).fingerprint
    assert large != small
    lazy = Split(Subset(x, np.arange(5000)), labels)
    assert Dataset("a", lazy, lazy, lazy, 256).fingerprint == large

    def with_one(row, split=split):
        other = x.copy()
        other[row] = 1
        return Dataset("a", Split(other, labels), split, split, 256).fingerprint

    assert with_one(0) != large != with_one(4999)
    assert sum(with_one(row) != large for row in range(2000, 2050)) == 10  # a fifth of the rows are read
    other = labels.copy()
    other[77] = 1
    assert Dataset("a", Split(x, other), split, split, 256).fingerprint != large
    assert Dataset("a", Split(x[:-1], labels[:-1]), split, split, 256).fingerprint != large


# Sequences.


def in_sequences(lengths, **options):
    """Rows that are (sequence, time), in sequences of these lengths, numbered from the last down."""
    numbers = range(len(lengths))[::-1]
    x = np.array([[s, t] for s, n in zip(numbers, lengths, strict=True) for t in range(n)], np.float32)
    return from_arrays(x, context=x[:, 1:] / 30, sequence=x[:, 0].astype(np.int64), **options)


def test_the_ends_of_sequences_are_held_out_and_every_row_keeps_what_is_known_of_it():
    data = in_sequences([10, 30, 20], validation=0.2, test=0.1)
    for split in data.splits.values():
        assert split.sequence.tolist() == split.x[:, 0].tolist()
        np.testing.assert_array_equal(split.context, split.x[:, 1:] / np.float32(30))
        for number, span in split.spans.items():
            times = split.x[span, 1]
            assert set(split.x[span, 0]) == {number}
            assert (np.diff(times) == 1).all()  # no holes
    ends = {
        name: {k: split.x[span, 1].tolist() for k, span in split.spans.items()} for name, split in data.splits.items()
    }
    assert list(ends["train"]) == [2, 1, 0]
    for number, length in ((2, 10), (1, 30), (0, 20)):
        assert [time for name in ends for time in ends[name][number]] == list(range(length))
        assert (len(ends["validation"][number]), len(ends["test"][number])) == (length * 2 // 10, length // 10)
    assert "cut from the end of every training sequence" in data.note


def test_a_sequence_too_short_to_be_cut_is_trained_on_whole():
    data = in_sequences([2, 30])
    assert [split.spans.keys() for split in data.splits.values()] == [{1, 0}, {0}, {0}]
    assert len(in_sequences([2, 3], validation=0, test=0).train) == 5
    with pytest.raises(
        RequestError, match=r"validation is 40, and no sequence is long enough .* the longest having 30"
    ):
        in_sequences([2, 30], validation=40)


def test_taking_rows_keeps_sequences_and_refuses_to_tear_them():
    split = in_sequences([4, 4], validation=0, test=0).train
    some = split.take([0, 3, 5])
    assert (some.sequence.tolist(), some.x[:, 1].tolist(), some.labels) == ([1, 1, 0], [0, 3, 1], None)
    assert some.spans == {1: slice(0, 2), 0: slice(2, 3)}
    assert split.take([]).spans == {}
    with pytest.raises(RequestError, match="the rows of a sequence are apart"):
        split.take([0, 5, 3])


@pytest.mark.parametrize(
    ("sequence", "said"),
    [
        ([0, 0, 1], r"sequence has shape \(3,\); expected \(4,\)"),
        ([0, 1, 0, 1], "the rows of a sequence are apart"),
        ([0.0, 0.0, 1.0, 1.0], "the sequences of train are float64"),
        (["a", "a", "b", "b"], "the sequences of train are <U1"),
    ],
)
def test_wrong_sequences_are_refused(sequence, said):
    with pytest.raises(RequestError, match=said):
        from_arrays(np.zeros((4, 2)), sequence=sequence, validation=0, test=0)


def test_the_fingerprint_knows_sequences_and_nothing_else_has_changed():
    x = np.arange(40.0).reshape(20, 2)
    one, two = ([0] * 10 + [1] * 10), ([0] * 9 + [1] * 11)
    marks = {from_arrays(x, sequence=s, validation=0, test=0).fingerprint for s in (None, one, two)}
    assert len(marks) == 3
