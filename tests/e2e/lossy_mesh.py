"""Proxies that report to one recorder, and ways to make their records go missing.

Each is wired as `meshtrail emit-config envoy` prints it, but for the period of its counts: a test
has no ten seconds. Its name is its node id, hence the reporter of its records.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshtrail.app.run_file import read_run_files
from meshtrail.correlate.ledger import GRACE_NS
from meshtrail.demo.waiting import wait_until
from meshtrail.store.layout import Layout
from tests.e2e import wired_proxy as wired
from tests.e2e.wired_proxy import LOOPBACK, Config
from tests.rig.envoy import Envoy
from tests.rig.forwarder import Forwarder
from tests.rig.recorder import free_port
from tests.rig.steady_load import SteadyLoad

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from meshtrail.app.run_file import RunFacts
    from tests.rig.recorder import Recorder

Row = dict[str, Any]

FLUSH_S = "1s"
QUIET_NS = 400_000_000
"""A count that comes this long after the last answer has nothing around it."""
SEAL_S_MAX = 40.0
FINAL_S_MAX = 60.0
RATE = 100.0
_UPDATES = "listener_manager.lds.update_success"
_LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
_SMALL_BYTES = 16_384
_SEND_BUFFER = {
    "description": "SO_SNDBUF",
    "level": 1,
    "name": 7,
    "int_value": 8_192,
    "state": "STATE_PREBIND",
}


@dataclass
class Proxy:
    """One Envoy, the way its records take, and what its callers know of it.

    Attributes:
        requests_count: that it answered to its callers, all of whose loads have ended.
        connections_count: that its callers closed.
        last_ns: when the last answer came.
    """

    name: str
    port: int
    envoy: Envoy
    forwarder: Forwarder
    listeners_file: Path
    listeners: list[Config]
    requests_count: int = 0
    connections_count: int = 0
    last_ns: int = 0

    @contextlib.contextmanager
    def load(self, *, rate: float = RATE) -> Iterator[SteadyLoad]:
        """Requests to it while the block runs; then what was answered is counted."""
        with SteadyLoad(self.port, rate=rate) as load:
            yield load
        self.count(requests=load.answered_count, connections=load.connections_count)

    def count(self, *, requests: int = 0, connections: int = 0) -> None:
        """Take in what its callers know of it, right after it happened."""
        self.requests_count += requests
        self.connections_count += connections
        self.last_ns = time.time_ns()  # noqa: TID251 - proxies count on the machine's clock

    def stop_logging_requests(self) -> None:
        """Take the access log of requests out of its listener, as a configuration server would."""
        before = self._updates()
        for one in self.listeners:
            one["filter_chains"][0]["filters"][0]["typed_config"].pop("access_log", None)
        write_listeners(self.listeners_file, self.listeners)
        wait_until(lambda: self._updates() > before, "it has new listeners", seconds_max=SEAL_S_MAX)

    def _updates(self) -> int:
        return self.envoy.counters(_UPDATES)[_UPDATES]

    def start_again(self) -> None:
        """Start its process again after it was ended."""
        self.envoy.start()

    def kill(self) -> None:
        """End its process at once."""
        self.envoy.kill()


@dataclass(frozen=True)
class Mesh:
    """A recorder and its proxies."""

    recorder: Recorder
    directory: Path

    def make_proxy(
        self,
        name: str,
        *,
        is_small: bool = False,
        routes: Sequence[Config] = (),
        clusters: Sequence[Config] = (),
        tcp_port: int | None = None,
    ) -> Proxy:
        """A proxy that is launched, not ready yet.

        Args:
            name: its node id.
            is_small: whether it keeps little while the collector takes nothing.
            routes: before the one that answers by itself.
            clusters: that they lead to; the last is where TCP goes.
            tcp_port: of a listener for TCP; without one if None.
        """
        forwarder = Forwarder(self.recorder.port)
        [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{forwarder.port}")
        if is_small:
            _make_small(pieces)
        manager = wired.http_manager(
            added=pieces["http_connection_manager"], routes=[*routes, wired.answer("/", 200)]
        )
        port = free_port()
        listeners = [wired.listener("requests", [manager], added=pieces["listener"])]
        listeners[0]["address"] = wired.address(port)
        if tcp_port is not None:
            proxy = wired.tcp_proxy(added=pieces["tcp_proxy"], cluster=clusters[-1]["name"])
            listeners.append(wired.listener("tcp", proxy, added=pieces["listener"]))
            listeners[1]["address"] = wired.address(tcp_port)
        config = wired.bootstrap(listeners=[], clusters=[*pieces["clusters"], *clusters])
        config["node"] = {"id": name, "cluster": "shop"}
        listeners_file = self.directory / f"{name}-listeners.json"
        config["dynamic_resources"] = {
            "lds_config": {"path_config_source": {"path": str(listeners_file)}}
        }
        config |= pieces["bootstrap"] | {"stats_flush_interval": FLUSH_S}
        write_listeners(listeners_file, listeners)
        envoy = Envoy(name, config, directory=self.directory)
        envoy.launch()
        return Proxy(name, port, envoy, forwarder, listeners_file, listeners)

    def run_facts(self, process: str) -> RunFacts:
        """What a process of the recorder last told of itself."""
        return read_run_files(Layout(self.recorder.data))[process]

    def kill_process(self, process: str) -> None:
        """End a process of the recorder at once; the supervisor starts it again."""
        os.kill(self.run_facts(process).pid, signal.SIGKILL)

    def wait_for_quiet_counts(self, proxies: Sequence[Proxy]) -> int:
        """Wait until each proxy has counted with nothing around it.

        Returns:
            When the last of these counts came in.
        """
        arrived: dict[str, int] = {}

        def look() -> bool:
            rows = self.recorder.search("kind:counter AND source:envoy-metrics")
            for proxy in proxies:
                counts = [
                    int(row["received_time"])
                    for row in rows
                    if row["reporter_id"] == proxy.name and row["time"] > proxy.last_ns + QUIET_NS
                ]
                if counts:
                    arrived[proxy.name] = min(counts)
            return arrived.keys() >= {proxy.name for proxy in proxies}

        wait_until(look, "every proxy has counted in a quiet moment", seconds_max=SEAL_S_MAX)
        return max(arrived.values())

    @contextlib.contextmanager
    def without_collector(self) -> Iterator[None]:
        """Nobody receives while the block runs; then the supervisor starts collect again."""
        # A supervisor that sleeps starts nothing.
        os.kill(self.recorder.pid, signal.SIGSTOP)
        try:
            self.kill_process("collect")
            yield
        finally:
            os.kill(self.recorder.pid, signal.SIGCONT)

    def wait_until_some_are_told(self, causes: set[str]) -> dict[str, int]:
        """Wait until the ledger told a gap of each cause; how many of each it told by then."""

        def told() -> dict[str, int]:
            return dict(self.run_facts("ledger").facts["gaps"])

        wait_until(lambda: told().keys() >= causes, "some gaps are told", seconds_max=FINAL_S_MAX)
        return told()

    def wait_until_told(self, received_ns: int) -> None:
        """Wait until the ledger has said all there is about counts that came in by then."""
        wait_until(
            lambda: self.run_facts("ledger").facts["passed_ns"] > received_ns + GRACE_NS,
            "the ledger has said what there is to say",
            seconds_max=FINAL_S_MAX,
        )


def _make_small(pieces: Config) -> None:
    """Make the printed pieces those of a proxy that keeps as little as it can."""
    [log] = pieces["http_connection_manager"]["access_log"]
    log["typed_config"]["common_config"]["buffer_size_bytes"] = _SMALL_BYTES
    for one in pieces["clusters"]:
        # Else megabytes stand in buffers of the connection before anything is dropped.
        one["per_connection_buffer_limit_bytes"] = _SMALL_BYTES
        one["upstream_bind_config"] = {"socket_options": [_SEND_BUFFER]}


def write_listeners(path: Path, listeners: Sequence[Config]) -> None:
    """Write listeners where an Envoy looks for them; it sees all of them or none."""
    written = path.with_suffix(".new")
    resources = [{"@type": _LISTENER, **one} for one in listeners]
    version = str(time.monotonic_ns())
    written.write_text(
        json.dumps({"version_info": version, "resources": resources}), encoding="utf-8"
    )
    written.replace(path)
