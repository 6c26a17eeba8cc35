r"""Comparing runs: what is one row, what may share a column, which differences are marked, what is refused."""

import csv
import io
import itertools
import json
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats
from torch import nn

import vaekit
from vaekit.cli import main
from vaekit.comparison import compare
from vaekit.comparison.noise import LEVEL, Sample, adjusted, holm, p_value
from vaekit.errors import RequestError
from vaekit.models.base import seeded

PROTOCOL = (
    "digits, all 359 test examples; dynamic binarisation drawn once, seed {seed}; bound with one draw of z; "
    "NLL by {k} importance samples from the posterior; nats an example, ± is one standard error over examples"
)


@pytest.fixture
def make(tmp_path):
    """Return a function that writes the directory of a run that was never trained."""

    def write(
        name="run", *, seed=0, k=100, recipe="vae", arguments=None, training=None, data=None, versions=None,
        families=None, protocol=PROTOCOL, split="test", **numbers,
    ):  # fmt: skip
        config = {
            "format": 1,
            "recipe": recipe,
            "arguments": {"latent_dim": 2, "beta": 1.0, "likelihood": "auto", **(arguments or {})},
            "spec": {"name": "digits", "shape": [64], "levels": 17, "suggested": "bernoulli"},
            "data": {
                "name": "digits", "reference": "digits", "options": {}, "fingerprint": "7e2ca9bd15f80ebed2",
                "transform": "dynamic binarisation", **(data or {}),
            },
            "versions": {"python": "3.11.7", "vaekit": "0.1.0", "torch": "2.13.0+cpu", "cpus": 2, **(versions or {})},
            "training": {"seed": seed, "clip": None, "nll_samples": k, **(training or {})},
        }  # fmt: skip
        test = {**numbers, "images": 359, "nll_samples": k, "protocol": protocol.format(seed=seed, k=k)}
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(b"")
        (folder / "metrics.json").write_text(
            json.dumps({"training": {"epochs": 1}, split: {**test, **(families or {})}})
        )
        return folder

    return write


def column(table, name, letter=""):
    [found] = [c for c in table.columns if (c.name, c.letter) == (name, letter)]
    return found


def values(table, name):
    """The values of each column of a metric, by row."""
    return [[c and c.sample.values for c in col.cells] for col in table.columns if col.name == name]


# Rows.


def test_runs_that_differ_in_the_seed_alone_are_one_row_with_mean_and_deviation(make):
    runs = [make(f"vae-{s}", seed=s, nll=nll, nll_se=0.2) for s, nll in ((3, 89.0), (4, 90.0), (7, 91.0))]
    table = compare(runs)
    [row], [col] = table.rows, table.columns
    assert (row.name, row.model, row.seeds, row.runs) == ("vae-*", "vae", (3, 4, 7), tuple(runs))
    [cell] = col.cells
    assert (cell.sample.mean, cell.spread, cell.spread_is) == (90.0, 1.0, "standard deviation over seeds")
    assert "90.0 ± 1.0" in table.text()
    [[single]] = [c.cells for c in compare(runs[:1]).columns]
    assert (single.sample.mean, single.spread, single.spread_is) == (89.0, 0.2, "standard error")
    assert single.verdict == cell.verdict == ""  # nothing to be held against


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"beta": 4.0}},
        {"arguments": {"hidden": [8, 8]}},
        {"training": {"clip": 1.0}},
        {"recipe": "aevb"},
        {"data": {"fingerprint": "00ca9bd15f80"}},
        {"data": {"transform": "17 levels scaled to [0, 1]"}},
        {"versions": {"torch": "2.12.0+cpu"}},
        {"versions": {"vaekit": "0.2.0"}},
    ],
    ids=str,
)
def test_runs_that_differ_in_anything_that_was_asked_for_are_two_rows(make, change):
    table = compare([make("a", nll=1.0, nll_se=0.1), make("b", seed=1, nll=2.0, nll_se=0.1, **change)])
    assert [row.name for row in table.rows] == ["a", "b"]
    assert all(cell is None or cell.sample.n == 1 for col in table.columns for cell in col.cells)


@pytest.mark.parametrize(
    "change",
    [
        {"k": 5000},
        {"versions": {"torch": "2.13.0+cu128", "python": "3.13.1", "cpus": 64}},
        {"data": {"reference": "/elsewhere/digits"}},
    ],
    ids=str,
)
def test_where_and_how_a_training_was_measured_makes_no_other_row(make, change):
    table = compare([make("a", elbo=1.0), make("b", seed=1, elbo=2.0, **change)])
    assert len(table.rows) == 1
    assert values(table, "elbo") == [[(1.0, 2.0)]]


