"""A process that the supervisor starts can be asked to end from its first instant on."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.keys import write_key_file
from meshtrail.app.process_options import format_process_options
from meshtrail.app.supervised import ProcessSpec, Supervised, start_process
from tests.log_rig import SIGNER, LogRig

if TYPE_CHECKING:
    from collections.abc import Iterator

END_SECONDS_MAX = 30.0
"""For an end that takes half a second on an idle machine."""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogRig]:
    """A journal that holds a stream of three records, and nothing sealed yet."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    rig = LogRig(tmp_path)
    rig.append(rig.load.http(rig.open_stream(), 3))
    rig.close()
    write_key_file(tmp_path / "log.key", SIGNER)
    yield rig
    rig.close()


def start(rig: LogRig, name: str) -> Supervised:
    folder = rig.layout.root.parent
    options = format_process_options(
        data=rig.layout.root,
        key_file=folder / "log.key",
        tables={"collect": {"grpc": "127.0.0.1:0"}},
        overrides={},
        folder=folder,
    )
    command = [sys.executable, "-m", f"meshtrail.app.{name}_process"]
    return start_process(ProcessSpec(name, command, options, END_SECONDS_MAX), now_s=0.0)


def end(child: Supervised) -> int:
    """Its exit status; one that does not end is killed, and says so."""
    try:
        child.process.wait(END_SECONDS_MAX)
    finally:
        child.process.kill()
        while child.read_output():
            pass
    return child.end()


def test_a_sealer_asked_to_end_at_once_seals_what_the_journals_hold_and_ends_well(
    rig: LogRig,
) -> None:
    child = start(rig, "seal")
    child.process.terminate()
    assert end(child) == 0
    assert child.refusal is None
    assert rig.audit().published[0] == 4


def test_a_collector_asked_to_end_at_once_begins_and_ends_its_journal_in_order(rig: LogRig) -> None:
    child = start(rig, "collect")
    child.process.terminate()
    assert end(child) == 0
    assert child.ready is not None
    # The four that waited, the end of their stream, and the collector's own stream, ended too.
    assert rig.seal() == 4 + 1 + 2


@pytest.mark.parametrize("name", ["seal", "collect"])
def test_a_process_asked_to_end_once_it_works_does_not_hold_the_signal_back(
    rig: LogRig, name: str
) -> None:
    child = start(rig, name)
    while child.ready is None:
        assert child.read_output()
    child.process.terminate()
    assert end(child) == 0


PARENT_OF_ONE_THAT_HANGS = """
import json, subprocess, sys
hangs = "import signal; print(flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", hangs], stdout=subprocess.PIPE)
child.stdout.readline()
print(json.dumps({"ready": {"pid": child.pid}, "keep": {}}), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process that is not a child")
def test_what_a_process_started_and_what_hangs_is_ended_with_it() -> None:
    command = [sys.executable, "-c", PARENT_OF_ONE_THAT_HANGS]
    child = start_process(ProcessSpec("seal", command, {}, END_SECONDS_MAX), now_s=0.0)
    while child.ready is None:
        assert child.read_output()
    watch = os.pidfd_open(child.ready["pid"])
    assert end(child) == 0
    ended, _, _ = select.select([watch], [], [], END_SECONDS_MAX)
    if not ended:
        signal.pidfd_send_signal(watch, signal.SIGKILL)
    os.close(watch)
    assert ended


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a process's children in /proc")
def test_a_sealer_derives_in_a_process_of_its_own_that_ends_with_it(rig: LogRig) -> None:
    child = start(rig, "seal")
    while child.ready is None:
        assert child.read_output()
    pid = child.process.pid
    (derive,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    assert "derive_process" in Path(f"/proc/{derive}/cmdline").read_text(encoding="utf-8")
    watch = os.pidfd_open(int(derive))
    child.process.kill()
    assert end(child) == -signal.SIGKILL
    ended, _, _ = select.select([watch], [], [], END_SECONDS_MAX)
    os.close(watch)
    assert ended


def test_starting_a_process_holds_no_signal_back_from_its_supervisor(rig: LogRig) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    child = start(rig, "seal")
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    child.process.terminate()
    assert end(child) == 0
