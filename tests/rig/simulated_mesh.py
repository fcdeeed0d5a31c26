"""A mesh that exists on paper: event rows of both ends of its calls, from a seed, with the truth.

Workloads have sidecars, clocks of their own and several pods; their proxies keep connections open,
carry one request at a time on some and many on others, try again elsewhere when an attempt fails,
answer some requests by themselves, and report TCP connections and streams that last. Records arrive
as access logs do: at the end of what they tell, up to a flush later.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded, so that a mesh can be made again
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from meshtrail.correlate.pairing import COLUMNS
from meshtrail.model.event import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Row = dict[str, Any]

MS = 1_000_000
SECOND = 1_000 * MS
EPOCH = 1_800_000_000 * SECOND
FLUSH = SECOND
PORTS_COUNT = 40
"""Few, so that later connections have the ports of earlier ones."""
SERVER_PORT = 15_006
TCP_PORT = 9_000
NO_CALL = -1
FORGED_ID = b"\x66" * 16


@dataclass(eq=False)
class Pod:
    """A workload's pod with its sidecar.

    Attributes:
        offset_ns: how far its clock is ahead.
        has_proxy: whether it is in the mesh.
        reports: whether a record, by its row, leaves it.
    """

    service: str
    ip: str
    offset_ns: int = 0
    has_proxy: bool = True
    reports: Callable[[Row], bool] = field(default=lambda _: True)
    ports: deque[int] = field(default_factory=lambda: deque(range(40_000, 40_000 + PORTS_COUNT)))

    @property
    def spiffe_id(self) -> str | None:
        return f"spiffe://mesh/ns/shop/sa/{self.service}" if self.has_proxy else None

    @property
    def node(self) -> str:
        return f"sidecar~{self.ip}~{self.service}.shop~shop.svc.cluster.local"


@dataclass(eq=False)
class Connection:
    """A connection between two pods; free again at a time if it carries one request at once."""

    client: Pod
    port: int
    server: Pod
    server_port: int = SERVER_PORT
    is_http2: bool = False
    free_ns: int = 0


def blank_row(pod: Pod, columns: Iterable[str]) -> Row:
    """A record of a request by a pod's proxy, of which nothing else is known."""
    return {
        **dict.fromkeys(columns),
        "kind": "request",
        "envoy_access_log_type": "DownstreamEnd",
        "is_duplicate": False,
        "reporter_id": pod.node,
        "reporter_spiffe_id": pod.spiffe_id,
        "call": NO_CALL,
        "gateway_call": NO_CALL,
    }