def test_models_made_in_python_are_never_taken_for_the_same(make):
    table = compare([make(str(s), seed=s, recipe=None, arguments={"model": "VAE"}, nll=1.0 + s) for s in range(2)])
    assert [(row.name, row.model) for row in table.rows] == [("0", "VAE in Python"), ("1", "VAE in Python")]


def test_rows_say_what_sets_them_apart_and_nothing_else(make):
    runs = [
        make("a", nll=1.0, arguments={"beta": 1.0}),
        make("b", nll=1.0, arguments={"beta": 4.0, "warmup": 3}),
        make("c", nll=1.0, recipe="aevb", arguments={"beta": 9.0}),
    ]
    models = [row.model for row in compare(runs).rows]
    assert models == ["vae beta=1.0 warmup not recorded", "vae beta=4.0 warmup=3", "aevb"]


def test_a_pattern_names_runs_only_if_it_fits_no_other(make):
    def names(*named):
        groups = [
            make(f"{i}/{name}", seed=i, nll=1.0, arguments={"beta": beta}) for i, (name, beta) in enumerate(named)
        ]
        return [row.name for row in compare(groups).rows]

    assert names(("b1-x", 1), ("b4-x", 4), ("b1-y", 1), ("b4-y", 4)) == ["b1-*", "b4-*"]


def test_runs_whose_names_fit_no_pattern_are_listed(make):
    runs = [make(name, seed=i, nll=1.0, arguments={"beta": i % 2}) for i, name in enumerate(("r1", "r2", "r3", "r4"))]
    assert [row.name for row in compare(runs).rows] == ["r1, r3", "r2, r4"]
    same = [make(f"{folder}/run", nll=1.0, arguments={"beta": beta}) for beta, folder in enumerate("xy")]
    assert [row.name for row in compare(same).rows] == [str(path) for path in same]


# Columns.

UNLIKE = [
    {"k": 5000},
    {"protocol": PROTOCOL.replace("all 359 test", "the first 100 test")},
    {"protocol": PROTOCOL.replace("dynamic binarisation drawn once, seed {seed}", "bits as stored")},
    {"data": {"fingerprint": "00ca9bd15f80"}},
    {"data": {"transform": "values as stored"}},
    {"arguments": {"likelihood": "gaussian"}},  # a density of bits
    {"protocol": PROTOCOL + "; and something that nobody has thought of"},
]


@pytest.mark.parametrize("change", UNLIKE, ids=str)
def test_numbers_of_unlike_protocol_are_in_columns_of_their_own(make, change):
    runs = [make("a", nll=1.0, nll_se=0.1), make("b", arguments={"beta": 2.0}, nll=1.5, nll_se=0.1)]
    runs.append(make("c", **{**change, "arguments": {"beta": 3.0, **change.get("arguments", {})}}, nll=0.5, nll_se=0.1))
    table = compare(runs)
    assert values(table, "nll") == [[(1.0,), (1.5,), None], [None, None, (0.5,)]]
    one, other = (col for col in table.columns if col.name == "nll")
    assert (one.letter, other.letter) == ("a", "b")
    assert one.apart != other.apart
    assert set(one.apart) <= set(one.protocol)
    assert [cell and cell.verdict for cell in one.cells] == ["best", "beyond noise", None]
    assert other.cells[2].verdict == ""  # better than what it must not be held against
    text = table.text(200)
    for col in (one, other):
        assert f"nll ({col.letter}) ↓" in text
        assert re.search(rf"^\({col.letter}\) {re.escape('; '.join(col.apart) or 'otherwise')}", text, re.MULTILINE)


