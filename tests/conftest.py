r"""What tests of whole runs share."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def listing() -> Callable[[Path], dict[str, bytes]]:
    """Return every file below a folder with its bytes, to tell whether anything was touched."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}

    return read


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures and the page, which take most of a small run's time."""
    monkeypatch.setattr("vaekit.report.run.report_run", lambda *arguments: None)


TINY: dict[str, Any] = {"hidden": (8,), "latent_dim": 2, "epochs": 2, "nll_samples": 0, "progress": False}


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Arguments of a training that takes a moment."""
    return dict(TINY)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the digits, with its report. Not to be written to."""
    import vaekit

    return vaekit.train("vae", "digits", out=tmp_path_factory.mktemp("finished") / "run", **TINY).directory


# Without what it would look up on the network.
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")  # a longer one would keep an event loop running, which other tests start themselves
def browser() -> Iterator[Any]:
    """Chromium, without a window, to look at pages as a reader does."""
    api = pytest.importorskip("playwright.sync_api", reason="pages are looked at only where playwright is")
    if not shutil.which(CHROMIUM):
        pytest.skip(f"pages are looked at only where {CHROMIUM} is")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A finished run of one's own."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))
