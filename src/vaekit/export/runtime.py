r"""onnxruntime-web, from a folder, its npm archive, or npm: the few files that a page of ours needs."""

__all__ = ["TESTED", "runtime_files"]

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vaekit.errors import RequestError

TESTED = "1.30.0"
_PACKAGE = "onnxruntime-web"
# The build for WebAssembly alone, and by what name the page loads it: a plain .js, since hosts that do not know .mjs
# serve it as bytes, which no browser runs as a module.
_NEEDED = {
    "ort.wasm.min.mjs": "ort.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm.wasm",
}
_LARGEST = 2**28  # bytes of one file that are read
_SECONDS = 600

_HOW = (
    f"pass --onnxruntime-web with the file that `npm pack {_PACKAGE}@{TESTED}` writes, or the folder of the installed "
    f"package, node_modules/{_PACKAGE}"
)


def runtime_files(source: str | os.PathLike[str] | None = None) -> tuple[dict[str, bytes], str]:
    r"""Return the files of onnxruntime-web by the names that the page loads them by, and the version.

    Nothing is unpacked or run. Without a source, npm is asked for the package, if npm is there.

    Arguments:
        source: A folder of the package, or the archive that npm makes of it, .tgz.

    Raises:
        RequestError: If the source is missing or damaged, or lacks a file; or there is none, and npm cannot get it.

    Example:
        >>> runtime_files("nowhere.tgz")
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: nowhere.tgz does not exist; pass --onnxruntime-web with the file that ...
    """
    if source is None:
        with tempfile.TemporaryDirectory() as folder:
            return _read(_packed(Path(folder)))
    return _read(Path(source))


def _read(path: Path) -> tuple[dict[str, bytes], str]:
    if not path.exists():
        raise RequestError(f"{path} does not exist; {_HOW}")
    try:
        found = _of_folder(path) if path.is_dir() else _of_archive(path)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        why = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise RequestError(f"{path} cannot be read ({why}): it is damaged; {_HOW}") from None
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise RequestError(
            f"{path} lacks {', '.join(missing)}; expected {_PACKAGE}, {TESTED} or another version with these: {_HOW}"
        )
    if not found["ort-wasm-simd-threaded.wasm"].startswith(b"\0asm"):
        raise RequestError(f"in {path} the file ort-wasm-simd-threaded.wasm is no WebAssembly: it is damaged; {_HOW}")
    return {ours: found[theirs] for theirs, ours in _NEEDED.items()}, _version(found.get("package.json"))


def _of_folder(path: Path) -> dict[str, bytes]:
    dist = path / "dist" if (path / "dist").is_dir() else path
    places = {name: dist / name for name in _NEEDED} | {"package.json": dist.parent / "package.json"}
    return {name: place.read_bytes() for name, place in places.items() if place.is_file()}


def _of_archive(path: Path) -> dict[str, bytes]:
    """Read the members that are needed; where others say that they belong does not matter."""
    found = {}
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            place = PurePosixPath(member.name)
            wanted = place.name in _NEEDED or place.parts[1:] == ("package.json",)
            if wanted and member.isfile() and member.size <= _LARGEST:
                content = archive.extractfile(member)
                assert content is not None
                found[place.name] = content.read()
    return found


def _version(package: bytes | None) -> str:
    try:
        content = json.loads(package or b"")
    except ValueError:
        return "unknown"
    return str(content.get("version", "unknown")) if isinstance(content, dict) else "unknown"


def _packed(folder: Path, run: Callable[..., "subprocess.CompletedProcess[str]"] = subprocess.run) -> Path:
    """The archive of the package, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise RequestError(f"the page needs {_PACKAGE}, and there is no npm to get it: {_HOW}")
    command = [npm, "pack", f"{_PACKAGE}@{TESTED}", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
        said = done.stderr.strip().splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = [str(error)]
    archives = list(folder.glob("*.tgz"))
    if not archives:
        why = next(
            (line for line in said if "ERR" in line or "error" in line.lower()), said[-1] if said else "no reason"
        )
        raise RequestError(f"npm could not get {_PACKAGE} ({why}): {_HOW}")
    return archives[0]
