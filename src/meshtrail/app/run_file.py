"""What a process tells of itself while it runs: ``DATA/run/<process>.json``, anew each second.

Figures for whoever watches, never evidence: not synced, not signed, gone at an orderly end. They
are how the serve process learns what only another process counts.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.store.durable import TEMPORARY_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Self

    from meshtrail.store.layout import Layout
    from meshtrail.units import Clock

WRITE_SECONDS: Final = 1.0
STALE_NS: Final = 10_000_000_000
"""A file that is older than this was left behind by a process that was killed."""

_FILE_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What one process last told.

    Attributes:
        written_ns: when, on its wall clock.
        facts: what it counts since its start; see docs/metrics.md.
    """

    process: str
    pid: int
    started_ns: int
    written_ns: int
    facts: Mapping[str, Any]

    def is_stale(self, now_ns: int) -> bool:
        """Whether the process no longer writes."""
        return now_ns - self.written_ns > STALE_NS


class RunFile:
    """Writes one process's file from a thread of its own. Use it as a context manager."""

    def __init__(
        self,
        layout: Layout,
        process: str,
        *,
        clock: Clock,
        read_facts: Callable[[], Mapping[str, object]],
        seconds: float = WRITE_SECONDS,
    ) -> None:
        """Take what to write; nothing is written yet.

        Args:
            layout: of the data directory.
            process: names the file.
            clock: of the machine.
            read_facts: called on the thread each time; plain values.
            seconds: between two times.
        """
        self._path = _run_folder(layout) / f"{process}.json"
        self._process = process
        self._clock = clock
        self._read_facts = read_facts
        self._seconds = seconds
        self._started_ns = clock.wall_ns()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="run-file", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        with suppress(OSError):
            self._path.unlink()

    def _run(self) -> None:
        # Signals are the main thread's: one that is taken here would not wake it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        while True:
            # A full disk must stop nobody's work for the sake of figures.
            with suppress(OSError):
                self._write()
            if self._stopping.wait(self._seconds):
                return

    def _write(self) -> None:
        told = {
            "process": self._process,
            "pid": os.getpid(),
            "started_ns": self._started_ns,
            "written_ns": self._clock.wall_ns(),
            "facts": dict(self._read_facts()),
        }
        temporary = self._path.with_name(self._path.name + TEMPORARY_SUFFIX)
        self._path.parent.mkdir(mode=0o750, exist_ok=True)
        temporary.write_text(json.dumps(told), encoding="utf-8")
        temporary.replace(self._path)


def read_run_files(layout: Layout) -> dict[str, RunFacts]:
    """What the processes last told, by process; one whose file does not read back is left out."""
    found: dict[str, RunFacts] = {}
    with suppress(OSError):
        for path in sorted(_run_folder(layout).glob("*.json")):
            if (told := _read(path)) is not None:
                found[told.process] = told
    return found


def select_live(run: Mapping[str, RunFacts], process: str, *, now_ns: int) -> dict[str, Any] | None:
    """What a process last told; None when it told nothing, or not lately."""
    told = run.get(process)
    return dict(told.facts) if told is not None and not told.is_stale(now_ns) else None


def select_tail(run: Mapping[str, RunFacts], *, now_ns: int) -> dict[str, int] | None:
    """How far the collector is with the files that it reads; None when it told nothing lately."""
    collect = select_live(run, "collect", now_ns=now_ns)
    return collect.get("tail") if collect is not None else None


def _read(path: Path) -> RunFacts | None:
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(_FILE_BYTES_MAX))
        return RunFacts(
            process=path.stem,
            pid=int(told["pid"]),
            started_ns=int(told["started_ns"]),
            written_ns=int(told["written_ns"]),
            facts=dict(told["facts"]),
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _run_folder(layout: Layout) -> Path:
    return layout.root / "run"
