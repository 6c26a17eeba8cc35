r"""How fast an exported page is in the browser: `python -m benchmarks.web_export RUN --onnxruntime-web FILE`."""

__all__ = ["main"]

import argparse
import functools
import http.server
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "headless Chromium on the same machine, the page served from its folder; the mouse goes to random places "
    "on the middle of the map, one move after the picture of the one before; pointer to picture: from the pointer "
    "event's own time stamp to the end of drawing the decoded picture, in the browser's clock; pointer to next frame: "
    "until the frame after it begins; decoding: one point through the decoder, one after the other; the first tenth "
    "is not counted; seconds to the first picture are from the navigation, with nothing cached"
)
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Every picture that follows a move is noted, with what it took, and when the next frame began.
LISTEN = """() => {
    window.waiting = null;
    addEventListener("vaekit:shown", ({ detail: { asked, drawn } }) => {
        requestAnimationFrame((frame) => {
            const resolve = window.waiting;
            window.waiting = null;
            resolve?.([drawn - asked, performance.now() - asked]);
        });
    }, { capture: true });
}"""
EXPECT = """() => {
    window.shown = new Promise((resolve, reject) => {
        window.waiting = resolve;
        setTimeout(() => reject(new Error("no picture followed the pointer")), 5000);
    });
}"""
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


def measure(browser: Any, address: str, moves: int, seed: int = 0) -> dict[str, list[float]]:
    """Open the page, move over its map, and return what it took, in milliseconds."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_selector(".vk-big", timeout=60_000)
    opened = page.evaluate("() => performance.now()")
    page.wait_for_timeout(1000)
    page.evaluate(LISTEN)
    box = page.locator("canvas").first.bounding_box()
    places = random.Random(seed)
    drawn, frames = [], []
    for _ in range(moves):
        at = [box[c] + box[s] * places.uniform(0.3, 0.7) for c, s in (("x", "width"), ("y", "height"))]
        page.evaluate(EXPECT)
        page.mouse.move(*at)
        took, frame = page.evaluate("() => window.shown")
        drawn.append(took)
        frames.append(frame)
    decoding = page.evaluate(DECODE, moves)
    page.close()
    counted = slice(moves // 10, None)
    return {
        "opened": [opened],
        "pointer_to_picture": drawn[counted],
        "pointer_to_next_frame": frames[counted],
        "decoding": decoding[counted],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a trained run")
    parser.add_argument("--onnxruntime-web", type=Path, help="the package, as a folder or its archive")
    parser.add_argument("--moves", type=int, default=300)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "web_export.json")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    from vaekit.export import web
    from vaekit.runs import Run

    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        folder = Path(place) / "web"
        run = Run(options.run)
        differences = web(run, folder, onnxruntime_web=options.onnxruntime_web)
        browser = driver.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        with served(folder) as address:
            taken = measure(browser, address, options.moves)
        version = browser.version
        browser.close()
        sizes = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    summary = {
        name: {"median": median(values), "p95": quantiles(values, n=20)[-1]}
        for name, values in taken.items()
        if len(values) > 1
    }
    for name, entry in summary.items():
        print(f"{name:<24}{entry['median']:>8.2f} ms median{entry['p95']:>8.2f} ms 95 %")
    config = run.config
    content = {
        "model": {"recipe": config["recipe"], "data": config["spec"]["name"], **config["arguments"]},
        "chromium": version,
        "seconds_to_first_picture": taken.pop("opened")[0] / 1000,
        "milliseconds": summary,
        "differences_from_pytorch": differences,
        "bytes": sizes,
        "taken": taken,
    }
    write(options.out, PROTOCOL, content)


if __name__ == "__main__":
    main()
