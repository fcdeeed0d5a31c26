"""Runs the processes of ``up``: starts them, starts again what dies, stops them in order.

They share nothing but files, and each may be killed at any instant. A process that refuses to work
because of its options or because of tampering is not started again: everything stops, and its error
is raised. Only one that is not essential goes on being started: what it shows must not end what the
others record.
"""

from __future__ import annotations

import heapq
import math
import os
import selectors
import signal
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from meshtrail.app.supervised import ProcessSpec, Supervised, start_process
from meshtrail.errors import ConfigError, InputError, MeshtrailError, TamperError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 5.0
SETTLED_SECONDS: Final = 10.0
"""A process that ran this long is started again at once when it dies."""

START_SECONDS_MAX: Final = 5.0
"""How long a process that has never been ready may go on dying before ``up`` gives up.

What a killed supervisor left behind finishes its work and lets go of the directory within this.
"""

_FINAL: Final = (ConfigError, TamperError, InputError)
_SIGNAL_STATUS: Final = 128


class Diag(Protocol):
    """Where diagnostics go: the name of an event and its facts."""

    def info(self, event: str, **facts: object) -> object:
        """Note something that happened."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Note something that somebody should look at."""
        ...


class Supervisor:
    """The processes, in the order in which they stop. The main thread runs it."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        diag: Diag,
        on_ready: Callable[[Mapping[str, Supervised]], object],
        on_restart: Callable[[Supervised, int], object],
    ) -> None:
        """Take the processes to run; nothing is started yet.

        Args:
            diag: where deaths and starts are told.
            specs: in the order in which they stop.
            on_ready: called once, when all of them are ready for the first time.
            on_restart: called each time that one is ready again; with the exit status before.
        """
        self._specs = {spec.name: spec for spec in specs}
        self._diag = diag
        self._on_ready = on_ready
        self._on_restart = on_restart
        self._running: dict[str, Supervised] = {}
        self._was_ready: set[str] = set()
        self._exits: dict[str, int] = {}
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._backoff_s: dict[str, float] = dict.fromkeys(self._specs, BACKOFF_SECONDS_MIN)
        self._first_start_s: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []
        self._is_ready_told = False
        self._is_stopping = False
        self._killed_by: int | None = None
        self._refusal: MeshtrailError | None = None
        self._stop_deadline_s = 0.0
        self._selector = selectors.DefaultSelector()

    def read_facts(self) -> dict[str, object]:
        """What runs, and what died of what; may be asked from any thread."""
        running = dict(self._running)
        return {
            "processes": {
                name: {
                    "pid": child.process.pid if (child := running.get(name)) else None,
                    "is_ready": child is not None and child.ready is not None,
                }
                for name in self._specs
            },
            "deaths": [
                {"process": name, "cause": cause, "count": count}
                for (name, cause), count in dict(self._deaths).items()
            ],
        }

    def run(self) -> int:
        """Run until a signal asks to stop, or until there is no sense in going on.

        Returns:
            0 after an orderly stop; 130 or 143 when a second signal cut it short.

        Raises:
            MeshtrailError: a process refused to work.
        """
        with _Signals() as signals, self._selector:
            self._selector.register(signals, selectors.EVENT_READ, data=None)
            for name in self._specs:
                self._start(name)
            try:
                while self._running or (self._due and not self._is_stopping):
                    self._step(signals)
            finally:
                self._kill()
        if self._refusal is not None:
            raise self._refusal
        return 0 if self._killed_by is None else _SIGNAL_STATUS + self._killed_by

    def _step(self, signals: _Signals) -> None:
        for key, _ in self._selector.select(self._wait_seconds()):
            if key.data is None:
                for number in signals.read():
                    self._take_signal(number)
            else:
                self._take_output(key.data)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._start(heapq.heappop(self._due)[1])
        if self._is_stopping and self._running and now >= self._stop_deadline_s:
            self._kill_slow()

    def _wait_seconds(self) -> float | None:
        """Until the next thing that is due by itself."""
        times = [self._due[0][0]] if self._due else []
        if self._is_stopping and self._stop_deadline_s < math.inf:
            times.append(self._stop_deadline_s)
        return max(min(times) - time.monotonic(), 0) if times else None

    def _start(self, name: str) -> None:
        now = time.monotonic()
        started = start_process(self._specs[name], now_s=now)
        self._running[name] = started
        self._first_start_s.setdefault(name, now)
        self._selector.register(started.stdout, selectors.EVENT_READ, data=started)
        self._diag.info("process_started", child=name, pid=started.process.pid)

    def _take_output(self, child: Supervised) -> None:
        was_ready = child.ready is not None
        is_running = child.read_output()
        if child.ready is not None and not was_ready:
            self._take_ready(child)
        if not is_running:
            self._take_end(child)

    def _take_ready(self, child: Supervised) -> None:
        name = child.spec.name
        self._was_ready.add(name)
        if self._is_ready_told:
            self._on_restart(child, self._exits.get(name, 0))
        elif self._running.keys() == self._specs.keys() and all(
            child.ready is not None for child in self._running.values()
        ):
            self._is_ready_told = True
            self._on_ready(self._running)

    def _take_end(self, child: Supervised) -> None:
        name = child.spec.name
        self._selector.unregister(child.stdout)
        status = child.end()
        del self._running[name]
        self._exits[name] = status
        if self._is_stopping:
            self._diag.info("process_ended", child=name, exit=status)
            self._refusal = self._refusal or child.refusal
            self._stop_next()
        elif self._is_hopeless(child):
            self._refusal = child.refusal or MeshtrailError(
                f"process {name} ends with status {status} each time it is started"
            )
            self._stop()
        else:
            self._plan_restart(child, status)

    def _is_hopeless(self, child: Supervised) -> bool:
        """Whether starting it again would only end in the same way."""
        name = child.spec.name
        if name in self._was_ready and not child.spec.is_essential:
            return False
        if isinstance(child.refusal, _FINAL):
            return True
        waited_s = time.monotonic() - self._first_start_s[name]
        return name not in self._was_ready and waited_s > START_SECONDS_MAX

    def _plan_restart(self, child: Supervised, status: int) -> None:
        name = child.spec.name
        self._deaths[name, _cause(child, status)] += 1
        now = time.monotonic()
        if now - child.started_s >= SETTLED_SECONDS:
            self._backoff_s[name] = BACKOFF_SECONDS_MIN
        heapq.heappush(self._due, (now + self._backoff_s[name], name))
        self._diag.warning(
            "process_died", child=name, exit=status, again_in_seconds=self._backoff_s[name]
        )
        self._backoff_s[name] = min(self._backoff_s[name] * 2, BACKOFF_SECONDS_MAX)

    def _take_signal(self, number: int) -> None:
        if not self._is_stopping:
            self._diag.info("stop_asked", signal=signal.Signals(number).name)
            self._stop()
        elif self._refusal is None:
            self._killed_by = number
            self._kill()

    def _stop(self) -> None:
        """Begin the orderly end."""
        self._is_stopping = True
        self._due.clear()
        self._stop_next()

    def _stop_next(self) -> None:
        """Ask the next process in order to finish its work and end."""
        for name, spec in self._specs.items():
            if name in self._running:
                self._stop_deadline_s = time.monotonic() + spec.stop_seconds_max
                self._running[name].process.terminate()
                return

    def _kill_slow(self) -> None:
        """End the process whose turn it is and that takes too long; the next comes after."""
        name = next(name for name in self._specs if name in self._running)
        self._diag.warning("process_killed", child=name, why="took too long to stop")
        self._running[name].process.kill()
        self._stop_deadline_s = math.inf

    def _kill(self) -> None:
        for child in self._running.values():
            child.process.kill()


def _cause(child: Supervised, status: int) -> str:
    """What a process died of: the name of its error, else of the signal, else its exit status."""
    if child.refusal is not None:
        return type(child.refusal).__name__
    if status < 0:
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"
    return f"exit {status}"


class _Signals:
    """SIGTERM and SIGINT as bytes on a socket, so that one wait covers them and the processes."""

    _NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._writer.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno())
        self._handlers: dict[int, Any] = {
            number: signal.signal(number, lambda *_: None) for number in self._NUMBERS
        }
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """What to wait on."""
        return self._reader.fileno()

    def read(self) -> list[int]:
        """The signals that came in."""
        return [number for number in os.read(self.fileno(), 64) if number in self._NUMBERS]
