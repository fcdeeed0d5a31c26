"""One process of the demo: started with a log of its own, ended by its id, never left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STOP_S_MAX: Final = 10.0
LOG_LINES_SHOWN: Final = 20
_READ_BYTES: Final = 65_536


class ChildProcess:
    """A program that runs beside this one.

    Attributes:
        name: for messages.
        log: what it writes on standard error, and on standard output unless it says when it is
            ready there.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    @property
    def pid(self) -> int:
        """Process id of the running program.

        Raises:
            UnavailableError: it was not started, or has been ended.
        """
        return self._running().pid

    def start(self, *, is_telling: bool = False) -> None:
        """Start it and return at once.

        Args:
            is_telling: keep its standard output for ``read_line`` rather than write it to the log.
        """
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # ended by stop or kill
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_telling else log,
                stderr=log,
                env=self._environment,
                # A group of its own: Ctrl-C on the terminal reaches this process alone, which ends
                # its children in their order.
                process_group=0,
            )

    def read_line(self, *, seconds_max: float) -> str:
        """The next line that it tells.

        Raises:
            UnavailableError: it ended, or told nothing in time.
        """
        stream = self._running().stdout
        assert stream is not None  # noqa: S101 - start was told to keep it
        deadline = time.monotonic() + seconds_max
        while b"\n" not in self._unread:
            seconds_left = max(deadline - time.monotonic(), 0.0)
            if not select.select([stream], [], [], seconds_left)[0]:
                raise UnavailableError(
                    f"{self.name} was not ready within {seconds_max:g} s{self.last_lines()}"
                )
            if not (data := os.read(stream.fileno(), _READ_BYTES)):
                self.check_running()
                raise UnavailableError(f"{self.name} stopped telling{self.last_lines()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def check_running(self) -> None:
        """Return if it runs.

        Raises:
            UnavailableError: it has ended; says with which status and what it wrote last.
        """
        status = self._running().poll()
        if status is not None:
            raise UnavailableError(
                f"{self.name} ended with status {status}{self.last_lines()}", exit_status=status
            )

    def stop(self, *, seconds_max: float = STOP_S_MAX) -> int | None:
        """Ask it to end (SIGTERM), and end it when it does not.

        Returns:
            Its exit status; None when it was not running.
        """
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once; fine when it has ended already."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def last_lines(self) -> str:
        """The end of its log, to stand behind a message; empty when it wrote nothing."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
        return "".join(f"\n  {line}" for line in lines[-LOG_LINES_SHOWN:] if line)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise UnavailableError(f"{self.name} is not running")
        return self._process
