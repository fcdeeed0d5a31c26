"""What a real Envoy counts, against the records that it sends: docs/completeness.md holds it up."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from meshtrail.collect.metrics import METRICS_METHOD, METRICS_SERVICE, MetricsFramer
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.demo.authority import Authority
from meshtrail.journal import Framing
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.sources.counters import cut_otlp_metrics
from meshtrail.units import UnixNanos
from tests.als_records import derive_both, entry
from tests.collect_rig import decode_json
from tests.e2e import wired_proxy as wired
from tests.e2e.wired_proxy import LOOPBACK, Caller, Config
from tests.rig.envoy import Envoy
from tests.rig.receiver import METHOD, SERVICE, running_services
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.journal import Frame

Row = dict[str, Any]

NOW = UnixNanos(1_700_000_000_000_000_000)
FACTS = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))
ARRIVE_S_MAX = 20.0
REQUESTS_COUNT = 20
LOGS = (SERVICE, METHOD)
COUNTERS = (METRICS_SERVICE, METRICS_METHOD)
EXPORT = ("opentelemetry.proto.collector.metrics.v1.MetricsService", "Export")
CHANGING = {"left_out", "uptime_s"}
"""What differs from push to push of an Envoy that does nothing, and from sink to sink."""


@dataclass
class Collector:
    """Keeps records and pushes, the pushes as the framer makes them."""

    http: list[accesslog_pb2.HTTPAccessLogEntry] = field(default_factory=list)
    tcp: list[accesslog_pb2.TCPAccessLogEntry] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    exports: list[bytes] = field(default_factory=list)
    framers: dict[int, MetricsFramer] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_logs(self, _: int, message: bytes) -> None:
        decoded = als_pb2.StreamAccessLogsMessage.FromString(message)
        with self.lock:
            self.http += decoded.http_logs.log_entry
            self.tcp += decoded.tcp_logs.log_entry

    def take_counters(self, stream: int, message: bytes) -> None:
        door = StreamDoor(listener="l", collector=FACTS, blobs=KnownBlobs())
        with self.lock:
            new = MetricsFramer(door, Stream(), Peer(address="a"))
            framer = self.framers.setdefault(stream, new)
            self.frames += framer.frame_message(message, received_ns=NOW)

    def take_export(self, _: int, message: bytes) -> None:
        with self.lock:
            self.exports.append(cut_otlp_metrics(message, is_json=False).payload)

    @property
    def pushes(self) -> list[Frame]:
        with self.lock:
            return [frame for frame in self.frames if frame.entry_type is EntryType.COUNTER]

    @property
    def requests_count(self) -> int:
        """Requests whose end is recorded."""
        end = accesslog_pb2.DownstreamEnd
        return sum(item.common_properties.access_log_type == end for item in self.http)

    def last_push(self) -> Row:
        """The row of the last push, with its detail as an object."""
        return push_row(self.pushes[-1].data)

    def counts(self) -> Row:
        found: Row = self.last_push()["detail"]
        return found


def push_row(data: bytes, payload_format: PayloadFormat = PayloadFormat.ENVOY_METRICS) -> Row:
    pushed = entry(data, payload_format, entry_type=EntryType.COUNTER, flags=EntryFlags.FILTERED)
    [row] = derive_both(pushed)
    assert row["decode_error"] is None
    return {**row, "detail": json.loads(row["detail"])}


@dataclass(frozen=True)
class World:
    """Certificates and upstreams."""

    authority: Authority
    silent_port: int
    directory: Path

    def config(self, port: int, *, is_lean: bool = False) -> Config:
        """A proxy as `emit-config envoy` wires it, but for the period: a test has no 10 s."""
        [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{port}")
        payments = self.authority.issue("ns/shop/sa/payments")
        of_tls = {**pieces["listener"], **pieces["tls_listener"]}
        tls = wired.downstream_tls(self.authority, payments)
        routes = [
            {"match": {"prefix": "/silent"}, "route": {"cluster": "silent", "timeout": "0s"}},
            wired.answer("/", 200),
        ]
        manager = wired.http_manager(
            added=pieces["http_connection_manager"], routes=routes, policies=False
        )
        named = wired.listener("named", [manager], added=of_tls, tls=tls)
        named["filter_chains"][0]["filter_chain_match"] = {"server_names": ["known.shop"]}
        bootstrap = wired.bootstrap(
            listeners=[
                wired.listener("plain", [manager], added=pieces["listener"]),
                wired.listener("tls", [manager], added=of_tls, tls=tls),
                named,
            ],
            clusters=[*pieces["clusters"], wired.cluster("silent", self.silent_port)],
        )
        bootstrap |= pieces["bootstrap"] | {"stats_flush_interval": "0.25s"}
        return bootstrap | (pieces["lean_bootstrap"] if is_lean else {})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("counters")
    with wired.running_silent_upstream() as silent_port:
        yield World(Authority(directory / "certificates"), silent_port, directory)


@contextlib.contextmanager
def running_collector(*services: tuple[str, str]) -> Iterator[tuple[Collector, int]]:
    collector = Collector()
    takes = {
        LOGS: collector.take_logs,
        COUNTERS: collector.take_counters,
        # To the server a call with one message is a stream that ends after it.
        EXPORT: collector.take_export,
    }
    with running_services({name: takes[name] for name in services}) as port:
        yield collector, port


def exchange(port: int, data: bytes) -> bytes:
    """What comes back before the other side hangs up."""
    with socket.create_connection((LOOPBACK, port), ARRIVE_S_MAX) as stream:
        stream.sendall(data)
        return stream.recv(4096)


def finished(counts: Row) -> int:
    return int(counts["requests_started"] - counts["requests_active"])


def ended(counts: Row) -> int:
    """Connections that have a record, whichever way they ended."""
    found = counts.get("connections_started", 0) - counts.get("connections_active", 0)
    return int(found + counts.get("no_filter_chain", 0) + counts.get("connections_early", 0))


def send_everything(world: World, ports: dict[str, int]) -> int:
    """Requests and connections that end in every way; how many requests."""
    for _ in range(REQUESTS_COUNT):
        assert wired.get_plain(ports["plain"], "/") == 200
    assert exchange(ports["plain"], b"GARBAGE\r\n\r\n").startswith(b"HTTP/1.1 400")
    oversized = b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 70_000 + b"\r\n\r\n"
    assert exchange(ports["plain"], oversized).startswith(b"HTTP/1.1 431")
    with socket.create_connection((LOOPBACK, ports["plain"])) as aborted:
        aborted.sendall(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n")
    with socket.create_connection((LOOPBACK, ports["plain"])):
        pass
    frontend = world.authority.issue("ns/shop/sa/frontend")
    caller = Caller(world.authority.client_context(frontend))
    assert caller.get(ports["tls"], "/", {}) == 200
    without = Caller(world.authority.client_context(None))
    for name in ("tls", "tls"):
        assert without.echo(ports[name], b"x") == b""
    with contextlib.suppress(OSError):  # Envoy hangs up on what is no TLS
        exchange(ports["tls"], b"GET / HTTP/1.1\r\n\r\n")
    assert caller.echo(ports["named"], b"x", server_name="nobody.shop") == b""
    with socket.create_connection((LOOPBACK, ports["tls"])):
        pass
    return REQUESTS_COUNT + 4


CONNECTIONS_COUNT = REQUESTS_COUNT + 4 + 4 + 2
FAILED_COUNT = 3


@pytest.mark.parametrize("is_lean", [False, True], ids=["everything", "lean"])
def test_what_envoy_counts_is_exactly_what_it_sends(world: World, *, is_lean: bool) -> None:
    with (
        running_collector(LOGS, COUNTERS) as (collector, port),
        Envoy("exact", world.config(port, is_lean=is_lean), directory=world.directory) as envoy,
    ):
        requests_count = send_everything(world, envoy.ports())
        with socket.create_connection((LOOPBACK, envoy.ports()["plain"])) as in_flight:
            in_flight.sendall(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n")
            wait_until(
                lambda: (
                    bool(collector.pushes)
                    and collector.counts().get("requests_started") == requests_count + 1
                    and ended(collector.counts()) == CONNECTIONS_COUNT
                    and collector.counts().get("logs_flushed") == requests_count + CONNECTIONS_COUNT
                ),
                "a push counts everything",
                seconds_max=ARRIVE_S_MAX,
            )
            wait_until(
                lambda: (
                    len(collector.http) + len(collector.tcp) == requests_count + CONNECTIONS_COUNT
                ),
                "every record has arrived",
                seconds_max=ARRIVE_S_MAX,
            )
            counts = collector.counts()
            assert counts["requests_active"] == 1
            assert finished(counts) == collector.requests_count == requests_count
            assert ended(counts) == len(collector.tcp)
            assert counts["logs_written"] == len(collector.http)
            assert counts["logs_flushed"] == len(collector.http) + len(collector.tcp)
            failures = [
                item
                for item in collector.tcp
                if item.common_properties.downstream_transport_failure_reason
            ]
            assert counts["handshakes_failed"] == len(failures) == FAILED_COUNT
            assert counts["no_filter_chain"] == 1
            # The admin endpoint was asked meanwhile: it has no access log, and does not count.
            assert set(counts["by_http"]) == {"inbound"}
            # What is left of those that a lean proxy makes: of the admin endpoint and of threads.
            assert (counts["left_out"] < 2 * len(counts)) == is_lean


def test_opening_of_a_stream_of_counters_says_who_pushes(world: World) -> None:
    with (
        running_collector(COUNTERS) as (collector, port),
        Envoy("opening", world.config(port), directory=world.directory),
    ):
        wait_until(lambda: len(collector.pushes) > 1, "two pushes", seconds_max=ARRIVE_S_MAX)
        blob, opened, *pushes = collector.frames
        assert blob.framing is Framing.BLOB
        said = decode_json(opened.data)
        assert said["claimed"]["node_id"] == f"sidecar~{wired.NODE}"
        assert [frame.first_seq for frame in pushes[:2]] == [1, 2]
        rows = [push_row(frame.data) for frame in collector.pushes]
        assert [row["time"] for row in rows] == sorted({row["time"] for row in rows})
        # It runs with hot restart off, so there is no epoch to tell.
        assert "epoch" not in rows[0]["detail"]


def test_records_that_nobody_takes_are_counted_as_handed_over(world: World) -> None:
    with (
        running_collector(COUNTERS) as (collector, port),
        Envoy("lost", world.config(port), directory=world.directory) as envoy,
    ):
        for _ in range(REQUESTS_COUNT):
            assert wired.get_plain(envoy.ports()["plain"], "/") == 200
        wait_until(
            lambda: (
                bool(collector.pushes)
                and collector.counts().get("logs_flushed") == 2 * REQUESTS_COUNT
            ),
            "all records were handed over",
            seconds_max=ARRIVE_S_MAX,
        )
        counts = collector.counts()
        assert finished(counts) == REQUESTS_COUNT
        assert "logs_dropped" not in counts
        assert (len(collector.http), len(collector.tcp)) == (0, 0)


def test_opentelemetry_sink_says_what_the_metrics_service_says(world: World) -> None:
    sink = wired.typed(
        "envoy.stat_sinks.open_telemetry",
        "stat_sinks.open_telemetry.v3.SinkConfig",
        grpc_service={"envoy_grpc": {"cluster_name": "meshtrail"}},
    )

    def exported() -> Row:
        row = push_row(collector.exports[-1], PayloadFormat.OTLP_METRICS)
        assert row["time"] is not None
        found: Row = row["detail"]
        return found

    def steady(counts: Row) -> Row:
        return {name: value for name, value in counts.items() if name not in CHANGING}

    with running_collector(LOGS, COUNTERS, EXPORT) as (collector, port):
        config = world.config(port)
        config["stats_sinks"].append(sink)
        with Envoy("otlp", config, directory=world.directory) as envoy:
            send_everything(world, envoy.ports())
            wait_until(
                lambda: (
                    bool(collector.exports)
                    and bool(collector.pushes)
                    and ended(collector.counts()) == CONNECTIONS_COUNT
                    and steady(exported()) == steady(collector.counts())
                ),
                "both sinks say the same",
                seconds_max=ARRIVE_S_MAX,
            )
            assert finished(exported()) == REQUESTS_COUNT + 4
            assert "deltas" not in exported()