class SimulatedMesh:
    """Makes rows. Times are true times; what is reported is on each pod's clock."""

    def __init__(self, *, seed: int, offset_ns_max: int = 5 * MS) -> None:
        self.random = random.Random(seed)  # noqa: S311 - the same mesh for the same seed
        self.rows: list[Row] = []
        self._offset_ns_max = offset_ns_max
        self._pools: dict[tuple[int, int, bool], list[Connection]] = {}
        self._copied = FORGED_ID
        self._calls_count = 0
        self._requests_count = 0
        self.pods = {
            f"{service}-{replica}": self._pod(service, f"10.0.{at}.{replica + 1}")
            for at, service in enumerate(("web", "cart", "pay", "stock", "batch"))
            for replica in range(2)
        }
        self.gateway = self._pod("gateway", "10.0.200.1")
        self.browser = Pod("browser", "192.0.2.7", has_proxy=False)
        self.legacy = Pod("legacy", "10.0.100.1", has_proxy=False)

    def _pod(self, service: str, ip: str) -> Pod:
        offset = self.random.randint(-self._offset_ns_max, self._offset_ns_max)
        return Pod(service, ip, offset)

    @property
    def meshed(self) -> list[Pod]:
        return list(self.pods.values())

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def request(
        self, client: Pod, server: Pod, at_ns: int, *, is_http2: bool = False, **known: Any
    ) -> None:
        """A call that is answered by the server's application."""
        took_ns = known.pop("took_ns", self.random.randint(5 * MS, 300 * MS))
        start, end = EPOCH + at_ns, EPOCH + at_ns + took_ns
        connection = self.connection(client, server, start, end, is_http2=is_http2)
        call, request_id = self._call(), known.pop("request_id", self._request_id())
        known |= {"request_id": request_id}
        self.source_row(connection, start, end, call=call, **known)
        self.destination_row(connection, start + 2 * MS, end - MS, call=call, **known)

    def retried(self, client: Pod, servers: list[Pod], at_ns: int) -> None:
        """A call whose attempts fail at all servers but the last."""
        start = at = EPOCH + at_ns
        call, request_id = self._call(), self._request_id()
        connection = None
        for server in servers:
            took_ns = self.random.randint(5 * MS, 30 * MS)
            connection = self.connection(client, server, at, at + took_ns)
            is_last = server is servers[-1]
            self.destination_row(
                connection,
                at + MS,
                at + took_ns,
                call=call if is_last else NO_CALL,
                request_id=request_id,
            )
            at += took_ns + 25 * MS
        assert connection is not None
        known = {"request_id": request_id, "envoy_attempt_count": len(servers)}
        self.source_row(connection, start, at, call=call, **known)

    def direct_response(self, client: Pod, at_ns: int) -> None:
        """A call that the caller's proxy answers by itself."""
        connection = Connection(client, 0, client)
        nothing: Row = dict.fromkeys(
            ("envoy_upstream_local_ip", "envoy_upstream_local_port", "dst_ip", "dst_port")
        )
        start = EPOCH + at_ns
        self.source_row(connection, start, start + MS, **nothing, request_id=self._request_id())

    def from_browser(self, server: Pod, at_ns: int) -> None:
        """A call of somebody who is not in the mesh."""
        start = EPOCH + at_ns
        connection = self.connection(self.browser, server, start, start + 9 * MS)
        self.destination_row(
            connection, start, start + 9 * MS, request_id=self._request_id(),
            src_spiffe_id=None, src_spiffe_id_trust=None,
        )  # fmt: skip

    def to_legacy(self, client: Pod, at_ns: int) -> None:
        """A call to somebody who is not in the mesh."""
        start = EPOCH + at_ns
        connection = self.connection(client, self.legacy, start, start + 9 * MS)
        self.source_row(connection, start, start + 9 * MS, request_id=self._request_id())

    def through_gateway(self, client: Pod, server: Pod, at_ns: int) -> None:
        """A call through a gateway with mTLS on both sides: one record of it plays two parts."""
        start, end = EPOCH + at_ns, EPOCH + at_ns + 40 * MS
        known = {"request_id": self._request_id()}
        first = self.connection(client, self.gateway, start, end)
        second = self.connection(self.gateway, server, start, end)
        calls = self._call(), self._call()
        self.source_row(first, start, end, call=calls[0], **known)
        self.source_row(
            second, start + MS, end - MS, call=calls[1], gateway_call=calls[0], **known,
            src_ip=client.ip, src_port=first.port,
            src_spiffe_id=client.spiffe_id, src_spiffe_id_trust="attested",
        )  # fmt: skip
        self.destination_row(second, start + 2 * MS, end - 2 * MS, call=calls[1], **known)

    def tcp(self, client: Pod, server: Pod, at_ns: int, *, took_ns: int) -> None:
        """A TCP connection, with its start, what it says each minute, and listeners' records."""
        start, end = EPOCH + at_ns, EPOCH + at_ns + took_ns
        connection = Connection(client, self._port(client), server, TCP_PORT)
        call, kind = self._call(), {"kind": "connection"}
        for write, shift in ((self.source_row, 0), (self.destination_row, MS)):
            begun = start + shift
            for moment in (begun, *range(begun + 60 * SECOND, end, 60 * SECOND)):
                which = "TcpConnectionStart" if moment == begun else "TcpPeriodic"
                write(connection, begun, moment, **kind, envoy_access_log_type=which)
            write(
                connection, begun, end, call=call, **kind, envoy_access_log_type="TcpConnectionEnd"
            )
        self.destination_row(connection, start, end, **kind, envoy_access_log_type=None)

    def stream(
        self, client: Pod, server: Pod, at_ns: int, *, took_ns: int, lag_ns: int = 0
    ) -> None:
        """A request that lasts; its end at the destination may be logged later."""
        start, end = EPOCH + at_ns, EPOCH + at_ns + took_ns
        connection = Connection(client, self._port(client), server, is_http2=True)
        call, known = self._call(), {"request_id": self._request_id()}
        for write, shift, late in ((self.source_row, 0, 0), (self.destination_row, MS, lag_ns)):
            begun = start + shift
            for moment in (begun, *range(begun + 60 * SECOND, end + late, 60 * SECOND)):
                which = "DownstreamStart" if moment == begun else "DownstreamPeriodic"
                write(connection, begun, moment, **known, envoy_access_log_type=which)
            write(connection, begun, end + late, call=call, **known)

    # ── what is reported ─────────────────────────────────────────────────────────────────────────

    def connection(
        self, client: Pod, server: Pod, start: int, end: int, *, is_http2: bool = False
    ) -> Connection:
        """One that is kept open and free, else a new one."""
        pool = self._pools.setdefault((id(client), id(server), is_http2), [])
        free = [one for one in pool if is_http2 or one.free_ns <= start]
        if not free or self.random.random() < 0.02:
            pool[:] = [one for one in pool if one.free_ns > start]
            connection = Connection(client, self._port(client), server, is_http2=is_http2)
            pool.append(connection)
        else:
            connection = free[0]
        connection.free_ns = max(connection.free_ns, end)
        return connection

    def source_row(self, connection: Connection, start: int, end: int, **known: Any) -> None:
        pod, server = connection.client, connection.server
        self._row(
            pod, start, end,
            {
                "side": "source",
                "src_spiffe_id": pod.spiffe_id,
                "src_spiffe_id_trust": "derived",
                "src_ip": pod.ip,
                "src_port": 61_000,
                "dst_ip": server.ip,
                "dst_port": connection.server_port,
                "envoy_upstream_local_ip": pod.ip,
                "envoy_upstream_local_port": connection.port,
                "envoy_upstream_cluster": f"outbound|8080||{server.service}.shop",
                "envoy_attempt_count": 1,
                **known,
            },
        )  # fmt: skip

    def destination_row(self, connection: Connection, start: int, end: int, **known: Any) -> None:
        pod, client = connection.server, connection.client
        self._row(
            pod, start, end,
            {
                "side": "destination",
                "src_spiffe_id": client.spiffe_id,
                "src_spiffe_id_trust": "attested",
                "src_ip": client.ip,
                "src_port": connection.port,
                "dst_ip": pod.ip,
                "dst_port": connection.server_port,
                "envoy_upstream_local_ip": "127.0.0.6",
                "envoy_upstream_local_port": 34_567,
                "envoy_upstream_cluster": "inbound|8080||",
                **known,
            },
        )  # fmt: skip

    def _row(self, pod: Pod, start: int, end: int, known: Row) -> None:
        row = {
            **blank_row(pod, COLUMNS),
            **known,
            "time": start + pod.offset_ns,
            "end_time": max(start, end) + pod.offset_ns,
            "received_time": end + self.random.randint(MS, FLUSH + 100 * MS),
        }
        if pod.has_proxy and pod.reports(row):
            self.rows.append(row)

    def _port(self, client: Pod) -> int:
        client.ports.rotate(-1)
        return client.ports[0]

    def _call(self) -> int:
        self._calls_count += 1
        return self._calls_count

    def _request_id(self) -> bytes:
        self._requests_count += 1
        return self.random.randbytes(16)

    # ── a day's work ─────────────────────────────────────────────────────────────────────────────

    def traffic(self, *, seconds: int, calls_per_s: int) -> None:
        """All of it, mixed, with a caller that sends one request id and one that copies others'."""
        for second in range(seconds):
            for _ in range(calls_per_s):
                self._happening(second * SECOND + self.random.randrange(SECOND))
        for pod in self.meshed:
            took = self.random.randint(seconds // 4, seconds) * SECOND
            others = [one for one in self.meshed if one is not pod]
            self.stream(pod, self.random.choice(others), 0, took_ns=took)

    def _happening(self, at: int) -> None:
        choose = self.random.choice
        client = choose(self.meshed)
        server = choose([pod for pod in self.meshed if pod.service != client.service])
        replicas = [pod for pod in self.meshed if pod.service == server.service]
        is_forger = client.service == "batch"
        ids: Row = {"request_id": choose([FORGED_ID, self._copied])} if is_forger else {}
        kinds: list[tuple[float, Callable[[], None]]] = [
            (5, lambda: self.retried(client, choose([replicas, replicas * 2]), at)),
            (5, lambda: self.direct_response(client, at)),
            (5, lambda: self.from_browser(server, at)),
            (3, lambda: self.to_legacy(client, at)),
            (3, lambda: self.through_gateway(client, server, at)),
            (
                3,
                lambda: self.tcp(client, server, at, took_ns=self.random.randint(MS, 200 * SECOND)),
            ),
            (36, lambda: self.request(client, server, at, is_http2=True, **ids)),
            (40, lambda: self.request(client, server, at, **ids)),
        ]
        (happen,) = self.random.choices(
            [kind for _, kind in kinds], weights=[share for share, _ in kinds]
        )
        happen()
        if self.rows and not is_forger:
            self._copied = self.rows[-1]["request_id"] or self._copied


def make_table(rows: Iterable[Row], *, first_index: int = 0) -> pa.Table:
    """Rows as the log has them: by time of arrival, numbered; ``log_index`` is set in each."""
    ordered = sorted(rows, key=lambda row: int(row["received_time"]))
    for at, row in enumerate(ordered):
        row["log_index"] = first_index + at
    return pa.table(
        {name: pa.array([row[name] for row in ordered], BY_NAME[name].type) for name in COLUMNS}
    )
