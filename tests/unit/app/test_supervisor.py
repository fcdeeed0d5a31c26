from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.app import supervisor
from meshtrail.app.supervised import ProcessSpec, Supervised
from meshtrail.app.supervisor import Supervisor
from meshtrail.errors import (
    ConfigError,
    KeyFileError,
    MeshtrailError,
    RollbackError,
    WriterHeldError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAKE = Path(__file__).with_name("fake_process.py")


@dataclass
class Run:
    """A supervisor over fake processes, and what came of it.

    Attributes:
        when_ready: called in the supervisor's thread once all are ready; by default asks to stop.
        when_restarted: called when one is ready again.
    """

    notes: Path
    when_ready: Callable[[Mapping[str, Supervised]], object] = lambda _: stop()
    when_restarted: Callable[[Supervised], object] = lambda _: stop()
    restarts: list[tuple[str, int, dict[str, Any] | None]] = field(default_factory=list)
    diags: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    supervisor: Supervisor = field(init=False)

    def run(self, **processes: dict[str, Any]) -> int:
        specs = [
            ProcessSpec(
                name,
                [sys.executable, str(FAKE), name],
                {"notes": str(self.notes), "name": name, **options},
                stop_seconds_max=options.get("stop_seconds_max", 20.0),
                is_essential=options.get("is_essential", True),
            )
            for name, options in processes.items()
        ]
        self.supervisor = Supervisor(
            specs, diag=self, on_ready=self.when_ready, on_restart=self._restarted
        )
        return self.supervisor.run()

    def info(self, event: str, **facts: object) -> None:
        self.diags.append((event, facts))

    warning = info

    def events(self) -> list[str]:
        """What the processes noted, without their ids."""
        return [" ".join(line.split()[:2]) for line in self.notes.read_text().splitlines()]

    def _restarted(self, child: Supervised, status: int) -> None:
        self.restarts.append((child.spec.name, status, child.ready))
        self.when_restarted(child)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "notes")


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_all_start_and_stop_one_after_the_other_in_their_order(run: Run) -> None:
    assert run.run(collect={}, seal={}) == 0
    assert sorted(run.events()[:2]) == ["start collect", "start seal"]
    assert run.events()[2:] == ["stop collect", "stop seal"]


def test_a_process_that_is_killed_is_started_again_with_the_port_it_had(run: Run) -> None:
    run.when_ready = lambda running: running["collect"].process.kill()
    assert run.run(collect={}, seal={}) == 0
    assert run.restarts == [("collect", -signal.SIGKILL, {"port": 4001})]
    assert run.events().count("start seal") == 1


def test_a_process_that_dies_at_its_start_is_tried_again_with_growing_pauses(run: Run) -> None:
    assert run.run(seal={"deaths": 3}) == 0
    assert run.events() == ["start seal"] * 4 + ["stop seal"]
    pauses = [facts["again_in_seconds"] for event, facts in run.diags if event == "process_died"]
    assert pauses == [0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    ("refusal", "kind"), [("KeyFileError", KeyFileError), ("RollbackError", RollbackError)]
)
def test_a_refusal_stops_everything_and_is_raised_as_it_was(
    run: Run, refusal: str, kind: type[MeshtrailError]
) -> None:
    with pytest.raises(kind, match="this is why") as caught:
        run.run(collect={}, seal={"refusal": refusal})
    assert caught.value.facts == {"process": "seal", "path": "x"}
    assert run.events().count("start seal") == 1


def test_a_process_that_finds_the_directory_held_is_tried_again(run: Run) -> None:
    # What a killed supervisor left behind may need a moment to let go of it.
    assert run.run(seal={"refusal": "WriterHeldError", "refusals": 2}) == 0
    assert run.events() == ["start seal"] * 3 + ["stop seal"]