def test_every_two_numbers_share_a_column_exactly_if_their_protocols_agree(make):
    """Every combination of three things that a protocol says, each run with a seed of its own."""
    options = list(itertools.product((100, 5000), ("all 359 test", "the first 100 test"), ("7e2ca9", "00ca9b")))
    runs = [
        make(f"{i}", seed=i, k=k, protocol=PROTOCOL.replace("all 359 test", n), data={"fingerprint": f},
             elbo=float(i), nll=float(i), arguments={"beta": float(again)})
        for i, (again, (k, n, f)) in enumerate(itertools.product(range(2), options))
    ]  # fmt: skip
    table = compare(runs)
    for name, matters in (("nll", slice(0, 3)), ("elbo", slice(1, 3))):  # k is about the NLL alone
        together = [{v for c in cells if c for v in c} for cells in values(table, name)]
        expected = {}
        for i, option in enumerate(options * 2):
            expected.setdefault(option[matters], set()).add(float(i))
        assert sorted(map(sorted, together)) == sorted(map(sorted, expected.values()))


def test_beneath_a_table_stands_all_of_every_protocol(make):
    """Also where a metric was only measured by one of the protocols that others were measured by."""
    more = {"ess": 5.0, "ess_se": 0.1}
    runs = [
        make("a", nll=1.0, elbo=1.0, **more),
        make("b", nll=1.0, elbo=1.0, k=5000, arguments={"beta": 2.0}),
        make("c", nll=1.0, elbo=1.0, data={"fingerprint": "00ca9bd15f80"}),
        make("d", nll=1.0, elbo=1.0, protocol=PROTOCOL + "; on a Sunday", recipe="aevb"),
    ]
    table = compare(runs)
    lines = table.text(1000).splitlines()
    said = {
        line.partition(" ")[0]: line.partition(" ")[2].split("; ") for line in lines if line.startswith(("prot", "("))
    }
    letters = {}
    for col in table.columns:
        own = said[f"({col.letter})"] if col.letter else []
        assert set(col.protocol) <= {*said["protocol:"], *own}
        assert set(own) <= set(col.protocol)
        letters.setdefault(col.name, []).append(col.letter)
    assert len(set(letters["nll"])) == 4
    assert letters["ess"] == letters["nll"][:1]


def test_another_seed_of_the_evaluation_is_another_draw_by_the_same_protocol(make):
    table = compare([make(str(s), seed=s, nll=1.0 + s, nll_se=0.1) for s in (0, 12)])
    [col] = table.columns
    assert "dynamic binarisation drawn once, seed 0, 12" in col.protocol
    assert "seed 0, 12" in table.text(200)
    assert "`vaekit evaluate RUN --seed 0`" in table.text(300)
    other = {"annealed": {"nll_ais": 1.0, "protocol": "by chains of seed 4"}}
    once = PROTOCOL.replace("{seed}", "0")
    same = [make(f"same/{s}", seed=s, nll=1.0 + s, protocol=once, families=other) for s in (0, 12)]
    assert [("seed 0" in str(c.protocol), "seed 4" in str(c.protocol)) for c in compare(same).columns] == [
        (True, False), (False, True),
    ]  # fmt: skip
    assert "`vaekit evaluate RUN --seed 0`" not in compare(same).text(300)


def test_the_same_data_by_another_name_are_the_same(make):
    renamed = {"protocol": PROTOCOL.replace("digits", "copy"), "data": {"name": "copy"}}
    [col] = compare([make("a", nll=1.0), make("b", nll=2.0, **renamed)]).columns
    assert None not in col.cells
    assert col.protocol[0] == "digits (data 7e2ca9bd15f8)"


def test_the_curve_of_bounds_is_shown_when_it_is_asked_for(make):
    run = make(nll=1.0, nll_se=0.1, bound_5=-1.5, bound_5_se=0.1)
    assert [col.name for col in compare([run]).columns] == ["nll"]
    assert values(compare([run], metrics=["bound_5"]), "bound_5") == [[(-1.5,)]]


def test_families_have_protocols_of_their_own(make):
    def annealed(chains, **numbers):
        sentence = f"100 examples; NLL by annealed importance sampling, {chains} chains; seed 0"
        return {"annealed": {"chains": chains, **numbers, "protocol": sentence}}

    runs = [
        make("a", nll=1.0, nll_se=0.1, families=annealed(16, nll_ais=0.8, nll_ais_se=0.1)),
        make("b", nll=2.0, nll_se=0.1, families=annealed(4, nll_ais=0.9, nll_ais_se=0.1), arguments={"beta": 2.0}),
        make("c", nll=3.0, nll_se=0.1, families={"left_out": {"annealed": "why"}, "odd": {"nll": 7.0}}, recipe="aevb"),
    ]
    table = compare(runs)
    assert values(table, "nll") == [[(1.0,), (2.0,), (3.0,)]]  # a number without a protocol is none
    assert values(table, "nll_ais") == [[(0.8,), None, None], [None, (0.9,), None]]
    assert values(table, "chains") == []  # a setting
    assert [col.name for col in compare(runs[:1], metrics=["annealed"]).columns] == ["nll_ais"]
    assert values(compare(runs[:1], metrics=["annealed"]), "nll_ais") == [[(0.8,)]]
    assert values(compare(runs[:1], metrics=["annealed.nll_ais"]), "nll_ais") == [[(0.8,)]]


