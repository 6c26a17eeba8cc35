r"""What a training shows."""

import io

import pytest
from rich.console import Console

from vaekit.training import fit, progress


def test_off_a_terminal_lines_are_printed(digits, make_plan, capsys):
    fit(make_plan(epochs=3), digits)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("epoch 1/3  ELBO -")
    assert lines[-1].startswith("epoch 3/3  ELBO -")
    for word in ("rate", "distortion", "validation ELBO", "images/s"):
        assert word in lines[0]
    assert "\x1b" not in err


def test_lines_are_seldom_in_a_long_run(digits, make_plan, capsys):
    fit(make_plan(epochs=20), digits)
    assert len(capsys.readouterr().err.splitlines()) < 10


def test_no_progress_prints_nothing(digits, make_plan, capsys):
    fit(make_plan(epochs=2), digits, progress=False)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_one_line_changes(digits, make_plan, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=120, _environ={})
    )
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    fit(make_plan(epochs=2), digits)
    text = screen.getvalue()
    assert "2/2" in text
    assert "ELBO" in text
    assert text.count("\n") <= 2  # it is drawn over, not scrolled


def test_time_left_is_not_a_division_by_zero(capsys):
    bar = progress.Progress(3, 5, enabled=True)
    with bar:
        bar.epoch(1, {"elbo": -1.0}, 0.0)
        bar.say("a line")
    assert "a line" in capsys.readouterr().err


@pytest.mark.parametrize("term", ["bound", "elbo"])
def test_terms_have_names(term, capsys):
    with progress.Progress(1, 1) as bar:
        bar.epoch(1, {term: -12.345}, 1234.0)
    text = capsys.readouterr().err
    assert "-12.3" in text
    assert "1,234 images/s" in text
