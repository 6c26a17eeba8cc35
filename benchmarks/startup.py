r"""How long `import vaekit` and `vaekit --help` take: `python -m benchmarks.startup`."""

__all__ = ["main"]

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "wall time of a whole process, files already in the page cache (one run before the counted ones), commands "
    "taking turns; `python -c pass` is Python's own share"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "startup.json")
    options = parser.parse_args()
    script = Path(sys.executable).with_name("vaekit")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import vaekit'": [sys.executable, "-c", "import vaekit"],
        "vaekit --help": [str(script), "--help"],
        "vaekit train --help": [str(script), "train", "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(options.repeats + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            elapsed = time.perf_counter() - start
            if done.returncode:
                raise SystemExit(f"{name} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
            if turn:
                seconds[name].append(elapsed)
    medians = {name: median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:<28}{value:>7.3f} s")
    write(options.out, PROTOCOL, {"repeats": options.repeats, "median_seconds": medians, "seconds": seconds})


if __name__ == "__main__":
    main()
