r"""How fast an exported page is in the browser: `python -m benchmarks.web_export RUN --onnxruntime-web FILE`."""

__all__ = ["main"]

import argparse
import functools
import http.server
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.explorer import FLAGS, measure, summary
from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "headless Chromium on the same machine, the page served from its folder; loading, pointer, panning and zooming as "
    "benchmarks.explorer measures them on the live page; decoding: one point through the decoder, 300 of them in a row,"
    " the first 30 not counted"
)
TIMES = 300

DECODE = """async (times) => {
    const { onnxBackend } = await import(new URL("onnx_backend.js", location.href));
    const backend = await onnxBackend();
    const taken = [];
    const z = await backend.sample(times, 0);
    const d = z.length / times;
    for (let i = 0; i < times; i++) {
        const start = performance.now();
        await backend.decode(z.slice(i * d, (i + 1) * d), 1);
        taken.push(performance.now() - start);
    }
    return taken;
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine, and yield its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def decoding(address: str) -> dict[str, float]:
    """Decode points one after the other on the page, and return what one took."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page()
        page.goto(address)
        page.locator(".vk-numbers div").first.wait_for()
        taken = page.evaluate(DECODE, TIMES)
        browser.close()
    return summary(taken[TIMES // 10 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a trained run")
    parser.add_argument("--onnxruntime-web", type=Path, help="the package, as a folder or its archive")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "web_export.json")
    options = parser.parse_args()

    from vaekit.export import web
    from vaekit.runs import Run

    run = Run(options.run)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "web"
        differences = web(run, folder, onnxruntime_web=options.onnxruntime_web)
        with served(folder) as address:
            results = {**measure(address, None), "decoding": decoding(address)}
        sizes = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    for name, entry in results.items():
        print(f"{name:<20}{entry}")
    config = run.config
    model = {"recipe": config["recipe"], "data": config["spec"]["name"], **config["arguments"]}
    content = {"model": model, **results, "differences_from_pytorch": differences, "bytes": dict(sorted(sizes.items()))}
    write(options.out, PROTOCOL, content)


if __name__ == "__main__":
    main()
