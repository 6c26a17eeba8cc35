import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from vaekit.cli import main

pytest.importorskip("tornado", reason="the extra explore is not installed")


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(finished_run):
    command = [sys.executable, "-m", "vaekit", "explore", str(finished_run), "--no-browser", "--points", "50"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("explorer: http://127.0.0.1:")
        with urllib.request.urlopen(line.split()[1]) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_a_run_that_is_not_there_is_a_wrong_request(capsys, tmp_path):
    assert main(["explore", str(tmp_path / "none"), "--no-browser"]) == 2
    assert "no run at" in capsys.readouterr().err