def test_metrics_of_one_name_in_two_families_are_told_apart(make):
    families = {f: {"gap": v, "gap_se": 0.1, "protocol": f"by {f}"} for f, v in (("one", 1.0), ("other", 2.0))}
    table = compare([make(families=families)])
    assert {c.title: c.cells[0].sample.mean for c in table.columns} == {"one.gap": 1.0, "other.gap": 2.0}


def test_a_clause_about_one_number_keeps_no_other_apart(make):
    """The sentences are those that the evaluation writes, so that a change of words is seen here."""
    from vaekit.data.transforms import Binarise, Dequantise
    from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, StandardNormal
    from vaekit.evaluation.aggregate import aggregate_metrics
    from vaekit.evaluation.features import feature_net
    from vaekit.evaluation.reconstruction import reconstruction_metrics
    from vaekit.models import VAE

    x = np.random.default_rng(0).integers(0, 17, (50, 1, 12, 12)).astype(np.uint8)
    with seeded(0):
        encoder, decoder = nn.Sequential(nn.Flatten(), nn.Linear(144, 4)), nn.Linear(2, 144)
        likelihood = nn.Sequential(decoder, nn.Unflatten(1, (1, 12, 12)))
        model = VAE(
            Conditional(encoder, DiagonalGaussian(2)),
            Conditional(likelihood, Bernoulli(x.shape[1:])),
            StandardNormal(2),
        )

    def families(transform, net):
        return {
            "reconstruction": reconstruction_metrics(model, x, transform, features=feature_net(net)),
            "aggregate": aggregate_metrics(model, x, transform, draws=50),
        }

    one = families(Binarise(17), "mnist")
    encoder[1].weight.data[:2] *= 1000  # every example has a code of its own, which is all that information can be
    other = families(Dequantise(17), "squeezenet")
    assert "at that limit" in other["aggregate"]["protocol"]
    assert "at that limit" not in one["aggregate"]["protocol"]
    runs = [make("a", families=one), make("b", families=other, data={"transform": Dequantise(17).describe()})]
    table = compare(runs, metrics=["mse", "psnr", "ssim"])
    assert [None in col.cells for col in table.columns] == [False] * 3
    assert values(compare(runs), "perceptual")[0][1] is None
    alike = compare([runs[0], make("c", families=other, arguments={"beta": 2.0})], metrics=["mutual_information"])
    assert None not in alike.columns[0].cells
    with pytest.raises(
        RequestError, match=r"seen_mse was measured by unlike protocols.*no evaluation makes them alike"
    ):
        compare(runs, metrics=["seen_mse"])


def test_the_number_of_neighbours_keeps_distances_together(make):
    from vaekit.data.transforms import Identity
    from vaekit.evaluation.generation import generation_metrics

    x = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    runs = [
        make(f"{k}", families={"generation": generation_metrics(x[:40], x[40:], Identity(), k=k)}, recipe=f"k{k}")
        for k in (3, 5)
    ]
    table = compare(runs)
    shared = {col.name for col in table.columns if None not in col.cells}
    alone = {col.name for col in table.columns if None in col.cells}
    distances = {f"{name}_distance{real}" for name in ("frechet", "kernel") for real in ("", "_real")}
    assert distances <= shared
    assert alone == {f"{n}{real}" for n in ("precision", "recall", "density", "coverage") for real in ("", "_real")}
    assert {col.name for col in table.columns if col.better == "lower"} >= {"frechet_distance", "kernel_distance"}
    assert all(col.better is None for col in table.columns if col.name.endswith("_real"))


def test_a_density_of_bits_keeps_only_nats_of_the_data_apart(make):
    numbers = {"nll": 1.0, "rate": 2.0, "rate_se": 0.1}
    runs = [make(name, **numbers, arguments={"likelihood": name}) for name in ("bernoulli", "gaussian", "auto")]
    table = compare(runs)
    assert values(table, "rate") == [[(2.0,)] * 3]
    assert values(table, "nll") == [[(1.0,), None, (1.0,)], [None, (1.0,), None]]


