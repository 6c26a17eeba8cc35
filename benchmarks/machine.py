r"""What a result was measured on and with, to be written beside the numbers."""

__all__ = ["describe", "write"]

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PACKAGES = ("vaekit", "torch", "lightning-fabric", "jax", "jaxlib", "pythae", "numpy")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip()


def _cpus() -> int:
    """Count the processors that this process may use, which a container can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Return hardware, load, versions, commit and time, ready for JSON."""
    return {
        "processor": _processor(),
        "cpus": _cpus(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES},
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "../src", ".")),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["python", "-m", *sys.orig_argv[2:]] if "-m" in sys.orig_argv[:2] else sys.orig_argv,
    }


def write(path: Path, protocol: str, results: dict[str, Any]) -> None:
    """Write results as JSON, with the machine and the protocol in front."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"protocol": protocol, "machine": describe(), **results}
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path}")
