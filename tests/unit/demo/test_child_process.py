from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Protocol

import pytest

from meshtrail.demo.child_process import ChildProcess
from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAITS = "import signal; signal.pause()"
READY = f"print('ready', flush=True); {WAITS}"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}"
FAILS = "import sys; sys.stderr.write('first\\nno such thing\\n'); sys.exit(7)"


class Start(Protocol):
    def __call__(self, program: str) -> ChildProcess: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[ChildProcess] = []

    def started(program: str) -> ChildProcess:
        child = ChildProcess("it", [sys.executable, "-c", program], log=tmp_path / "log")
        children.append(child)
        child.start(is_telling=True)
        return child

    yield started
    for child in children:
        child.kill()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_line_that_it_tells_is_read_and_it_runs_on(start: Start) -> None:
    child = start(READY)
    assert child.read_line(seconds_max=30) == "ready"
    child.check_running()


def test_process_that_ends_early_is_named_with_status_and_last_words(start: Start) -> None:
    child = start(FAILS)
    with pytest.raises(UnavailableError, match=r"(?s)it (ended with status 7|stopped).*no such"):
        child.read_line(seconds_max=30)


def test_process_that_tells_nothing_is_given_up(start: Start) -> None:
    child = start(WAITS)
    with pytest.raises(UnavailableError, match="was not ready within 0 s"):
        child.read_line(seconds_max=0)


def test_stop_ends_it_with_the_signal_that_asks(start: Start) -> None:
    child = start(READY)
    child.read_line(seconds_max=30)
    pid = child.pid
    assert child.stop(seconds_max=30) == -signal.SIGTERM
    assert not is_alive(pid)


def test_stop_kills_what_does_not_listen(start: Start) -> None:
    child = start(STUBBORN)
    child.read_line(seconds_max=30)
    pid = child.pid
    assert child.stop(seconds_max=0.05) is None
    assert not is_alive(pid)


def test_interrupt_of_the_terminal_does_not_reach_it(start: Start) -> None:
    assert os.getpgid(start(READY).pid) != os.getpgid(0)


def test_what_was_never_started_or_is_gone_has_no_id(start: Start, tmp_path: Path) -> None:
    child = start(READY)
    child.kill()
    child.kill()
    assert child.stop() is None
    with pytest.raises(UnavailableError, match="it is not running"):
        child.pid  # noqa: B018 - the property raises
    with pytest.raises(UnavailableError, match="other is not running"):
        ChildProcess("other", ["true"], log=tmp_path / "log").check_running()
