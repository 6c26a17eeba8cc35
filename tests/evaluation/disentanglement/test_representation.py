import numpy as np
import pytest

from vaekit.errors import RequestError
from vaekit.evaluation.disentanglement import Representation, beta_vae_score, factor_vae_score, representation

from .grid import DATA, Grid, K, identity


def test_scores_are_repeated_with_draws_of_their_own_and_averaged_exactly():
    drawn = []

    def score(generator):
        drawn.append(generator.uniform())
        return {"a": drawn[-1], "b": 1 / 3}

    found = representation.repeated(score, 4, 7)
    assert list(found) == ["a", "a_se", "b", "b_se"]
    assert len(set(drawn)) == 4
    assert found["a"] == pytest.approx(np.mean(drawn), abs=1e-15)
    assert found["a_se"] == pytest.approx(np.std(drawn, ddof=1) / 2, abs=1e-15)
    assert (found["b"], found["b_se"]) == (1 / 3, 0)


class Recording(Representation):
    """Remember which combinations were asked for."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = []

    def __call__(self, factors):
        self.asked.append(factors.copy())
        return super().__call__(factors)


def test_codes_are_those_of_the_examples_and_each_is_encoded_once():
    seen, blocks, done = [], [], []

    def encode(x):
        seen.append(x.copy())
        blocks.append(len(x))
        return identity(x).astype(np.float32)

    codes = Representation(encode, DATA, advance=done.append)
    factors = codes.draw(6000, np.random.default_rng(0))
    expected = identity(factors).astype(np.float32)
    first = codes(factors)
    assert first.dtype == np.float64
    assert np.array_equal(first, expected)
    assert max(blocks) <= 1000
    assert sum(done) == sum(blocks) == len(np.unique(factors, axis=0))
    again = codes(factors[::-1])
    assert np.array_equal(again, expected[::-1])
    assert sum(done) == len(np.unique(factors, axis=0))
    more = codes.draw(6000, np.random.default_rng(1))
    assert np.array_equal(codes(more), identity(more).astype(np.float32))
    everything = np.concatenate(seen)
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_large_grids_are_not_remembered(monkeypatch):
    monkeypatch.setattr(representation, "_REMEMBERED", 100)
    done = []
    codes = Representation(identity, DATA, advance=done.append)
    factors = codes.draw(500, np.random.default_rng(0))
    for _ in range(2):
        assert np.array_equal(codes(factors), identity(factors))
    assert sum(done) == 1000


def test_factors_of_one_class_are_left_out():
    data = Grid((1, 3, 1, 4))
    codes = Representation(lambda x: x, data)
    assert codes.sizes == (3, 4)
    assert codes.names == ("factor 1", "factor 3")
    z, factors = codes.sample(50, np.random.default_rng(0))
    assert factors.shape == (50, 2)
    assert np.array_equal(z[:, [1, 3]], factors)
    assert not z[:, [0, 2]].any()


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda x: x[:, 0], r"codes of 10 examples have shape \(10,\); expected \(10, latent_dim\)"),
        (lambda x: x[:5], r"shape \(5, 6\)"),
        (lambda x: x[:, :0], r"shape \(10, 0\)"),
        (lambda x: x * np.nan, "codes are NaN or infinite"),
        (lambda x: x / 0, "codes are NaN or infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_useless_codes_are_refused(encode, said):
    with pytest.raises(RequestError, match=said):
        Representation(encode, DATA)(DATA.factors.classes(np.arange(10)))


def test_pairs_of_the_beta_vae_metric_agree_in_one_factor():
    codes = Recording(identity, DATA)
    beta_vae_score(codes, pairs=40, train=600, evaluation=60, repeats=1)
    first, second = (np.concatenate(codes.asked[half::2]) for half in (0, 1))
    same = (first == second).reshape(660, 40, K)
    held = same.all(axis=1)
    assert (held.sum(axis=1) == 1).all()
    counts = held[:600].sum(axis=0)
    assert counts.tolist() == [100] * K
    # The others agree by chance alone.
    sizes = np.array(DATA.factor_sizes)
    others = np.where(held[:, None], np.nan, same)
    assert np.nanmean(others, axis=(0, 1)) == pytest.approx(1 / sizes, abs=0.02)
    assert held.argmax(axis=1).tolist() != sorted(held.argmax(axis=1))


def test_batches_of_the_factor_vae_metric_hold_one_factor_still():
    codes = Recording(identity, DATA)
    factor_vae_score(codes, batch=40, train=600, evaluation=60, scale=500, repeats=1)
    assert len(codes.asked[0]) == 500
    factors = np.concatenate(codes.asked[1:]).reshape(660, 40, K)
    held = (factors == factors[:, :1]).all(axis=1)
    assert (held.sum(axis=1) == 1).all()
    assert held[:600].sum(axis=0).tolist() == [100] * K
    # At any of its classes alike.
    for k, size in enumerate(DATA.factor_sizes):
        counts = np.bincount(factors[held[:, k], 0, k], minlength=size)
        assert (np.abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()


def test_the_majority_decides_in_the_factor_vae_metric():
    # Code 0 is factor 0; code 1 is no factor, but the rest of the metric has only it left for the other five. Each
    # of them then wins it as often, so that one in five is right: a sixth for factor 0 and a sixth for the majority.
    def two(x):
        return np.stack([x[:, 0], x[:, 1:].sum(axis=1)], axis=1)

    found = factor_vae_score(two, DATA, batch=32, train=1200, evaluation=1200, scale=2000)
    assert found["factor_vae"] == pytest.approx(2 / K, abs=0.05)


def test_collapsed_codes_have_no_vote():
    # A code that hardly moves has no variance in any batch, and would win every vote if it were let.
    def with_dead(x, size):
        dead = size * (x[:, :1] == 0) * (x[:, 1:2] == 0)
        return np.concatenate([dead, identity(x)], axis=1)

    options = {"batch": 24, "train": 600, "evaluation": 300, "scale": 2000, "repeats": 2}
    assert factor_vae_score(lambda x: with_dead(x, 0.1), DATA, **options)["factor_vae"] == 1
    assert factor_vae_score(lambda x: with_dead(x, 1.0), DATA, **options)["factor_vae"] < 0.8
    assert factor_vae_score(lambda x: with_dead(x, 1.0), DATA, threshold=0.5, **options)["factor_vae"] == 1
    assert factor_vae_score(lambda x: with_dead(x, 0.0), DATA, threshold=0.0, **options)["factor_vae"] == 1