def test_numbers_without_deviation_are_shown_in_full(make):
    runs = [make(str(s), seed=s, kernel_distance=-0.00123, mig=0.25, mig_se=0.0) for s in range(2)]
    assert "−0.00123 ± 0" in compare(runs).text()
    assert "0.25 ± 0\n" in compare(runs[:1]).text()


def test_a_missing_number_is_no_number(make):
    runs = [make(str(s), seed=s, nll=nll, elbo=1.0, flag=True) for s, nll in enumerate((1.0, None, 3.0))]
    table = compare(runs)
    assert values(table, "nll") == [[(1.0, 3.0)]]
    assert "2.0 ± 1.4 (n = 2)" in table.text()
    with pytest.raises(RequestError, match="unknown metric 'flag'"):
        compare(runs, metrics=["flag"])


# Noise.

GENERATOR = np.random.default_rng(0)
SAMPLES = [(GENERATOR.normal(0, s, n), GENERATOR.normal(d, 1, m)) for s, d, n, m in
           ((1, 0, 3, 3), (1, 2, 3, 3), (5, 2, 2, 9), (0.1, 1, 4, 2), (1, 3, 5, 5), (1e-9, 1e-9, 3, 3))]  # fmt: skip


def sample(of, error=0.1):
    return Sample(tuple(map(float, of)), (error,) * len(of))


@pytest.mark.parametrize(("a", "b"), SAMPLES)
def test_over_seeds_it_is_welchs_test(a, b):
    assert p_value(sample(a), sample(b)) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), SAMPLES)
def test_between_several_seeds_and_one_the_larger_p_counts(a, b):
    """Student's test with the one deviation there is, and z; an error that hides nothing, and one that hides all."""
    student = stats.ttest_ind(a, b[:1], equal_var=True).pvalue
    assert p_value(sample(a, 1e-15), sample(b[:1], 1e-15)) == pytest.approx(student, rel=1e-9)
    z = 2 * stats.norm.sf(abs(np.mean(a) - b[0]) / np.hypot(30, 40))
    assert p_value(sample(a, 30.0), sample(b[:1], 40.0)) == pytest.approx(max(z, student), rel=1e-9)
    assert p_value(sample(b[:1], None), sample(a, None)) == pytest.approx(student, rel=1e-9)


def test_between_single_runs_it_is_z():
    for difference, known in ((1.959964 * 5, 0.05), (2.575829 * 5, 0.01), (0.0, 1.0)):
        assert p_value(Sample((10 + difference,), (3.0,)), Sample((10.0,), (4.0,))) == pytest.approx(known, abs=1e-6)


def test_without_noise_nothing_is_claimed():
    assert p_value(Sample((1.0,), (None,)), Sample((2.0,), (0.1,))) is None
    assert Sample((1.0, 2.0), (0.1, None)).error is None  # that of the other is not known to be as small
    assert p_value(Sample((1.0, 1.0), (0.1, 0.1)), Sample((2.0, 2.0), (0.1, 0.1))) is None
    assert p_value(Sample((1.0, 1.0), (None, None)), Sample((1.0, 1.0), (None, None))) == 1.0


def test_the_error_of_a_mean_over_seeds_does_not_shrink_with_seeds():
    """The runs share their examples: with errors that are wholly shared, that of the mean is that of each."""
    shared = GENERATOR.normal(0, 1, 2000)
    errors = [stats.sem(shared + seed) for seed in range(4)]
    assert Sample((0.0,) * 4, tuple(errors)).error == pytest.approx(
        stats.sem(np.mean([shared + s for s in range(4)], 0))
    )


def test_holm_decides_as_the_procedure_does_step_by_step():
    generator = np.random.default_rng(1)
    for _ in range(200):
        p = generator.beta(0.3, 2, size=generator.integers(1, 9))
        rejected = set()
        for rank, index in enumerate(np.argsort(p)):  # stop at the first that is not small enough
            if p[index] >= LEVEL / (len(p) - rank):
                break
            rejected.add(int(index))
        assert {i for i, q in enumerate(holm(list(p))) if q < LEVEL} == rejected


