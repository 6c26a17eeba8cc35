r"""Images a second in training, contestants taking turns: `python -m benchmarks.training_speed`.

Every contestant lives in a process of its own and has warmed up before the first timed epoch. Then each in turn is
asked for one epoch, over and over, so that whatever else the machine does falls on all of them alike, and ratios are
taken within a round.
"""

__all__ = ["main"]

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.contestants import BATCH, CONTESTANTS
from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "784-500-tanh-2-500-tanh-784, Gaussian posterior, Bernoulli likelihood, batch 100, Adam 1e-3, whole epochs; "
    "one process a contestant, warm-up epochs and compilation not counted, one epoch each in turn and only one "
    "process at work; progress bars on a terminal, logging on; ratios are medians over rounds of ratios in a round"
)
# numerator, denominator: what the project promises, then what is good to know
RATIOS = (
    ("vaekit_trainer", "pythae_trainer"),
    ("vaekit_trainer", "bare_compiled"),
    ("vaekit_trainer", "jax_scan"),
    ("vaekit_trainer", "bare_eager"),
    ("jax_scan", "bare_compiled"),
    ("bare_compiled", "pythae_trainer"),
)


class Worker:
    """A contestant in its process, with a terminal of its own, so that its progress bar is drawn as for a user."""

    def __init__(self, name: str, options: argparse.Namespace, folder: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self._screen, terminal = pty.openpty()
        arguments = [f"--{key}={getattr(options, key)}" for key in ("images", "rounds", "warmup", "seed")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal, text=True, cwd=ROOT,
            env=os.environ | {"TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(terminal)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with self.log.open("wb") as log:
            while True:
                try:
                    drawn = os.read(self._screen, 65536)
                except OSError:  # the terminal's other end is closed
                    return
                log.write(drawn)
                log.flush()

    def answer(self) -> float | None:
        """Wait for the next line; None stands for the end of the warm-up."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            printed = self.log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{self.name} stopped before its last epoch; the end of its output:\n{printed}")
        seconds: float | None = json.loads(line)
        return seconds

    def epoch(self) -> float:
        """Ask for one epoch and return its seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.answer() or "nan")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.process.kill()
        self.process.communicate()


def _measure(names: list[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of every timed epoch of every contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        workers: list[Worker] = []
        try:
            for name in names:  # one after the other: compilation would disturb a neighbour's, too
                print(f"warming up {name}", flush=True)
                workers.append(Worker(name, options, Path(folder)))
                workers[-1].answer()
            for turn in range(options.rounds):
                for worker in workers:
                    seconds[worker.name].append(worker.epoch())
                speeds = "  ".join(f"{name} {options.images / seconds[name][-1]:,.0f}" for name in names)
                print(f"round {turn + 1} of {options.rounds}: {speeds}", flush=True)
        finally:
            for worker in workers:
                worker.__exit__(*sys.exc_info())
    return seconds


def _ratio(speeds: dict[str, list[float]], above: str, below: str) -> float:
    return median(a / b for a, b in zip(speeds[above], speeds[below], strict=True))


def _summary(speeds: dict[str, list[float]]) -> dict[str, Any]:
    pairs = [pair for pair in RATIOS if set(pair) <= set(speeds)]
    floor = {f"{name}/floor": _ratio(speeds, name, "floor") for name in speeds if "floor" in speeds}
    return {
        "images_per_second": {name: median(values) for name, values in speeds.items()},
        "ratios": {f"{above}/{below}": _ratio(speeds, above, below) for above, below in pairs},
        "fraction_of_the_floor": floor,
    }


def _show(speeds: dict[str, list[float]], summary: dict[str, Any]) -> None:
    print(f"\n{'contestant':<18}{'images/s':>10}{'lowest':>10}{'highest':>10}{'of the floor':>14}")
    for name, values in speeds.items():
        share = summary["fraction_of_the_floor"].get(f"{name}/floor")
        shown = "" if share is None else f"{share:.2f}"
        print(f"{name:<18}{median(values):>10,.0f}{min(values):>10,.0f}{max(values):>10,.0f}{shown:>14}")
    for pair, value in summary["ratios"].items():
        print(f"{pair:<34}{value:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2, help="epochs before the timed ones")
    parser.add_argument("--images", type=int, default=50_000, help="as many as MNIST has to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "speed.json")
    options = parser.parse_args()
    if options.images % BATCH or options.images <= 0:
        parser.error(f"--images is {options.images}; expected a multiple of {BATCH}, so that all do the same work")
    seconds = _measure(options.only, options)
    speeds = {name: [options.images / each for each in values] for name, values in seconds.items()}
    summary = _summary(speeds)
    _show(speeds, summary)
    settings = {key: getattr(options, key) for key in ("images", "rounds", "warmup", "seed")}
    contestants = {name: CONTESTANTS[name] for name in options.only}
    write(options.out, PROTOCOL, {**settings, "contestants": contestants, **summary, "epoch_seconds": seconds})


if __name__ == "__main__":
    main()
