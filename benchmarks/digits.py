r"""The whole command on small data: 100 epochs of the digits, from the shell: `python -m benchmarks.digits`."""

__all__ = ["main"]

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "wall time of `vaekit train vae --data digits --epochs 100` from the shell: start of Python, imports, training, "
    "evaluation, figures, report; each time into a fresh folder, a compiler's cache on disk kept as users keep it"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "digits.json")
    options = parser.parse_args()
    script = str(Path(sys.executable).with_name("vaekit"))
    command = [script, "train", "vae", "--data", "digits", "--epochs", str(options.epochs)]
    seconds: list[float] = []
    for turn in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            done = subprocess.run([*command, "--out", f"{folder}/run"], capture_output=True, text=True)
            seconds.append(time.perf_counter() - start)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
        print(f"run {turn + 1} of {options.repeats}: {seconds[-1]:.2f} s", flush=True)
    print(f"median {median(seconds):.2f} s")
    write(options.out, PROTOCOL, {"epochs": options.epochs, "median_seconds": median(seconds), "seconds": seconds})


if __name__ == "__main__":
    main()