def test_among_equals_hardly_any_table_marks_a_difference():
    """Eight rows without any difference: the best of them is far from the worst, by the choice of both."""
    generator = np.random.default_rng(2)
    tables, marked = 1500, 0
    for _ in range(tables):
        means = generator.normal(0, 1, 8)
        p = adjusted([Sample((float(m),), (1.0,)) for m in means], int(means.argmin()))
        marked += any(q is not None and q < LEVEL for q in p)
    assert marked / tables < LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / tables)
    assert marked  # and not for the reason that nothing ever is


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.2, 1.5, 1.8, 4.0])
def test_marks_of_two_rows_are_those_of_the_test(make, shift):
    generator = np.random.default_rng(3)
    a, b = generator.normal(10, 0.5, 4), generator.normal(10 + shift, 0.5, 3)
    runs = [make(f"a{i}", seed=i, nll=v, nll_se=9.0) for i, v in enumerate(a)]
    runs += [make(f"b{i}", seed=i, nll=v, nll_se=9.0, arguments={"beta": 2.0}) for i, v in enumerate(b)]
    cells = column(compare(runs), "nll").cells
    p = stats.ttest_ind(a, b, equal_var=False).pvalue
    best, other = cells if a.mean() < b.mean() else cells[::-1]
    assert (best.verdict, best.p) == ("best", None)
    assert other.verdict == ("beyond noise" if p < 0.05 else "explained by noise")
    assert other.p == pytest.approx(p)


def test_marks_of_three_rows_are_corrected_for_three_pairs(make):
    """At 2.2 errors of the difference p is 0.028, which one test would call a difference."""

    def verdicts(*elbos):
        runs = [make(f"{elbos}/{i}", elbo=e, elbo_se=1.0, arguments={"beta": i}) for i, e in enumerate(elbos)]
        return [cell.verdict for cell in column(compare(runs), "elbo").cells]

    step = 2.2 * np.sqrt(2)
    assert verdicts(0.0, -step) == ["best", "beyond noise"]
    assert verdicts(0.0, -step, -step / 2) == ["best", "explained by noise", "explained by noise"]
    assert verdicts(-9.0, 0.0, -0.1) == ["beyond noise", "best", "explained by noise"]


def test_the_best_is_by_the_direction_of_the_metric_and_unknown_ones_have_none(make):
    numbers = [{"nll": 1.0, "elbo": 1.0, "mig": 1.0, "frechet_floor": 1.0, "rate": 1.0, "bound_5": 1.0}]
    numbers.append(dict.fromkeys(numbers[0], 2.0))
    runs = [make(str(i), arguments={"beta": i}, **n, **{f"{m}_se": 0.01 for m in n}) for i, n in enumerate(numbers)]
    table = compare(runs, metrics=list(numbers[0]))
    best = {c.name: [i for i, cell in enumerate(c.cells) if cell.verdict == "best"] for c in table.columns}
    assert best == {"nll": [0], "elbo": [1], "mig": [1], "bound_5": [1], "frechet_floor": [], "rate": []}
    headings = {c.heading for c in table.columns}
    assert headings == {"nll ↓", "elbo ↑", "mig ↑", "bound_5 ↑", "frechet_floor", "rate"}


def test_without_errors_the_mark_is_a_question(make):
    table = compare([make(str(i), arguments={"beta": i}, nll=float(i)) for i in range(2)])
    assert [cell.verdict for cell in table.columns[0].cells] == ["best", "noise unknown"]
    assert "? no noise is known" in table.text(200)


# As text, CSV and HTML.


@pytest.fixture
def table(make):
    runs = [make(f"vae-{s}", seed=s, nll=89.0 + s / 3, nll_se=0.2, elbo=-95 - s / 7, elbo_se=0.3) for s in range(3)]
    runs.append(make("beta", arguments={"beta": 4.0}, nll=93.1, nll_se=0.25, elbo=None))
    runs.append(make("more", k=5000, arguments={"beta": 0.5}, nll=88.7, nll_se=0.24, elbo=-94.5, elbo_se=0.3))
    return compare(runs)


