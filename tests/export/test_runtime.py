import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from vaekit.errors import RequestError
from vaekit.export.runtime import TESTED, runtime_files

MEMBERS = {
    "package/package.json": b'{"name": "onnxruntime-web", "version": "9.8.7"}',
    "package/README.md": b"not needed",
    "package/dist/ort.min.mjs": b"another build",
    "package/dist/ort.wasm.min.mjs": b"the module",
    "package/dist/ort-wasm-simd-threaded.mjs": b"the glue",
    "package/dist/ort-wasm-simd-threaded.wasm": b"\0asm" + bytes(range(256)) * 64,
}
EXPECTED = {
    "ort.js": MEMBERS["package/dist/ort.wasm.min.mjs"],
    "ort-wasm.js": MEMBERS["package/dist/ort-wasm-simd-threaded.mjs"],
    "ort-wasm.wasm": MEMBERS["package/dist/ort-wasm-simd-threaded.wasm"],
}


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def test_an_archive_and_a_folder_give_the_same_files(tmp_path: Path) -> None:
    assert runtime_files(archive(tmp_path / "a.tgz", MEMBERS)) == (EXPECTED, "9.8.7")
    for name, content in MEMBERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert runtime_files(tmp_path / "package") == (EXPECTED, "9.8.7")
    assert runtime_files(tmp_path / "package" / "dist") == (EXPECTED, "9.8.7")
    (tmp_path / "package" / "package.json").write_text("[")
    assert runtime_files(tmp_path / "package") == (EXPECTED, "unknown")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    content = archive(tmp_path / "whole.tgz", MEMBERS | {"package/dist/z": os.urandom(50_000)}).read_bytes()
    for name, damaged in (
        ("cut", content[: len(content) // 2]),
        ("empty", b""),
        ("page", b"<html>404</html>" * 50),
        ("flipped", content[:200] + bytes(200) + content[400:]),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(RequestError, match=rf"{name} (cannot be read|lacks).*--onnxruntime-web"):
            runtime_files(tmp_path / name)


def test_a_package_that_lacks_a_file_or_has_another_in_its_place_is_refused(tmp_path: Path) -> None:
    wasm = "package/dist/ort-wasm-simd-threaded.wasm"
    without = archive(tmp_path / "without.tgz", {k: v for k, v in MEMBERS.items() if k != wasm})
    with pytest.raises(RequestError, match=r"without.tgz lacks ort-wasm-simd-threaded.wasm; expected"):
        runtime_files(without)
    with pytest.raises(RequestError, match="is no WebAssembly"):
        runtime_files(archive(tmp_path / "pointer.tgz", MEMBERS | {wasm: b"version https://git-lfs"}))
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestError, match=r"folder lacks ort.wasm.min.mjs, ort-wasm"):
        runtime_files(tmp_path / "folder")


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0asm secret")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as made:
        for name, content in MEMBERS.items():
            entry = tarfile.TarInfo(name)
            if name.endswith(".wasm"):
                entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
                made.addfile(entry)
            else:
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
    with pytest.raises(RequestError, match=r"lacks ort-wasm-simd-threaded\.wasm"):
        runtime_files(tmp_path / "a.tgz")


def npm(folder: Path, code: str) -> None:
    """Put a program called npm into a folder."""
    folder.mkdir(exist_ok=True)
    program = folder / "npm"
    program.write_text(f"#!{sys.executable}\nimport shutil, sys\n{code}\n")
    program.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="needs a script with an interpreter line")
def test_without_a_source_npm_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "made.tgz", MEMBERS)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RequestError, match=rf"there is no npm .*`npm pack onnxruntime-web@{TESTED}`"):
        runtime_files()
    expected = ["pack", f"onnxruntime-web@{TESTED}", "--ignore-scripts", "--pack-destination"]
    npm(tmp_path / "bin", f"assert sys.argv[1:5] == {expected}\nshutil.copy({str(made)!r}, sys.argv[5] + '/x.tgz')")
    assert runtime_files() == (EXPECTED, "9.8.7")
    npm(tmp_path / "bin", "print('npm ERR! network ENOTFOUND', file=sys.stderr); sys.exit(1)")
    with pytest.raises(RequestError, match=r"npm could not get onnxruntime-web \(npm ERR! network ENOTFOUND\)"):
        runtime_files()