def test_a_process_that_is_never_ready_is_given_up_after_a_while(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS_MAX", 0.0)
    with pytest.raises(WriterHeldError, match="this is why"):
        run.run(seal={"refusal": "WriterHeldError"})
    assert run.events() == ["start seal"]


def test_a_process_that_is_not_essential_must_come_up_at_the_start(run: Run) -> None:
    with pytest.raises(ConfigError, match="this is why"):
        run.run(collect={}, serve={"refusal": "ConfigError", "is_essential": False})


@pytest.mark.parametrize("refusal", ["ConfigError", "RollbackError"])
def test_a_process_that_is_not_essential_never_ends_what_the_others_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS_MAX", 0.0)
    run.when_ready = lambda running: running["serve"].process.kill()
    serve = {"is_essential": False, "refusal": refusal, "refusals_from": 2, "refusals": 3}
    assert run.run(collect={}, serve=serve) == 0
    assert run.events().count("start serve") == 4
    assert run.events().count("start collect") == 1
    assert [name for name, _, _ in run.restarts] == ["serve"]


def test_an_essential_process_that_refuses_to_go_on_still_ends_everything(run: Run) -> None:
    run.when_ready = lambda running: running["seal"].process.kill()
    with pytest.raises(RollbackError):
        run.run(collect={}, seal={"refusal": "RollbackError", "refusals_from": 2})


def test_what_runs_and_what_died_of_what_can_be_asked_at_any_time(run: Run) -> None:
    seen: list[dict[str, Any]] = []

    def look_and_kill(running: Mapping[str, Supervised]) -> None:
        seen.append(run.supervisor.read_facts())
        running["seal"].process.kill()

    def look_and_stop(_: Supervised) -> None:
        seen.append(run.supervisor.read_facts())
        stop()

    run.when_ready, run.when_restarted = look_and_kill, look_and_stop
    seal = {"refusal": "WriterHeldError", "refusals_from": 2, "refusals": 2}
    assert run.run(collect={}, seal=seal) == 0
    first, last = seen
    assert first["deaths"] == []
    assert {name: one["is_ready"] for name, one in first["processes"].items()} == {
        "collect": True,
        "seal": True,
    }
    assert first["processes"]["seal"]["pid"] != last["processes"]["seal"]["pid"]
    assert last["deaths"] == [
        {"process": "seal", "cause": "SIGKILL", "count": 1},
        {"process": "seal", "cause": "WriterHeldError", "count": 1},
    ]
    assert run.supervisor.read_facts()["processes"] == {
        name: {"pid": None, "is_ready": False} for name in ("collect", "seal")
    }


def test_a_process_that_does_not_stop_is_killed_when_its_time_is_over(run: Run) -> None:
    pids: list[int] = []

    def note_and_stop(running: Mapping[str, Supervised]) -> None:
        pids.append(running["collect"].process.pid)
        stop()

    run.when_ready = note_and_stop
    assert run.run(collect={"deaf": True, "stop_seconds_max": 0.3}, seal={}) == 0
    assert not is_alive(pids[0])
    # The others still get their turn.
    assert run.events()[-1] == "stop seal"


def test_a_second_signal_kills_at_once(run: Run) -> None:
    def stop_twice(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.3, stop).start()

    run.when_ready = stop_twice
    assert run.run(collect={"deaf": True}, seal={"deaf": True}) == 128 + signal.SIGTERM
    assert "stop seal" not in run.events()


def test_ctrl_c_reaches_the_processes_only_through_their_supervisor(run: Run) -> None:
    def press_ctrl_c(running: Mapping[str, Supervised]) -> None:
        # A terminal signals its whole foreground group; the processes are in groups of their own.
        groups = {os.getpgid(child.process.pid) for child in running.values()}
        assert os.getpgid(0) not in groups
        os.kill(os.getpid(), signal.SIGINT)

    run.when_ready = press_ctrl_c
    assert run.run(collect={}, seal={}) == 0
    assert run.events()[2:] == ["stop collect", "stop seal"]


def test_processes_finish_and_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    script = (
        "import sys; from pathlib import Path; from tests.unit.app.test_supervisor import Run\n"
        "Run(Path(sys.argv[1]), when_ready=lambda _: print('ready', flush=True))"
        ".run(collect={}, seal={})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(notes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        pids = [int(line.split()[2]) for line in notes.read_text().splitlines()]
        process.kill()
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)  # they are nobody's children any more: there is nothing to wait on
    assert sorted(notes.read_text().splitlines()[2:]) == ["stop collect", "stop seal"]


def test_signal_handlers_are_put_back(run: Run) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    run.run(collect={})
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
