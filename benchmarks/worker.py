r"""One contestant in a process of its own: `python -m benchmarks.worker NAME ...`, told when to go by its parent.

It writes one JSON value a line to the standard output that it was given: `null` when the warm-up is over, and then
the seconds of each epoch. It reads one line before each timed epoch. What the contestant itself prints goes to
standard error.
"""

__all__ = ["main"]

import argparse
import json
import os
import sys


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    from benchmarks.contestants import load
    from benchmarks.images import make_images
    from benchmarks.laps import Laps

    waited = False

    def wait() -> None:
        nonlocal waited
        if not waited:
            waited = True
            replies.write("null\n")
        if not sys.stdin.readline():
            raise SystemExit("the parent is gone")

    def report(seconds: float) -> None:
        replies.write(json.dumps(seconds) + "\n")

    laps = Laps(options.rounds, options.warmup, wait, report)
    load(options.name)(make_images(options.images, options.seed), laps)
    if len(laps.seconds) != options.rounds:
        raise SystemExit(f"{options.name}: {len(laps.seconds)} epochs timed, {options.rounds} asked for")


if __name__ == "__main__":
    main()
