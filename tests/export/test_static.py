import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit.cli import main
from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale
from vaekit.distributions import StandardNormal
from vaekit.explorer.description import description_of
from vaekit.explorer.subject import Subject, subject_of
from vaekit.export.static import _input, _model
from vaekit.plan import DataSpec
from vaekit.recipes import get
from vaekit.runs import Run

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def placeholder(folder: Path) -> Path:
    """A package with the names of onnxruntime-web's files and nothing in them."""
    (folder / "dist").mkdir(parents=True)
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs"):
        (folder / "dist" / name).write_text("export {};")
    (folder / "dist" / "ort-wasm-simd-threaded.wasm").write_bytes(b"\0asm")
    (folder / "package.json").write_text('{"version": "0.0.0"}')
    return folder


@pytest.fixture(scope="module")
def page(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small model of digits, by the command, without what runs it."""
    folder = tmp_path_factory.mktemp("page") / "web"
    package = placeholder(tmp_path_factory.mktemp("package") / "onnxruntime-web")
    words = ["export", str(finished_run), "--to", "web", "--out", str(folder), "--points", "60"]
    assert main([*words, "--onnxruntime-web", str(package)]) == 0
    return folder


def test_the_folder_has_all_that_the_page_asks_for_and_a_record_of_it(page: Path, finished_run: Path) -> None:
    record = json.loads((page / "export.json").read_text())
    files = {str(path.relative_to(page)) for path in page.rglob("*") if path.is_file()}
    assert record["files"].keys() | {"export.json"} == files
    assert (record["kind"], record["recipe"], record["data"]) == ("web", "vae", "digits")
    assert max(record["differences"].values()) < 1e-4
    needed = {
        "index.html",
        "start.js",
        "explorer.js",
        "explorer.css",
        "onnx_backend.js",
        "description.json",
        "model.json",
    }
    needed |= {
        "encoder.onnx",
        "decoder.onnx",
        "onnxruntime/ort.js",
        "onnxruntime/ort-wasm.js",
        "onnxruntime/ort-wasm.wasm",
    }
    assert needed <= files
    assert b"onnx_backend" in (page / "start.js").read_bytes()  # ours, not the live page's
    # Whatever a module imports is there.
    for script in page.glob("*.js"):
        for line in script.read_text().splitlines():
            if line.startswith("import") and '"./' in line:
                assert (page / line.split('"./')[1].split('"')[0]).is_file(), (script.name, line)
    described = json.loads((page / "description.json").read_text())
    assert described == json.loads(json.dumps(description_of(subject_of(Run(finished_run)), 60, 0, "auto")))
    for path in page.rglob("*.js*"):
        assert str(finished_run) not in path.read_text()


def test_the_page_names_no_other_host(page: Path) -> None:
    for name in ("index.html", "start.js", "onnx_backend.js", "explorer.js", "explorer.css"):
        assert "https://" not in (page / name).read_text()
    content = (page / "index.html").read_text()
    assert "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'" in content


def test_what_is_wrong_is_said_before_anything_is_written(
    page: Path, finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in page.rglob("*")}
    words = ["export", str(finished_run), "--to", "web"]
    for more, message in (
        (["--out", str(page)], "holds an export"),
        (["--out", str(tmp_path / "a"), "--onnxruntime-web", str(tmp_path / "none.tgz")], "none.tgz does not exist"),
        (["--out", str(tmp_path / "b"), "--parts", "decoder"], "--parts is 'decoder', which is for --to onnx"),
        (["--out", str(finished_run), "--force"], "is no export; nothing in it is touched"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert {path: path.stat().st_mtime_ns for path in page.rglob("*")} == before
    assert main(["export", str(tmp_path / "nowhere")]) == 2
    assert "no run at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("levels", "transform"),
    [(256, Scale(256)), (256, Binarise(256)), (256, Dequantise(256)), (17, Scale(17)), (None, Identity())],
)
def test_the_page_feeds_the_model_the_mean_of_what_it_saw_in_training(levels: int | None, transform: Any) -> None:
    random = np.random.default_rng(0)
    stored = random.integers(levels, size=(50, 1, 3, 3)).astype(np.uint8) if levels else random.normal(2, 3, (50, 9))
    data = vaekit.data.from_arrays(stored if levels != 17 else stored.astype(np.uint8))
    if levels == 17:
        data = vaekit.data.Dataset("t", data.train, data.validation, data.test, 17)
    subject = Subject(torch.nn.Module(), data, transform, "toy")  # type: ignore[arg-type]
    x = np.asarray(data.test.x[:1])
    values = subject.shown(x)
    feed = _input(subject)
    assert feed["levels"] == levels
    ours = feed["scale"] * values + feed["shift"]
    generator = torch.Generator().manual_seed(0)
    many = torch.from_numpy(np.repeat(x, 20_000, 0))
    seen = transform(many, generator)
    drawn = seen.mean(0).numpy()
    inside = (values[0] > 0) & (values[0] < 1)  # real numbers beyond the range are shown as its ends
    error = 5 * float(seen.std(0).max()) / 20_000**0.5 + 1e-6
    np.testing.assert_allclose(ours[0][inside], drawn[inside], atol=error, rtol=1e-6)


def test_a_prior_without_a_formula_comes_as_draws_of_it(finished_run: Path) -> None:
    subject = subject_of(Run(finished_run))
    assert isinstance(subject.model.prior, StandardNormal)
    assert _model(subject, 2, 0)["prior"] is None
    plan = get("cvae")(DataSpec.of(subject.data), prior="conditional", hidden=(8,), latent_dim=2)
    told = Subject(plan.model.eval(), subject.data, plan.transform, "told")  # type: ignore[arg-type]
    entry = _model(told, 2, 0)
    assert entry["contexts"] == {"kind": "class"}
    assert (entry["prior"]["rows"], entry["prior"]["each_context"]) == (1000, True)
    draws = np.frombuffer(base64.b64decode(entry["prior"]["draws"]), "<f4").reshape(10, 1000, 2)
    with torch.no_grad():
        prior = plan.model.latent(torch.arange(10))  # type: ignore[operator]
    spread = prior.stddev.numpy()
    assert (np.abs(draws.mean(1) - prior.mean.numpy()) < 5 * spread / 1000**0.5).all()
    np.testing.assert_allclose(draws.std(1), spread, rtol=0.15)


# In a browser.


class Page:
    """An open page with all that it said and asked for."""

    def __init__(self, browser: Any, address: str) -> None:
        self.tab = browser.new_page(viewport={"width": 1200, "height": 900})
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(address)

    def canvas(self, selector: str) -> np.ndarray[Any, Any]:
        """The pixels of a canvas, shape (H, W, 4)."""
        width, height, data = self.tab.eval_on_selector(
            selector,
            """c => {
                const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
                copy.drawImage(c, 0, 0);
                return [c.width, c.height, Array.from(copy.getImageData(0, 0, c.width, c.height).data)];
            }""",
        )
        return np.array(data, np.uint8).reshape(height, width, 4)


@pytest.fixture(scope="module")
def served(page: Path, onnxruntime_web: Path, browser: Any, host: tuple[Path, str]) -> Iterator[Page]:
    """The page with what runs it, under a path of a host."""
    from vaekit.export.runtime import runtime_files

    root, address = host
    shutil.copytree(page, root / "some" / "where")
    for name, content in runtime_files(onnxruntime_web)[0].items():
        (root / "some" / "where" / "onnxruntime" / name).write_bytes(content)
    opened = Page(browser, f"{address}/some/where/")
    opened.tab.wait_for_selector(".vk-big", timeout=30_000)
    yield opened
    opened.tab.close()


CALL = """async ([method, given]) => {
    const { onnxBackend } = await import(new URL("onnx_backend.js", location.href));
    const backend = (window.tested ??= await onnxBackend());
    const prepared = given.map((value) => (Array.isArray(value) ? Float32Array.from(value) : value));
    return Array.from(await backend[method](...prepared));
}"""


def call(page: Page, method: str, *given: Any) -> np.ndarray[Any, Any]:
    return np.array(page.tab.evaluate(CALL, [method, list(given)]), np.float32)


def test_the_browser_gives_what_pytorch_gives(served: Page, finished_run: Path) -> None:
    subject = subject_of(Run(finished_run))
    z = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    with torch.no_grad():
        expected = subject.view.values(subject.model.decode(torch.from_numpy(z)).mean.numpy())
    for n in (1, 5):
        got = call(served, "decode", z[:n].ravel().tolist(), n)
        np.testing.assert_allclose(got.reshape(expected[:n].shape), expected[:n], atol=1e-5)
    values = subject.shown(np.asarray(subject.data.test.x[:3]))
    with torch.no_grad():
        codes = subject.model.encode(torch.from_numpy(values)).mean.numpy()
    np.testing.assert_allclose(
        call(served, "encode", values.ravel().tolist(), 3).reshape(codes.shape), codes, atol=1e-5
    )
    assert call(served, "decode", [], 0).shape == (0,)


def test_columns_in_units_of_their_own_are_shown_each_in_its_own(
    onnxruntime_web: Path, browser: Any, host: tuple[Path, str], tmp_path: Path, no_report: None
) -> None:
    x = np.random.default_rng(0).normal(size=(200, 5)) * [1, 1e4, 1e-3, 0, 20] + [0, 3e4, 0, 7, 0]
    small: dict[str, Any] = {"hidden": (8,), "latent_dim": 2, "epochs": 2, "nll_samples": 0, "progress": False}
    np.save(tmp_path / "table.npy", x.astype(np.float32))
    run = vaekit.train("vae", tmp_path / "table.npy", out=tmp_path / "run", **small)
    subject = subject_of(run)
    words = ["export", str(tmp_path / "run"), "--to", "web", "--points", "20"]
    assert main([*words, "--out", str(host[0] / "table"), "--onnxruntime-web", str(onnxruntime_web)]) == 0
    opened = Page(browser, f"{host[1]}/table/")
    opened.tab.wait_for_selector(".vk-big", timeout=30_000)
    z = np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32)
    values = subject.shown(np.asarray(subject.data.test.x[:4]))
    with torch.no_grad():
        expected = subject.view.values(subject.model.decode(torch.from_numpy(z)).mean.numpy())
        codes = subject.model.encode(torch.from_numpy(subject.stored(values))).mean.numpy()
    np.testing.assert_allclose(call(opened, "decode", z.ravel().tolist(), 4).reshape(4, 5), expected, atol=1e-4)
    np.testing.assert_allclose(call(opened, "encode", values.ravel().tolist(), 4).reshape(4, 2), codes, atol=1e-4)
    assert opened.said == []
    opened.tab.close()


def test_samples_are_normal_and_belong_to_their_seed(served: Page) -> None:
    first, again, other = (call(served, "sample", 10_000, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    n = first.size
    assert n == 20_000
    for drawn in (first, other):
        assert abs(drawn.mean()) < 5 / n**0.5
        assert abs((drawn**2).mean() - 1) < 5 * (2 / n) ** 0.5
        assert abs((drawn**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert abs((first * other).mean()) < 5 / n**0.5
    assert abs((first[::2] * first[1::2]).mean()) < 5 / (n / 2) ** 0.5


SHOWN = """() => {
    window.shown = new Promise((resolve) => addEventListener("vaekit:shown", resolve, { once: true, capture: true }));
}"""


def test_the_picture_under_the_pointer_is_pytorchs(served: Page, finished_run: Path) -> None:
    subject = subject_of(Run(finished_run))
    box = served.tab.locator("canvas").first.bounding_box()
    kept = 0
    for across, down in ((0.31, 0.42), (0.44, 0.63), (0.57, 0.38)):
        at = box["x"] + across * box["width"], box["y"] + down * box["height"]
        served.tab.evaluate(SHOWN)
        served.tab.mouse.move(*at)
        served.tab.evaluate("() => window.shown.then(() => true)")
        under = served.canvas(".vk-big")
        # A click keeps the point, and the sliders tell which it is.
        served.tab.evaluate(SHOWN)
        served.tab.mouse.click(*at)
        served.tab.evaluate("() => window.shown.then(() => true)")
        told = served.tab.eval_on_selector_all(
            ".vk-slider input", "all => all.map((i) => [i.getAttribute('aria-label'), i.value])"
        )
        values = {label.split(",")[0]: float(value) for label, value in told}
        z = torch.tensor([[values["unit z1"], values["unit z2"]]])
        with torch.no_grad():
            expected = subject.view.values(subject.model.decode(z).mean.numpy())[0, 0]
        picture = served.canvas(".vk-big")
        np.testing.assert_allclose(picture[..., 0] / 255, expected, atol=1 / 255)
        assert expected.max() - expected.min() > 0.2
        kept += bool((picture == under).all())
    assert kept  # of the others a click took the example beside them


def test_nothing_is_asked_of_another_host_and_nothing_goes_wrong(served: Page, host: tuple[Path, str]) -> None:
    assert served.said == []
    assert len(served.asked) > 10
    assert all(url.startswith(host[1] + "/some/where/") or url.startswith(("data:", "blob:")) for url in served.asked)
    # And the browser would not have let it.
    blocked = served.tab.evaluate("() => fetch('http://127.0.0.1:9/').then(() => 'went', () => 'blocked')")
    assert blocked == "blocked"
    assert any("Content Security Policy" in line for line in served.said)
    served.said.clear()


def test_what_cannot_start_says_why(page: Path, browser: Any, host: tuple[Path, str]) -> None:
    opened = Page(browser, f"file://{page}/index.html")
    opened.tab.wait_for_selector("[role=alert]")
    assert "python -m http.server" in opened.tab.inner_text("body")
    opened.tab.close()
    root, address = host
    shutil.copytree(page, root / "broken", ignore=shutil.ignore_patterns("description.json"))
    opened = Page(browser, f"{address}/broken/")
    opened.tab.wait_for_selector("[role=alert]")
    assert "could not be started" in opened.tab.inner_text("body")
    opened.tab.close()