def test_csv_reads_back_to_the_same_numbers(table):
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert [line["run"] for line in lines] == ["vae-*", "beta", "more"]
    assert lines[0]["runs"].split("; ") == [str(path) for path in table.rows[0].runs]
    seen = 0
    for col in table.columns:
        title = f"{col.name}_{col.letter}" if col.letter else col.name
        for line, cell in zip(lines, col.cells, strict=True):
            if cell is None:
                assert not any(value for name, value in line.items() if re.match(rf"{title}(?!_[ab])", name))
                continue
            seen += 1
            assert float(line[title]) == cell.sample.mean
            assert float(line[f"{title}_spread"]) == cell.spread
            assert line[f"{title}_spread_is"] == cell.spread_is
            assert int(line[f"{title}_n"]) == cell.sample.n
            assert line[f"{title}_verdict"] == cell.verdict
            assert (float(line[f"{title}_p"]) if cell.p is not None else None) == cell.p
            assert line[f"{title}_protocol"] == "; ".join(col.protocol)
    assert seen == 5
    assert "nll" not in lines[0]  # there are two, and neither is the one


class Page(HTMLParser):
    """A parsed page; wrong nesting is an error."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_has_every_number_and_needs_nothing_else(table):
    page = Page(table.html())
    exact = {float(attrs["value"]) for tag, attrs in page.tags if tag == "data"}
    assert exact == {cell.sample.mean for col in table.columns for cell in col.cells if cell}
    text = " ".join(page.words)
    for col in table.columns:
        assert col.heading in text
        assert all(cell.shown(len(row.runs)) in text for row, cell in zip(table.rows, col.cells, strict=True) if cell)
    assert "NLL by 5000 importance samples" in text
    assert not {"script", "iframe", "img", "a"} & {tag for tag, _ in page.tags}


def test_names_are_shown_and_never_run(make):
    evil = "<script>alert(1)<!-- \"'[bold]"
    runs = [make(evil, nll=1.0, nll_se=0.1, recipe=evil, protocol=evil), make("b", nll=1.0)]
    table = compare(runs)
    page = Page(table.html())
    assert "script" not in {tag for tag, _ in page.tags}
    assert evil in page.words
    assert evil in table.text(200)
    assert [line["run"] for line in csv.DictReader(io.StringIO(table.csv()))] == [evil, "b"]


@pytest.mark.parametrize("width", [40, 80, 300])
def test_text_never_cuts_a_number_and_keeps_to_the_width(table, width):
    text = table.text(width)
    assert max(map(len, text.splitlines())) <= width
    shown = [c.shown(len(row.runs)) for col in table.columns for row, c in zip(table.rows, col.cells, strict=True) if c]
    assert all(number in text for number in shown)


def test_of_a_long_name_and_a_number_the_name_is_broken(make):
    runs = [make(name * 40, nll=1234.5, nll_se=0.012, arguments={"beta": name}) for name in "ab"]
    text = compare(runs).text(38)
    assert max(map(len, text.splitlines())) <= 38
    assert "★ 1,234.500 ± 0.012" in text
    assert "".join(re.findall(r"^ +(a+)", text, re.MULTILINE)).startswith("a" * 40)


def test_runs_on_other_data_are_apart_in_the_text(make):
    runs = [make(name, nll=1.0, nll_se=0.1, data={"fingerprint": name}) for name in ("first", "second")]
    lines = compare(runs).text(200).splitlines()
    numbers = [line for line in lines if "1.00 ± 0.10" in line]
    assert len(numbers) == 2
    assert not any("–" in line for line in lines)


# What is refused.


def test_metrics_by_name_are_refused_if_their_protocols_are_unlike(make):
    runs = [make("a", nll=1.0, elbo=1.0), make("b", k=5000, nll=0.9, elbo=1.0, arguments={"beta": 2})]
    with pytest.raises(RequestError) as caught:
        compare(runs, metrics=["elbo", "nll"])
    for said in (
        "nll was measured by",
        "NLL by 100 importance",
        "NLL by 5000",
        f"evaluate {runs[0]} --metrics likelihood --nll-samples 5000`",
    ):
        assert said in str(caught.value)
    assert f"evaluate {runs[1]}" not in str(caught.value)
    assert values(compare(runs, metrics=["elbo"]), "elbo") == [[(1.0,), (1.0,)]]
    with pytest.raises(RequestError, match="no evaluation makes them alike"):
        compare([runs[0], make("c", nll=1.0, data={"fingerprint": "00"})], metrics=["nll"])


def test_doing_as_the_refusal_says_makes_the_numbers_alike(tmp_path, tiny, no_report):
    runs = []
    for seed in range(2):
        options = {**tiny, "nll_samples": 5 + seed, "seed": seed, "out": tmp_path / str(seed)}
        runs.append(vaekit.train("vae", "digits", **options).directory)
    with pytest.raises(RequestError) as caught:
        compare(runs, metrics=["nll"])
    for command in re.findall(r"`(vaekit evaluate .*?)`", str(caught.value)):
        assert main([*shlex.split(command)[1:], "--no-progress"]) == 0
    [col] = compare(runs, metrics=["nll"]).columns
    assert col.cells[0].sample.n == 2


def test_missing_unfinished_and_unmeasured_runs_are_refused(make, tmp_path):
    with pytest.raises(RequestError, match="there are no runs to compare"):
        compare([])
    with pytest.raises(RequestError, match="no run at"):
        compare([tmp_path / "none"])
    run = make("run", nll=1.0)
    (run / "metrics.json").unlink()
    with pytest.raises(RequestError, match=r"has no evaluation.*`vaekit evaluate \S*run`"):
        compare([run])
    (run / "model.safetensors").unlink()
    with pytest.raises(RequestError, match="unfinished run"):
        compare([run])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(RequestError, match="is no run directory"):
        compare([tmp_path / "other"])
    bare = make("bare", nll=1.0)
    (bare / "metrics.json").write_text('{"test": {"nll": 1.0}}')
    with pytest.raises(RequestError, match="no number with a protocol"):
        compare([bare])


def test_another_split_is_asked_for_by_its_name(make):
    run = make("run", nll=1.0, split="validation_first_50")
    assert compare([run], split="validation_first_50").columns[0].cells[0].sample.mean == 1.0
    with pytest.raises(RequestError, match=r"no evaluation of split 'test'; it has validation_first_50"):
        compare([run])
    with pytest.raises(RequestError, match="Did you mean 'validation_first_50'"):
        compare([run], split="validation_50")
    with pytest.raises(RequestError, match="no evaluation of split 'training'"):
        compare([run], split="training")


def test_unknown_metrics_are_refused_with_the_nearest(make):
    run = make(nll=1.0, elbo=2.0)
    with pytest.raises(RequestError, match=r"unknown metric 'nl'; these runs have nll, elbo.*Did you mean 'nll'"):
        compare([run], metrics=["elbo", "nl"])
    with pytest.raises(RequestError, match="metrics is empty"):
        compare([run], metrics=[])


def test_a_run_counts_once(make, tmp_path):
    run = make("run", nll=1.0)
    (tmp_path / "link").symlink_to(run)
    for again in (run, f"{run}/", tmp_path / "link"):
        with pytest.raises(RequestError, match="is listed twice"):
            compare([run, again])
    with pytest.raises(RequestError, match=r"one training with one seed, 0.*leave one out"):
        compare([run, make("copy", nll=1.0)])


# The command.


def test_the_command_shows_the_table_or_writes_it(make, tmp_path, capsys):
    runs = [str(make(str(s), seed=s, nll=1.0 + s, elbo=0.5)) for s in range(2)]
    assert main(["compare", *runs, "--metrics", "elbo, nll"]) == 0
    out = capsys.readouterr().out
    assert out.index("elbo") < out.index("nll")
    assert out == compare(runs, metrics=["elbo", "nll"]).text()
    table = compare(runs)
    for ending, content in (("txt", table.text()), ("csv", table.csv()), ("html", table.html())):
        path = tmp_path / f"table.{ending}"
        assert main(["compare", *runs, "--out", str(path)]) == 0
        assert capsys.readouterr().out == f"{path}\n"
        assert path.read_text(encoding="utf-8") == content


def test_the_command_writes_over_a_file_only_by_force(make, tmp_path, capsys, listing):
    run, path = str(make(nll=1.0)), tmp_path / "table.csv"
    path.write_text("mine")
    before = listing(tmp_path)
    for words, said in (
        ([run, "--out", str(path)], "--force to write over it"),
        ([run, "--out", str(tmp_path / "table.xlsx")], r"ends in .txt, .csv or .html"),
        ([run, "--out", str(tmp_path / "no" / "table.csv")], "in a folder that exists"),
        ([run, "--metrics", "elbow", "--out", str(path), "--force"], "unknown metric 'elbow'"),
        ([run, "--metrics", ","], "metrics is empty"),
        ([], "runs"),
    ):
        assert main(["compare", *words]) == 2
        assert said in capsys.readouterr().err
    assert listing(tmp_path) == before
    assert main(["compare", run, "--out", str(path), "--force"]) == 0
    assert path.read_text() == compare([run]).csv()
