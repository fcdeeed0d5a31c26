"""The product as a user runs it: ``meshtrail up`` as a process, and commands on its directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshtrail.demo.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.demo.authority import Authority, Identity

__all__ = ["ROOT", "CommandError", "Recorder", "free_port", "running_recorder", "wait_until"]

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
START_S_MAX = 30.0
STOP_S_MAX = 30.0
COMMAND_S_MAX = 60.0
ROWS_MAX = 1_000_000


class Recorder:
    """A data directory, and the process that records into it while it runs."""

    def __init__(self, directory: Path, *, command_s_max: float = COMMAND_S_MAX) -> None:
        self._command_s_max = command_s_max
        self.data = directory / "data"
        self.port = free_port()
        self.otlp_http_port = free_port()
        self.log = directory / "meshtrail-up.log"
        # The log's private key lives outside DATA; a home of its own keeps it out of the tester's.
        home = directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self._environment = {**inherited, "HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        if self._process is None:
            raise RuntimeError("meshtrail up is not running")
        return self._process.pid

    def start(self, *, tls: tuple[Authority, Identity] | None = None) -> None:
        """Start and wait until the gRPC door is open.

        Args:
            tls: whose clients to trust and whose SVID to show; None opens the door in the clear.
        """
        options = ["--data", str(self.data), "--grpc", f"{LOOPBACK}:{self.port}"]
        options += ["--http", f"{LOOPBACK}:0"]
        options += ["--otlp-http", f"{LOOPBACK}:{self.otlp_http_port}"]
        if tls is not None:
            authority, identity = tls
            options += ["--tls-cert", str(identity.chain), "--tls-key", str(identity.key)]
            options += ["--tls-client-ca", str(authority.bundle)]
        with self.log.open("ab") as log:
            # A group of its own, so that the processes which the supervisor started go with it.
            self._process = subprocess.Popen(
                _command("up", *options),
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        wait_until(self._is_open, "meshtrail up opens its gRPC door", seconds_max=START_S_MAX)

    def stop(self) -> int:
        """End in an orderly way; returns the exit code."""
        if self._process is None:
            raise RuntimeError("meshtrail up is not running")
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S_MAX)
        finally:
            self.kill()

    def kill(self) -> None:
        """End at once; fine when it has ended already."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def search(self, query: str, *options: str) -> list[dict[str, Any]]:
        """Rows that a search finds, as their JSON lines say."""
        limit = ["--format", "json", "--limit", str(ROWS_MAX)]
        lines = self.run("search", query, *options, *limit).split("\n")
        return [json.loads(line) for line in lines if line]

    def verify(self, *options: str) -> dict[str, Any]:
        """What ``meshtrail verify`` says of the directory.

        Raises:
            CommandError: it does not end well.
        """
        report: dict[str, Any] = json.loads(self.run("verify", *options, "--json"))
        return report

    def run(self, name: str, *arguments: str) -> str:
        """Run one command on the directory and return what it prints.

        Raises:
            CommandError: it ends with anything but exit code 0.
        """
        command = _command(name, *arguments, "--data", str(self.data))
        done = subprocess.run(
            command,
            capture_output=True,
            env=self._environment,
            timeout=self._command_s_max,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(name, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout.decode()

    def _is_open(self) -> bool:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise CommandError("up", code, self.log.read_text(encoding="utf-8", errors="replace"))
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


class CommandError(Exception):
    """A command ended with an error."""

    def __init__(self, name: str, exit_code: int, said: str) -> None:
        super().__init__(f"meshtrail {name} ended with exit code {exit_code}:\n{said}")
        self.exit_code = exit_code


@contextlib.contextmanager
def running_recorder(
    directory: Path, *, tls: tuple[Authority, Identity] | None = None
) -> Iterator[Recorder]:
    """``meshtrail up`` on a fresh data directory; gone when the block ends."""
    recorder = Recorder(directory)
    try:
        recorder.start(tls=tls)
        yield recorder
    finally:
        recorder.kill()


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "meshtrail", name, *arguments]
