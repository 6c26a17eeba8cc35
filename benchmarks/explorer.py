r"""How fast the explorer answers, measured in the browser: loading, pointer to picture, panning and zooming.

    python -m benchmarks.explorer RUN [--picture docs/images/explorer.png] [--panel]

starts `vaekit explore RUN`, moves the pointer over its page in headless Chromium, and writes
docs/results/explorer.json. With --panel the same page is measured over Panel's channel too, which a notebook uses.
"""

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import write

ROOT = Path(__file__).parent.parent
MOVES = 100
PAUSE = 60  # milliseconds between moves
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PANEL = """
import sys, panel as pn
from vaekit.explorer import explore
server = pn.serve(explore(sys.argv[1]), port=0, show=False, start=False, address="127.0.0.1", verbose=False)
print(f"explorer: http://127.0.0.1:{server.port}/", flush=True)
server.start()
server.io_loop.start()
"""
WATCH = """(root) => {
  window.times = {drawn: [], frame: []};
  root.addEventListener("vaekit:shown", ({detail}) => {
    window.times.drawn.push(detail.drawn - detail.asked);
    requestAnimationFrame(() => window.times.frame.push(performance.now() - detail.asked));
  });
}"""
FRAMES = """() => {
  window.frames_ = [];
  let last = performance.now();
  const next = (now) => { window.frames_.push(now - last); last = now; window.ticking = requestAnimationFrame(next); };
  window.ticking = requestAnimationFrame(next);
}"""
STOP = "() => { cancelAnimationFrame(window.ticking); return window.frames_.slice(2); }"


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median_ms": round(statistics.median(ordered), 2),
        "p90_ms": round(ordered[int(0.9 * (len(ordered) - 1))], 2),
        "n": len(ordered),
    }


def measure(url: str, picture: Path | None) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto("about:blank")
        started = time.perf_counter()
        page.goto(url)
        page.locator(".vk-numbers div").first.wait_for()  # the first picture is there, and measured
        loaded = 1000 * (time.perf_counter() - started)
        page.locator(".vk-explorer").evaluate(WATCH)
        box = page.locator(".vk-map").bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        for step in range(MOVES + 10):
            if step == 10:  # the first ones warm up
                page.evaluate("() => { window.times.drawn.length = window.times.frame.length = 0; }")
            page.mouse.move(middle[0] - 160 + 3 * step, middle[1] + 70 * ((step % 20) / 10 - 1))
            page.wait_for_timeout(PAUSE)
        page.wait_for_timeout(300)
        times = page.evaluate("() => window.times")
        result = {
            "load_ms": round(loaded, 1),
            "pointer_to_picture": summary(times["drawn"]),
            "pointer_to_frame": summary(times["frame"]),
        }
        page.mouse.move(*middle)
        page.evaluate(FRAMES)
        page.mouse.down()
        for step in range(60):
            page.mouse.move(middle[0] + 2 * step, middle[1] + step)
        page.mouse.up()
        result["pan_frame"] = summary(page.evaluate(STOP))
        page.evaluate(FRAMES)
        for step in range(60):
            page.mouse.wheel(0, -60 if step < 30 else 60)
        result["zoom_frame"] = summary(page.evaluate(STOP))
        if picture is not None:
            show(page, box, picture)
        browser.close()
    return result


def show(page: Any, box: dict[str, float], picture: Path) -> None:
    """Leave the page as a user would, with a path, and keep a picture of it."""
    page.get_by_role("button", name="Reset", exact=True).click()
    page.get_by_role("radio", name="Path").click()
    for x, y in ((0.37, 0.75), (0.56, 0.25)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.wait_for_timeout(400)
    page.get_by_role("radio", name="Look").click()
    page.mouse.click(box["x"] + 0.60 * box["width"], box["y"] + 0.72 * box["height"])
    page.mouse.move(box["x"] + 0.46 * box["width"], box["y"] + 0.60 * box["height"])
    page.wait_for_timeout(600)
    page.screenshot(path=str(picture))


def serve(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"explorer: (\S+)", line):
            return process, found[1]
    raise SystemExit("the explorer did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--map", default="auto")
    parser.add_argument("--panel", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "explorer.json")
    given = parser.parse_args()
    ways = {"live": [sys.executable, "-m", "vaekit", "explore", given.run, "--map", given.map, "--no-browser"]}
    if given.panel:
        ways["panel"] = [sys.executable, "-c", PANEL, given.run]
    results: dict[str, Any] = {}
    for way, command in ways.items():
        process, url = serve(command)
        try:
            results[way] = measure(url, given.picture if way == "live" else None)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
        print(way, json.dumps(results[way], indent=2))
    config = json.loads((Path(given.run) / "config.json").read_text())
    protocol = (
        f"headless Chromium, 1440 x 900; load: from the request to the first picture and its measures; {MOVES} pointer "
        f"moves {PAUSE} ms apart, after 10 to warm up; picture: from the pointer event's time stamp to the decoded "
        "picture on its canvas; frame: to the animation frame after it; pan and zoom: time between animation frames "
        "while the map of all test examples moves"
    )
    run = {"recipe": config["recipe"], "arguments": config["arguments"], "data": config["data"]["name"]}
    write(given.out, protocol, {"run": run, "map": given.map, **results})


if __name__ == "__main__":
    main()
