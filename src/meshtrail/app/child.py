"""The child's side of ``supervisor``: options in, readiness and refusals out, and when to stop.

One JSON line on standard input holds the options; then standard input stays open, and its end means
that the supervisor is gone, however it died. One JSON line on standard output says ``ready``, or
names the error that keeps the process from its work. SIGTERM asks it to finish its work, at any
moment: the process is started with the signal held back, see ``supervised``.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
from collections import Counter
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from meshtrail.app.diag import configure_diag
from meshtrail.errors import MeshtrailError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

_STDIN: Final = 0
_STDOUT: Final = 1
_PIPE_BYTES: Final = 65_536
_GARBAGE_OBJECTS: Final = 100_000


class Child:
    """What a process knows of its supervisor.

    Attributes:
        name: of this process.
        options: from the supervisor's line.
        diag: diagnostics in this process's name.
        alarms: how many of its events were errors, by name.
    """

    def __init__(self, name: str) -> None:
        """Read the options, and begin to watch for the end of the supervisor."""
        self.name = name
        self.alarms: Counter[str] = Counter()
        self.diag: FilteringBoundLogger = configure_diag(process=name, alarms=self.alarms)
        self.options: dict[str, Any] = json.loads(_read_line())
        self._stopping = threading.Event()
        self._callbacks: list[Callable[[], object]] = []
        self._asked: SimpleQueue[None] = SimpleQueue()
        # Ctrl-C on a terminal reaches the supervisor, which stops the processes in their order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A handler may interrupt whoever waits for the event, who then holds its lock: setting the
        # event there would wait for ever. Putting into a SimpleQueue is safe at any place.
        signal.signal(signal.SIGTERM, lambda *_: self._asked.put(None))
        threading.Thread(target=self._stop_when_asked, name="stop", daemon=True).start()
        threading.Thread(target=self._watch_supervisor, name="lifeline", daemon=True).start()
        # Held back since before the start of this process, until there is somebody to take it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    @property
    def stopping(self) -> threading.Event:
        """Set once the process is to finish its work and end."""
        return self._stopping

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call ``callback``, from any thread, once the process is to end."""
        self._callbacks.append(callback)
        if self._stopping.is_set():
            callback()

    def tell_ready(self, *, keep: dict[str, object] | None = None, **facts: object) -> None:
        """Say that the process does its work now.

        Args:
            keep: configuration overrides for when this process is started again, such as the
                port that the system chose.
            facts: for whoever started ``up``.
        """
        _tell({"ready": facts, "keep": keep or {}})

    def _stop_when_asked(self) -> None:
        self._asked.get()
        self._stopping.set()
        for callback in self._callbacks:
            callback()

    def _watch_supervisor(self) -> None:
        while os.read(_STDIN, _PIPE_BYTES):
            pass
        self._asked.put(None)


def spare_garbage_collection() -> None:
    """Leave what is here now to the end of the process, and look for rings of garbage rarely.

    A batch is ten thousand small objects, of which none refers to itself. By default Python would
    look through them twenty times, and through all modules with them: 4 % of the sealer's work.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)


def run_child(name: str, run: Callable[[Child], None]) -> int:
    """Run a process to its end.

    Returns:
        Exit status: 0 after a stop that was asked for, 1 when the supervisor was told why not.
    """
    child = Child(name)
    spare_garbage_collection()
    try:
        run(child)
    except MeshtrailError as error:
        child.diag.error("process_failed", error=type(error).__name__, message=error.message)
        _tell({"error": type(error).__name__, "message": error.message, "facts": error.facts})
        return 1
    finally:
        # Python gives handlers up at its end: asked once more now, the process would die of it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


def _read_line() -> bytes:
    """The first line of standard input; unbuffered, because the rest is watched, not read."""
    line = bytearray()
    while (byte := os.read(_STDIN, 1)) not in {b"", b"\n"}:
        line += byte
    return bytes(line)


def _tell(message: dict[str, object]) -> None:
    line = json.dumps(message, default=str).encode() + b"\n"
    try:
        os.write(_STDOUT, line)
    except BrokenPipeError:
        # The supervisor is gone; the lifeline says so too, and the work still gets finished.
        return
