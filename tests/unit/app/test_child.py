from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

SCRIPT = """
import os
import signal
import sys
import threading
from pathlib import Path
from meshtrail.app.child import run_child
from meshtrail.errors import KeyFileError

# Unbuffered: the callback may run on a thread that the end of the process cuts off.
def say(line):
    os.write(1, line)

def act(child):
    if child.options.get("refuse"):
        raise KeyFileError("this is why", path=Path("/x"))
    asked = threading.Event()
    child.on_stop(lambda: (say(b"asked\\n"), asked.set()))
    child.tell_ready(port=7, keep={"a": 1})
    if child.options.get("interrupted"):
        # As when the signal comes while the wait below is between two of its steps.
        with child.stopping._cond:
            os.kill(os.getpid(), signal.SIGTERM)
    child.stopping.wait()
    asked.wait()
    child.on_stop(lambda: say(b"late\\n"))
    say(b"finished\\n")

class AsksAgain:
    # Runs when Python takes the modules down, after it gave its signal handlers up.
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):
        kill(pid, number)

asks_again = AsksAgain()
sys.exit(run_child("test", act))
"""


def start(options: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(options) + "\n")
    process.stdin.flush()
    return process


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def test_a_child_says_when_it_is_ready_and_finishes_when_it_is_asked_to() -> None:
    with start({}) as process:
        assert ready(process) == {"ready": {"port": 7}, "keep": {"a": 1}}
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[0] == "asked\nlate\nfinished\n"
    assert process.returncode == 0


def test_the_end_of_the_supervisor_asks_a_child_to_finish() -> None:
    with start({}) as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_ctrl_c_does_not_end_a_child() -> None:
    with start({}) as process:
        ready(process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert "finished" in process.communicate()[0]


def test_a_signal_that_interrupts_the_wait_for_it_does_not_hang_a_child() -> None:
    with start({"interrupted": True}) as process:
        guard = threading.Timer(30, process.kill)
        guard.start()
        ready(process)
        # Not communicate: the line before this may have been read together with it.
        assert process.stdout is not None
        assert "finished" in process.stdout.read()
        guard.cancel()


def test_a_child_asked_again_at_its_very_end_still_ends_well() -> None:
    with start({}) as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.close()
        # The script sends the second one to itself.
        assert process.wait(30) == 0


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_refusal_is_told_and_ends_the_child(*, is_heard: bool) -> None:
    with start({"refuse": True}) as process:
        assert process.stdout is not None
        if not is_heard:
            # Nobody reads what it says: it must end in the same way.
            process.stdout.close()
        else:
            told = json.loads(process.stdout.readline())
            assert told == {
                "error": "KeyFileError",
                "message": "this is why",
                "facts": {"path": "/x"},
            }
        assert process.wait(30) == 1
