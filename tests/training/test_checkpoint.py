r"""Files that are whole or not there."""

import os
import stat

import pytest
import torch

from vaekit.errors import RequestError
from vaekit.training.checkpoint import load_checkpoint, save_checkpoint


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "new" / "a.safetensors"
    tensors = {"w": torch.randn(3, 4).t(), "n": torch.tensor(5), "b": torch.tensor([1, 255], dtype=torch.uint8)}
    save_checkpoint(path, tensors, {"epoch": 3, "best": float("-inf"), "rows": [{"x": 0.1}]})
    loaded, state = load_checkpoint(path)
    assert loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[name], tensors[name]) and loaded[name].dtype == tensors[name].dtype for name in loaded
    )
    assert state == {"epoch": 3, "best": float("-inf"), "rows": [{"x": 0.1}]}


def test_a_crash_before_the_file_is_moved_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"w": torch.ones(2)}, {"epoch": 1})

    def crash(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(path, {"w": torch.zeros(2)}, {"epoch": 2})
    assert load_checkpoint(path)[1] == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_files_are_as_readable_as_the_user_wants(tmp_path):
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "a.safetensors", {"w": torch.ones(2)}, {})
        os.umask(0o077)
        save_checkpoint(tmp_path / "b.safetensors", {"w": torch.ones(2)}, {})
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / f"{name}.safetensors").stat().st_mode) for name in "ab"]
    assert modes == [0o644, 0o600]


@pytest.mark.parametrize("damage", ["empty", "half", "text", "foreign"])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"w": torch.ones(200)}, {"epoch": 1})
    whole = path.read_bytes()
    contents = {"empty": b"", "half": whole[: len(whole) // 2], "text": b"hello " * 20}
    if damage == "foreign":
        from safetensors.torch import save_file

        save_file({"w": torch.ones(2)}, path)
    else:
        path.write_bytes(contents[damage])
    with pytest.raises(RequestError, match=r"last\.safetensors is damaged"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(RequestError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "last.safetensors")
