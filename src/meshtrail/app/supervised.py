"""One supervised process: start it, read what it says, know how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from meshtrail import errors
from meshtrail.errors import MeshtrailError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_BYTES: Final = 65_536


@dataclass
class ProcessSpec:
    """How a process is started.

    Attributes:
        name: ``collect``, ``ledger``, ``seal`` or ``serve``.
        command: program and arguments; no secrets, they can be seen in a process list.
        options: written to its standard input, as JSON.
        stop_seconds_max: how long it may take to finish its work when asked to end.
        is_essential: whether the others stop when it refuses to work. One that is not has to come
            up at the start; after that it is started again whatever it says.
    """

    name: str
    command: list[str]
    options: dict[str, Any]
    stop_seconds_max: float
    is_essential: bool = True


@dataclass
class Supervised:
    """A process that was started.

    Attributes:
        ready: the facts that it told; None until then.
        refusal: the error that it told before it ended.
    """

    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    started_s: float
    ready: dict[str, Any] | None = None
    refusal: MeshtrailError | None = None
    _rest: bytes = field(default=b"", repr=False)

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output, a pipe."""
        assert self.process.stdout is not None  # noqa: S101 - start_process asks for the pipe
        return self.process.stdout

    def read_output(self) -> bool:
        """Take in what it says.

        Returns:
            False at the end: the process is over.
        """
        data = os.read(self.stdout.fileno(), _READ_BYTES)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        return bool(data)

    def end(self) -> int:
        """Its exit status, once ``read_output`` said that it is over; negative for a signal."""
        status = self.process.wait()
        # What it started and could not end itself: a child that hangs would outlive every restart.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return status

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if "ready" in message:
            self.ready = message["ready"]
            self.spec.options.setdefault("overrides", {}).update(message["keep"])
        elif "error" in message:
            kind = getattr(errors, message["error"], UnavailableError)
            self.refusal = kind(message["message"], process=self.spec.name, **message["facts"])


def start_process(spec: ProcessSpec, *, now_s: float) -> Supervised:
    """Start a process and hand it its options.

    It begins with SIGTERM held back, which ``child`` lets through once it can finish its work.
    """
    with held_back(signal.SIGTERM):
        process = subprocess.Popen(  # it outlives this function
            spec.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A group of its own, so that Ctrl-C on the terminal does not end it before its turn.
            process_group=0,
        )
    assert process.stdin is not None  # noqa: S101 - asked for above
    try:
        process.stdin.write(json.dumps(spec.options).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        # It is over already; its exit status says more than this would.
        pass
    return Supervised(spec, process, now_s)


@contextmanager
def held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Processes started inside inherit the signals as blocked; for this one they wait meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
