r"""The report is one complete, harmless page that says what it was told, and nothing it was not."""

import base64
import html
import os
import re
from html.parser import HTMLParser

import pytest

from vaekit import figures
from vaekit.errors import RequestError
from vaekit.report import write_report

VOID = {"meta", "link", "img", "br", "hr", "input"}
METRICS = {
    "test": {
        "elbo": -93.9012, "elbo_se": 0.1234, "rate": 24.61, "distortion": 69.2912, "nll": 88.9034, "nll_se": 0.1187,
        "nll_samples": 500, "images": 10000, "active_units": 19, "latent_dim": 50,
        "protocol": "dynamic binarisation, fixed seed 0",
    },
    "training": {
        "epochs": 40, "best_epoch": 28, "steps": 20123, "seconds": 312.5, "images_per_second": 21034.7,
        "compiled": True, "device": "cpu", "stopped": "patience",
    },
}  # fmt: skip
CONFIG = {
    "recipe": "vae", "data": {"name": "mnist", "options": {"seed": 7}}, "hidden": [500, 300], "learning_rate": 0.0015,
    "resume": None, "compile": True, "versions": {"torch": "2.13.0", "vaekit": "0.1.0"},
}  # fmt: skip
COMMAND = "vaekit train vae --data mnist --out 'runs/a b' && echo \"done\" > log"


