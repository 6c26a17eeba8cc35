r"""Files that are whole or absent."""

import os
import stat
import subprocess
import sys

import pytest

from vaekit.errors import RequestError
from vaekit.storage import is_litter, replace_file, sole_writer, sweep


def test_the_file_is_written_and_returned_and_nothing_else(tmp_path):
    path = replace_file(str(tmp_path / "deep" / "down" / "file"), lambda temporary: temporary.write_bytes(b"new"))
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def crash(temporary):
        temporary.write_text("ne")
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        replace_file(path, crash)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_crash_before_the_file_is_moved_leaves_the_old_file(tmp_path, monkeypatch):
    path = replace_file(tmp_path / "file", lambda temporary: temporary.write_bytes(b"old"))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, lambda temporary: temporary.write_bytes(b"new"))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_two_writers_do_not_meet(tmp_path):
    def inner(temporary):
        temporary.write_text("outer")
        replace_file(tmp_path / "file", lambda other: other.write_text("inner"))
        assert temporary.read_text() == "outer"

    assert replace_file(tmp_path / "file", inner).read_text() == "outer"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_files_are_as_readable_as_the_user_wants(tmp_path):
    def private(temporary):
        temporary.write_bytes(b"")
        temporary.chmod(0o600)

    before = os.umask(0o022)
    try:
        modes = [stat.S_IMODE(replace_file(tmp_path / "a", private).stat().st_mode)]
        os.umask(0o077)
        modes.append(stat.S_IMODE(replace_file(tmp_path / "b", private).stat().st_mode))
    finally:
        os.umask(before)
    assert modes == [0o644, 0o600]


def test_litter_is_swept_and_nothing_else(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for path in (tmp_path / ".config.json.12.tmp", folder / ".last.safetensors.12.tmp"):
        path.write_text("half")
        assert is_litter(path)
    for path in (tmp_path / "notes.tmp", folder / ".hidden"):
        path.write_text("mine")
        assert not is_litter(path)
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".hidden", "checkpoints", "notes.tmp"]


def test_what_a_killed_writer_leaves_is_litter(tmp_path):
    seen = []
    replace_file(tmp_path / "file", lambda temporary: (temporary.write_text(""), seen.append(temporary)))
    assert is_litter(seen[0])
    assert seen[0].parent == tmp_path


def test_one_process_writes_at_a_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from vaekit.storage import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(RequestError, match="another process is writing to"), sole_writer(tmp_path):
            pass
    finally:
        other.kill()  # the claim ends with it
        other.communicate()
    with sole_writer(tmp_path):
        assert not list(tmp_path.iterdir())
    with sole_writer(tmp_path):  # and is given back
        pass
