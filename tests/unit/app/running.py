"""`meshtrail up` as its users run it: a process, its ready line, and senders that speak to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import grpc
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS_MAX = 60.0
FREE_PORTS = ("--grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0")
METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"


@dataclass
class Up:
    """A running `up`."""

    process: subprocess.Popen[str]
    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> dict[str, Any]:
        """The next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait()}"
        self.lines.append(json.loads(line))
        return self.lines[-1]

    @property
    def address(self) -> str:
        return str(self.lines[0]["grpc"])

    @property
    def otlp_http(self) -> str:
        return str(self.lines[0]["otlp_http"])

    @property
    def http(self) -> str:
        return str(self.lines[0]["http"])

    @property
    def pids(self) -> dict[str, int]:
        """The processes as they are now."""
        pids = dict(self.lines[0]["pids"])
        pids.update(
            {line["process"]: line["pid"] for line in self.lines if line["event"] == "restarted"}
        )
        return pids

    def stop(self) -> int:
        """Ask it to end, and wait."""
        self.process.terminate()
        return self.process.wait(SECONDS_MAX)

    def search(self, *arguments: str) -> list[dict[str, Any]]:
        """Rows of `meshtrail search`."""
        done = run(self.folder, "search", *arguments, "--limit", "10000", "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_for(self, count: int, *arguments: str) -> list[dict[str, Any]]:
        """Rows of a search once there are ``count`` of them."""
        deadline = time.monotonic() + SECONDS_MAX
        while len(rows := self.search(*arguments)) < count:
            assert time.monotonic() < deadline, f"{len(rows)} of {count}"
            time.sleep(0.1)  # sealing happens in other processes: there is nothing to wait on
        return rows


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MESHTRAIL_HOME": str(folder / "home"),
        "MESHTRAIL_DATA": str(folder / "data"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "meshtrail", *arguments],
        capture_output=True,
        text=True,
        env=environment(folder),
        timeout=SECONDS_MAX,
        check=False,
    )


@contextmanager
def running(folder: Path, *arguments: str, stderr: IO[str] | int | None = None) -> Iterator[Up]:
    """`up` on a folder of the test's own, ready; ended when the test is."""
    command = ["up", *FREE_PORTS, "--json", *arguments]
    with subprocess.Popen(
        [sys.executable, "-m", "meshtrail", *command],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment(folder),
    ) as process:
        # A test that hangs must end: what is read from then on is the end of the output.
        guard = threading.Timer(SECONDS_MAX * 2, process.kill)
        guard.start()
        try:
            up = Up(process, folder)
            up.read()
            yield up
        finally:
            guard.cancel()
            process.terminate()
            try:
                process.wait(SECONDS_MAX)
            finally:
                process.kill()


def message(paths: list[str], *, is_first: bool) -> bytes:
    """One ALS message with a request for each path."""
    built = StreamAccessLogsMessage()
    if is_first:
        built.identifier.node.id = "sidecar~test"
        built.identifier.log_name = "requests"
    for path in paths:
        entry = built.http_logs.log_entry.add()
        entry.request.path = path
        entry.request.authority = "shop"
        entry.response.response_code.value = 200
    return bytes(built.SerializeToString())


def send(address: str, paths: list[str]) -> None:
    """Send requests over one stream, each in a message of its own, and close it."""
    messages = (message([path], is_first=at == 0) for at, path in enumerate(paths))
    with grpc.insecure_channel(address) as channel:
        call: Callable[..., object] = channel.stream_unary(METHOD)
        # Envoy never gets an answer either: the end of the stream is not acknowledged with data.
        call(messages, timeout=SECONDS_MAX, wait_for_ready=True)
