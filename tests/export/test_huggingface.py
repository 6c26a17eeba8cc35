import json

import pytest
import torch

import vaekit
from vaekit.errors import RequestError
from vaekit.export.command import export


@pytest.fixture(scope="module")
def shared(finished_run, tmp_path_factory):
    return export(str(finished_run), to="huggingface", out=str(tmp_path_factory.mktemp("hub") / "digits"))


def test_the_folder_is_the_same_model_without_the_run(finished_run, shared):
    assert {"config.json", "model.safetensors", "README.md"} <= {file.name for file in shared.iterdir()}
    own, theirs = vaekit.load(finished_run), vaekit.load(shared)
    assert own.state_dict().keys() == theirs.state_dict().keys()
    for name, value in own.state_dict().items():
        torch.testing.assert_close(theirs.state_dict()[name], value, rtol=0, atol=0)
    torch.testing.assert_close(theirs.sample(3, seed=1), own.sample(3, seed=1), rtol=0, atol=0)


def test_the_card_has_front_matter_and_the_numbers_of_the_run(finished_run, shared):
    card = (shared / "README.md").read_text()
    _, front, text = card.split("---\n", 2)
    assert "library_name: vaekit\n" in front
    test = json.loads((finished_run / "metrics.json").read_text())["test"]
    assert f"| ELBO, nats an example | {test['elbo']:.2f} ± {test['elbo_se']:.2f} |" in text
    assert "recipe `vae` on digits" in text


def test_no_path_of_this_machine_is_shared(finished_run, shared):
    for file in shared.iterdir():
        assert str(finished_run.parent).encode() not in file.read_bytes()


def test_another_folder_is_not_written_over(finished_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(RequestError, match="mine"):
            export(str(finished_run), to="huggingface", out=str(tmp_path / "mine"), force=force)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
