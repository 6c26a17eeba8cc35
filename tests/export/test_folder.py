import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vaekit.errors import RequestError
from vaekit.export.folder import MARK, whole_folder


def make(path: Path, content: str, *, force: bool = False) -> None:
    with whole_folder(path, {"kind": "note"}, force=force) as (folder, record):
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(content)
        record["length"] = len(content)


def test_the_record_has_what_was_said_and_every_file(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "out", "abc")
    record = json.loads((tmp_path / "deep" / "out" / MARK).read_text())
    assert (record["kind"], record["length"]) == ("note", 3)
    # SHA-256 of "abc", as FIPS 180 gives it.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record["files"] == {"inner/a.txt": {"bytes": 3, "sha256": digest}}


def test_what_fails_leaves_nothing_or_what_was_there(
    tmp_path: Path, listing: Callable[[Path], dict[str, bytes]]
) -> None:
    def fail(error: BaseException, *, force: bool) -> None:
        with whole_folder(tmp_path / "out", {}, force=force) as (folder, _):
            (folder / "half.txt").write_text("half")
            assert not (tmp_path / "out" / "half.txt").exists()
            raise error

    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt(), force=False)
    assert not list(tmp_path.iterdir())
    make(tmp_path / "out", "old")
    before = listing(tmp_path)
    with pytest.raises(RequestError, match="No space left"):
        fail(OSError(28, "No space left on device"), force=True)
    assert listing(tmp_path) == before


def test_only_an_export_is_replaced_and_only_by_force(
    tmp_path: Path, listing: Callable[[Path], dict[str, bytes]]
) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty", "into an empty folder")
    make(tmp_path / "out", "old")
    with pytest.raises(RequestError, match=r"holds an export.*--force"):
        make(tmp_path / "out", "new")
    (tmp_path / "out" / "stale.txt").write_text("stale")
    make(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out" / "inner" / "a.txt").read_text() == "new"
    assert not (tmp_path / "out" / "stale.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("a file")
    before = listing(tmp_path)
    with pytest.raises(RequestError, match="is no export; nothing in it is touched"):
        make(tmp_path / "mine", "new", force=True)
    with pytest.raises(RequestError, match="file is a file"):
        make(tmp_path / "file", "new", force=True)
    assert listing(tmp_path) == before


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    make(tmp_path / "real", "old")
    os.symlink(tmp_path / "real", tmp_path / "link")
    make(tmp_path / "link", "new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "inner" / "a.txt").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_what_came_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole_folder(tmp_path / "out", {}) as (folder, _):
            (folder / "a.txt").write_text("mine")
            make(tmp_path / "theirs", "theirs")
            (tmp_path / "theirs" / MARK).unlink()
            (tmp_path / "theirs").rename(tmp_path / "out")

    with pytest.raises(RequestError, match="is no export"):
        interrupted()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["inner"]
