r"""The log, as CSV and as TensorBoard events."""

import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vaekit.errors import Interrupted
from vaekit.training import fit, loop, state
from vaekit.training.history import History, read_history


def row(epoch, value):
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "seconds": 0.5,
        "beta": 1.0,
        "train_elbo": value,
        "validation_elbo": -1.0,
    }


def events(directory):
    accumulator = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def later():
    time.sleep(1.1)  # the names of event files sort by the second


def test_rows_are_written_and_read(tmp_path):
    history = History(tmp_path)
    for epoch, value in ((1, -5.25), (2, 1 / 3)):
        history.append(row(epoch, value))
    history.close()
    assert read_history(tmp_path / "history.csv") == history.columns()
    assert history.columns()["train_elbo"] == [-5.25, 1 / 3]


def test_events_are_grouped_by_term(tmp_path):
    history = History(tmp_path)
    history.append(row(1, -5.25))
    history.close()
    assert events(tmp_path) == {
        "elbo/train": [(10, -5.25)],
        "elbo/validation": [(10, -1.0)],
        "beta/run": [(10, 1.0)],
        "seconds/run": [(10, 0.5)],
    }


def test_steps_taken_again_are_not_shown_twice(tmp_path):
    history = History(tmp_path)
    for epoch in (1, 2, 3):
        history.append(row(epoch, -float(epoch)))
    history.close()
    later()
    resumed = History(tmp_path, history.rows[:1])  # the checkpoint was of epoch 1
    for epoch in (2, 3):
        resumed.append(row(epoch, -10.0 * epoch))
    resumed.close()
    assert events(tmp_path)["elbo/train"] == [(10, -1.0), (20, -20.0), (30, -30.0)]
    later()
    afresh = History(tmp_path)  # killed before there was a checkpoint
    afresh.append(row(1, -7.0))
    afresh.close()
    assert events(tmp_path)["elbo/train"] == [(10, -7.0)]
    assert read_history(tmp_path / "history.csv")["train_elbo"] == [-7.0]


def test_a_resumed_run_has_each_step_once(tmp_path, digits, make_plan, signal_at):
    with signal_at(15), pytest.raises(Interrupted):
        fit(make_plan(), digits, directory=tmp_path, progress=False)
    later()
    outcome = fit(make_plan(), digits, directory=tmp_path, resume=True, progress=False)
    shown = events(tmp_path)
    assert [step for step, _ in shown["elbo/train"]] == [6, 12, 18, 24]
    assert [value for _, value in shown["elbo/validation"]] == pytest.approx(outcome.history["validation_elbo"])


def test_events_are_on_disk_when_a_checkpoint_is(tmp_path, digits, make_plan, monkeypatch):
    seen = []
    save = state.save_checkpoint

    def look(path, tensors, state):
        if path.name == "last.safetensors":
            seen.append([step for step, _ in events(tmp_path)["elbo/train"]])
        save(path, tensors, state)

    monkeypatch.setattr(state, "save_checkpoint", look)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    fit(make_plan(epochs=2), digits, directory=tmp_path, progress=False)
    assert seen == [[6], [6, 12]]


def test_without_a_directory_nothing_is_written(tmp_path, digits, make_plan, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(make_plan(epochs=1), digits, progress=False)
    assert list(tmp_path.iterdir()) == []