class Page(HTMLParser):
    r"""A parsed page; wrong nesting is an error."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.words, self.inside = [], [], [], {}
        self.feed(source)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> out of place"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            self.inside.setdefault(self.open[-1], []).append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def pngs(tmp_path):
    names = ["bound", "unit_rates", "latent_scatter", "manifold", "samples", "reconstructions", "loss_curves"]
    folder = tmp_path / "figures"
    return {n: figures.save(figures.unit_rates([i + 1.0], [True]), folder / f"{n}.png") for i, n in enumerate(names)}


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        history = {
            "epoch": [1, 2, 3],
            "train_elbo": ["-150.125", "-120.5", "-110.25"],
            "validation_elbo": [-151, "", -111],
        }
        given = {"title": "vae on mnist", "config": CONFIG, "metrics": METRICS, "history": history, "figures": {}}
        path = write_report(tmp_path / "run", **{**given, "command": COMMAND, **changes})
        return path.read_text(encoding="utf-8")

    return write


def test_the_page_has_everything_in_order(write, pngs):
    source = write(figures=pngs)
    page = Page(source)
    assert source.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert page.inside["h2"] == [
        "Learning curves", "Originals and reconstructions", "Samples", "Latent space", "The decoded plane",
        "Rate of each latent unit", "The bound against the number of samples", "All measurements", "Configuration",
        "Versions", "Run it again",
    ]  # fmt: skip
    order = ["loss_curves", "reconstructions", "samples", "latent_scatter", "manifold", "unit_rates", "bound"]
    pictures = [base64.b64decode(image["src"].split(",")[1]) for image in page.all("img")]
    assert pictures == [pngs[name].read_bytes() for name in order]
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert len(page.inside["figcaption"]) == len(order)


def test_the_result_is_read_out_in_one_sentence(write):
    assert (
        "On 10,000 test images the model assigns on average −88.90 ± 0.12 nats of log-probability to each image, "
        "estimated with k = 500 importance samples; higher is better."
    ) in Page(write()).text
    bound = {"test": {"elbo": -103.25, "elbo_se": 0.5, "examples": 1}}
    assert (
        "On 1 test example the model assigns on average at least −103.25 ± 0.50 nats" in Page(write(metrics=bound)).text
    )
    density = {"test": {"nll": -12.5}}  # a density may exceed one: no sign is lost
    assert "assigns on average 12.50 nats" in Page(write(metrics=density)).text


def test_every_number_given_appears(write):
    page = Page(write())
    for shown in (
        "−93.90 ± 0.12", "24.61", "69.29", "88.90 ± 0.12", "19 / 50", "5 min 12 s", "21,035", "40 (best 28)",
        "dynamic binarisation, fixed seed 0", "20,123 steps", "k = 500", "cpu", "stopped early", "compiled",
    ):  # fmt: skip
        assert shown in page.text, shown
    for part, values in METRICS.items():
        for key, value in values.items():
            row = f"{part}.{key}"
            assert row in page.inside["th"]
            assert {True: "true"}.get(value if value is True else None, str(value)) in page.inside["td"], row
    exact = [data["value"] for data in page.all("data")]
    assert exact == ["-93.9012", "24.61", "69.2912", "88.9034", "19", "312.5", "21034.7", "40"]
    for value in ("−150.125", "−120.5", "−110.25", "−151", "−111"):
        assert value in page.inside["td"]


def test_the_protocol_stands_under_the_numbers(write):
    source = write()
    assert source.index("40 (best 28)") < source.index("Protocol: dynamic") < source.index("<h2>")


FAMILIES = {
    "annealed": {
        "nll_ais": 86.713, "nll_ais_se": 2.375, "bdmc_gap": 0.1216, "bdmc_gap_se": 0.0626, "protocol": "16 chains",
        "nll_importance": 87.21, "nll_importance_se": 2.4, "nll_samples": 5000,
    },
    "aggregate": {
        "mutual_information": 9.1867, "mutual_information_se": 0.0046, "total_correlation": 17.1277,
        "total_correlation_se": 0.125, "protocol": "an exact mixture",
    },
    "reconstruction": {"ssim": 0.9195, "ssim_se": 0.0004, "psnr": 21.147, "psnr_se": 0.024, "protocol": "a window"},
    "generation": {
        "frechet_distance": 0.43406, "frechet_distance_se": 0.00637, "frechet_distance_real": 0.009712,
        "frechet_distance_real_se": 0.00119, "precision": 0.7308, "precision_se": float("nan"), "protocol": "means",
        "images": 10000, "kernel_distance": 0.0033738,
    },
    "disentanglement": {
        "mig": 0.31, "mig_se": 0.02, "beta_vae": 0.9, "beta_vae_se": 0.0, "protocol": "brief", "warning": "few",
    },
}  # fmt: skip


def test_each_family_that_was_measured_has_its_headline(write):
    source = write(metrics={**METRICS, "test": {**METRICS["test"], **FAMILIES}})
    page = Page(source)
    assert page.inside["h3"] == [
        "Likelihood by annealing", "What the rate is spent on", "Reconstruction", "Generation", "Disentanglement",
    ]  # fmt: skip
    for label, *cells in (
        ("NLL by annealed importance sampling, nats", "86.7 ± 2.4", "87.2 ± 2.4 (k = 5,000)"),
        ("Gap between both bounds on data of the model's own, nats", "0.122 ± 0.063", ""),
        ("Mutual information of code and example, nats", "9.1867 ± 0.0046"),
        ("Total correlation of the units, nats", "17.13 ± 0.12"),
        ("SSIM", "0.91950 ± 0.00040"),
        ("Fréchet distance", "0.4341 ± 0.0064", "0.0097 ± 0.0012"),
        ("Kernel distance", "0.00337", ""),
        ("Precision", "0.73", ""),
        ("Mutual information gap", "0.310 ± 0.020"),
        ("β-VAE metric", "0.90"),
    ):
        row = re.search(f'<th scope="row">{re.escape(label)}</th>(.*?)</tr>', html.unescape(source))
        assert row, label
        assert [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td>(.*?)</td>", row[1])] == cells
    for words in ("Real against real", "By importance sampling", "Protocol: 16 chains", "Protocol: brief · few"):
        assert words in page.text
    assert source.index("Protocol: dynamic") < source.index("<h3>") < source.index("All measurements")


def test_a_family_without_its_numbers_is_not_there(write):
    for test in ({}, {"generation": None}, {"generation": {"images": 5, "frechet_distance": float("inf")}}):
        assert "<h3>" not in write(metrics={"test": test})


def test_the_configuration_is_flattened_with_dots(write):
    page = Page(write())
    rows = dict(re.findall(r"<th scope=\"row\">(.*?)</th><td>(.*?)</td>", write()))
    assert rows["data.options.seed"] == "7"
    assert rows["data.name"] == "mnist"
    assert rows["hidden"] == "[500, 300]"
    assert rows["learning_rate"] == "0.0015"
    assert rows["compile"] == "true"
    assert rows["resume"] == "not set"
    assert rows["torch"] == "2.13.0"
    assert "versions.torch" not in page.text


def test_the_command_can_be_copied_as_it_is(write):
    assert "".join(Page(write()).inside["code"]) == COMMAND


def test_the_page_needs_nothing_else(write, pngs):
    page = Page(write(figures=pngs, config={**CONFIG, "homepage": "https://example.org/x"}))
    for tag, attrs in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "base", "form"}
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "srcset", "action", "poster", "data"}:
                assert value.startswith("data:"), (tag, name, value[:40])
    source = write()
    style = re.search(r"<style>(.*?)</style>", source, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in next(m["content"] for m in page.all("meta") if "http-equiv" in m)


def test_text_is_shown_and_never_run(write, pngs):
    evil = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
    metrics = {
        "test": {"nll": 1.0, "protocol": evil, evil: 2.0},
        "training": {"device": evil, "epochs": 1, "stopped": evil},
    }
    source = write(
        title=evil, command=evil, metrics=metrics, history={"epoch": [1], evil: [evil]},
        config={evil: {"name": evil}, "list": [evil], "versions": {evil: evil}}, figures={evil: pngs["bound"]},
    )  # fmt: skip
    page = Page(source)
    assert not page.all("script")
    assert [image["src"][:5] for image in page.all("img")] == ["data:"]
    assert page.all("img")[0]["alt"] == evil
    assert "".join(page.inside["h1"]) == "".join(page.inside["title"]) == "".join(page.inside["code"]) == evil
    assert page.text.count("alert('x')") >= 10


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_missing_measurements_are_left_out(write, missing):
    test = dict.fromkeys(METRICS["test"], missing) | {"elbo": -93.9, "curve": [missing, 1.0]}
    source = write(metrics={"test": test, "training": dict.fromkeys(METRICS["training"], missing)})
    page = Page(source)
    assert not re.search(r"\b(none|nan|inf|infinity|undefined)\b", page.text, re.I)
    assert re.findall(r"<dt>(.*?)</dt>", source) == ["Test ELBO"]
    assert "±" not in page.text


def test_nothing_at_all_still_makes_a_page(write):
    page = Page(write(config={}, metrics={}, history={}, figures={}, command=""))
    assert page.text.split() == ["vae", "on", "mnist"] * 2  # the window's title and the heading
    assert not page.inside.get("h2")


def test_a_long_history_is_thinned_but_keeps_its_ends_and_the_best(write):
    n = 3281
    metrics = {"training": {"best_epoch": 1234}}
    source = write(history={"epoch": range(1, n + 1), "train_elbo": [-float(i) for i in range(n)]}, metrics=metrics)
    epochs = [int(e) for e in re.findall(r"<tr(?: class=\"best\")?><td>(\d+)</td>", source)]
    assert epochs[0] == 1
    assert epochs[-1] == n
    assert 1234 in epochs
    assert len(epochs) <= 102
    assert re.search(r"<tr class=\"best\"><td>1234</td><td>−1233</td>", source)
    assert f"{len(epochs)} of {n} rows" in source


def test_unknown_figures_come_last_and_wrong_ones_are_refused(write, pngs, tmp_path):
    page = Page(write(figures={"swap_test": pngs["bound"], "loss_curves": pngs["loss_curves"]}))
    assert page.inside["h2"][:2] == ["Learning curves", "Swap test"]
    with pytest.raises(RequestError, match=r"figure 'samples': .*not a PNG"):
        write(figures={"samples": tmp_path / "no.png"})


def test_the_same_run_gives_the_same_bytes_and_no_rest(write, pngs, tmp_path):
    assert write(figures=pngs) == write(figures=pngs)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_old_page(write, tmp_path, monkeypatch):
    old = write(title="old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(title="new")
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8") == old
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["report.html"]


def test_text_has_contrast_in_light_and_in_dark(write):
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    themes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", write(), re.S)]
    assert len(themes) == 2
    assert luminance(themes[0]["page"]) > 0.8
    assert luminance(themes[1]["page"]) < 0.05
    for theme in themes:
        for ink in ("ink", "soft", "accent"):
            for paper in ("page", "panel"):
                light, dark = sorted((luminance(theme[ink]), luminance(theme[paper])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, ink, paper)


def test_sounds_are_below_their_figure_and_do_not_play_by_themselves(tmp_path):
    from matplotlib.figure import Figure

    from vaekit.music import Note
    from vaekit.music.sound import wav

    paths = {name: figures.save(Figure(), tmp_path / f"{name}.png") for name in ("samples", "reconstructions")}
    content = wav([Note(0, 4, 69)])
    page = write_report(
        tmp_path, title="t", config={}, metrics={}, history={}, figures=paths, command="c", sounds={"samples": content}
    )
    source = page.read_text(encoding="utf-8")
    tags = Page(source).tags
    [(_, audio)] = [tag for tag in tags if tag[0] == "audio"]
    assert base64.b64decode(audio["src"].removeprefix("data:audio/wav;base64,")) == content
    assert "controls" in audio
    assert "autoplay" not in audio
    images = [number for number, (tag, _) in enumerate(tags) if tag == "img"]
    assert tags[images[1] + 1][0] == "audio"  # samples come after reconstructions, which have none
    assert "media-src data:" in source
