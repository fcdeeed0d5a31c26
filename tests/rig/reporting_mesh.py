"""A simulated mesh as a collector sees it: records in flushes, counters, clocks that are wrong.

What proxies do is that of ``SimulatedMesh``. How they tell of it is what was measured of Envoy
(docs/completeness.md): records leave with the next flush, all counters each five seconds; a count
may lag behind, and what is lost is counted all the same.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import override

from meshtrail.correlate.ledger import LEDGER_COLUMNS
from meshtrail.model.event import BY_NAME
from meshtrail.sources.reporter_clocks import ReporterClocks, parse_clock
from tests.rig.simulated_mesh import EPOCH, MS, SECOND, SimulatedMesh, blank_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.rig.simulated_mesh import Pod, Row

PUSH = 5 * SECOND
LAG = 75 * MS
"""So much later may a request be counted."""
BEGIN = EPOCH - 30 * SECOND
"""Since when the collector records; traffic begins at ``EPOCH``."""
PPM = 1_000_000
SCHEMA = pa.schema([(name, BY_NAME[name].type) for name in LEDGER_COLUMNS])


@dataclass
class Reporting:
    """How the proxy of a pod tells what it does.

    Attributes:
        drift_ppm: of its clock, from ``EPOCH`` on.
        is_otlp: whether records leave as OpenTelemetry logs, in batches.
        flush_ns: how often records leave.
        phase_ns: when.
        pushes: whether it sends counters.
        starts_ns: when each of its processes was started, ascending.
        counted_before: what the first process had counted before ``EPOCH``.
        has_silent_listener: whether one more listener takes connections, and has no access log.
    """

    pod: Pod
    number: int
    drift_ppm: float = 0
    is_otlp: bool = False
    flush_ns: int = SECOND
    phase_ns: int = 0
    pushes: bool = True
    starts_ns: list[int] = field(default_factory=lambda: [BEGIN - 3 * 3_600 * SECOND])
    counted_before: int = 0
    has_silent_listener: bool = False

    def offset_at(self, true_ns: int) -> int:
        """How far its clock is ahead."""
        return self.pod.offset_ns + round((true_ns - EPOCH) * self.drift_ppm / PPM)

    def read(self, true_ns: int) -> int:
        """What its clock says."""
        return true_ns + self.offset_at(true_ns)

    def process_at(self, true_ns: int) -> int:
        """Number of the process that runs."""
        return max(bisect_right(self.starts_ns, true_ns) - 1, 0)

    def stream(self, what: int, true_ns: int, *, reconnects_ns: list[int]) -> int:
        """A stream is of one process, of one log of it, and of one connection."""
        process, connection = self.process_at(true_ns), bisect_right(reconnects_ns, true_ns)
        return ((self.number * 10 + what) * 10 + process) * 10 + connection


def never(_: Row) -> bool:
    return False


@dataclass
class Faults:
    """What goes wrong, row by row.

    Attributes:
        omits: a request is served, and no record is written.
        drops: the buffer has no room for a record, and the proxy counts that.
        loses: a record or a count leaves the proxy, and does not arrive.
        forgets: a record of a process that was over before; it never was.
        reconnects_ns: when all streams were opened anew.
    """

    omits: Callable[[Row], bool] = never
    drops: Callable[[Row], bool] = never
    loses: Callable[[Row], bool] = never
    forgets: Callable[[Row], bool] = never
    reconnects_ns: list[int] = field(default_factory=list)


class ReportingMesh(SimulatedMesh):
    """Makes rows of ``LEDGER_COLUMNS``.

    Each has besides the ``pod`` that it is of, and its true ``start`` and ``end``.

    Args:
        seed: of all that is random.
        offsets_ns: of the pods' clocks, one after the other.
        drift_ppm_max: of their clocks.
    """

    def __init__(self, *, seed: int, offsets_ns: Iterable[int], drift_ppm_max: float = 40) -> None:
        super().__init__(seed=seed, offset_ns_max=0)
        self.faults = Faults()
        self.own_rows: list[Row] = []
        self.pods["quiet-0"] = self._pod("quiet", "10.0.50.1")
        offsets = list(offsets_ns)
        self.reporting: dict[str, Reporting] = {}
        for number, pod in enumerate([*self.pods.values(), self.gateway], start=1):
            pod.offset_ns = offsets[number % len(offsets)]
            self.reporting[pod.node] = Reporting(
                pod,
                number,
                drift_ppm=self.random.uniform(-drift_ppm_max, drift_ppm_max),
                phase_ns=self.random.randrange(SECOND),
            )
        self.own_rows.append(own_row("stream_opened", BEGIN, about="collect"))

    @property
    @override
    def meshed(self) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.service != "quiet"]

    def of(self, name: str) -> Reporting:
        """How a pod reports, by its service and replica."""
        return self.reporting[self.pods[name].node]

    def denied(self, client: Pod, server: Pod, at_ns: int) -> None:
        """A call that the server's proxy denies."""
        start, end = EPOCH + at_ns, EPOCH + at_ns + 4 * MS
        connection = self.connection(client, server, start, end)
        known: Row = {"request_id": self._request_id()}
        nothing = dict.fromkeys(("envoy_upstream_local_ip", "envoy_upstream_local_port"))
        call = self._call()
        self.source_row(connection, start, end, call=call, **known)
        self.destination_row(
            connection, start + MS, end - MS, call=call, **known, **nothing,
            envoy_response_flags="UAEX",
        )  # fmt: skip

    def failed_handshake(self, server: Pod, at_ns: int) -> None:
        """A caller that is turned away before it said anything."""
        start = EPOCH + at_ns
        connection = self.connection(self.browser, server, start, start + MS)
        known: Row = {"kind": "handshake", "envoy_access_log_type": None, "src_spiffe_id": None}
        self.destination_row(connection, start, start + MS, **known)

    @override
    def _happening(self, at: int) -> None:
        super()._happening(at)
        if self.random.random() < 0.05:
            client, server = self.random.sample(self.meshed, 2)
            self.denied(client, server, at)
            self.failed_handshake(server, at)

    @override
    def _row(self, pod: Pod, start: int, end: int, known: Row) -> None:
        reporting = self.reporting.get(pod.node)
        if reporting is None:
            return
        end = max(start, end)
        row = {
            **blank_row(pod, LEDGER_COLUMNS),
            **known,
            "pod": pod,
            "start": start,
            "end": end,
            "time": reporting.read(start),
            "end_time": reporting.read(end),
        }
        is_http = row["kind"] == "request"
        row["source"] = "otlp" if reporting.is_otlp else "envoy-als"
        row["payload_format"] = "als-http" if is_http else "als-tcp"
        if reporting.is_otlp:
            row["payload_format"] = "otlp-log"
        row["log"] = 1 if is_http else 2
        self.rows.append(row)

    # ── what comes in ────────────────────────────────────────────────────────────────────────────

    def report(self, *, seconds: int) -> list[Row]:
        """All that comes in, numbered, in the order of the log; call once, after the traffic."""
        self.rows = [row for row in self.rows if not self.faults.forgets(row)]
        arrived = list(self.own_rows)
        for reporting in self.reporting.values():
            mine = [row for row in self.rows if row["pod"] is reporting.pod]
            self._flush(reporting, mine)
            pushes = self._pushes(reporting, mine, seconds) if reporting.pushes else []
            for row in [*mine, *pushes]:
                reconnects_ns = self.faults.reconnects_ns
                row["stream"] = reporting.stream(
                    row["log"], row["end"], reconnects_ns=reconnects_ns
                )
            arrived += [row for row in [*mine, *pushes] if self.has_arrived(row)]
        arrived.sort(key=lambda row: int(row["received_time"]))
        for index, row in enumerate(arrived):
            row["log_index"] = index
        return arrived

    def has_arrived(self, row: Row) -> bool:
        """Whether a row is in the log."""
        return not (self.faults.omits(row) or self.faults.drops(row) or self.faults.loses(row))

    def _flush(self, reporting: Reporting, rows: list[Row]) -> None:
        """Records leave together, with the flush that comes next."""
        arrivals: dict[tuple[int, str], int] = {}
        for row in rows:
            flush = (row["end"] - reporting.phase_ns) // reporting.flush_ns + 1
            left_ns = flush * reporting.flush_ns + reporting.phase_ns
            key = flush, row["payload_format"]
            row["received_time"] = arrivals.setdefault(key, left_ns + self._network_ns())

    def _pushes(self, reporting: Reporting, rows: list[Row], seconds: int) -> list[Row]:
        counts = _Counts(self.faults, rows, has_silent_listener=reporting.has_silent_listener)
        begin = max(BEGIN, reporting.starts_ns[0])
        first = begin + self.random.randrange(MS, PUSH)
        return [
            self._push(reporting, counts, true_ns)
            for true_ns in range(first, EPOCH + seconds * SECOND, PUSH)
        ]

    def _push(self, reporting: Reporting, counts: _Counts, true_ns: int) -> Row:
        process = reporting.process_at(true_ns)
        started_ns = reporting.starts_ns[process]
        before = 0 if process else reporting.counted_before
        is_slow = self.random.random() < 0.1
        lag_ns = self.random.randrange(LAG if is_slow else 2 * MS)
        at_ns = reporting.read(true_ns) // MS * MS
        return {
            **dict.fromkeys(LEDGER_COLUMNS),
            "kind": "counter",
            "source": "envoy-metrics",
            "payload_format": "envoy-metrics",
            "is_duplicate": False,
            "log": 3,
            "reporter_id": reporting.pod.node,
            "reporter_spiffe_id": reporting.pod.spiffe_id,
            "pod": reporting.pod,
            "start": true_ns,
            "end": true_ns,
            "time": at_ns,
            "received_time": true_ns + self._network_ns(),
            "detail": json.dumps(
                counts.at(true_ns - lag_ns, since_ns=started_ns, before=before)
                | {"uptime_s": (true_ns - started_ns) // SECOND}
            ),
        }

    def _network_ns(self) -> int:
        """Half a millisecond, sometimes a hundred times that: a retransmission."""
        slow_ns = 60 * MS if self.random.random() < 0.01 else 0
        return self.random.randrange(MS // 5, 3 * MS) + slow_ns


class _Counts:
    """What the processes of one proxy count, at any time."""

    def __init__(self, faults: Faults, rows: list[Row], *, has_silent_listener: bool) -> None:
        self._has_silent_listener = has_silent_listener
        requests = [row for row in rows if row["kind"] == "request"]
        is_end = "DownstreamEnd".__eq__
        ended = [row for row in requests if is_end(row["envoy_access_log_type"])]
        doors = {"inbound": "destination", "outbound": "source"}
        self._doors = {
            door: _Moments([row for row in ended if row["side"] == side])
            for door, side in doors.items()
        }
        self._listener = _Moments([row for row in rows if row["envoy_access_log_type"] is None])
        logged = [row for row in requests if not faults.omits(row)]
        dropped = [row for row in logged if faults.drops(row)]
        written = [row for row in logged if not faults.drops(row)]
        self._written = _Moments([row for row in written if row["source"] == "envoy-als"])
        self._dropped = _Moments(dropped)
        # An export is answered, or not: unlike the others these know what became of them.
        exports = [
            row | {"end": row["received_time"]} for row in written if row["source"] == "otlp"
        ]
        self._exported = _Moments([row for row in exports if not faults.loses(row)])
        self._failed = _Moments([row for row in exports if faults.loses(row)])

    def at(self, until_ns: int, *, since_ns: int, before: int) -> Row:
        """As Envoy says it: what was never counted is not there."""

        def ended(moments: _Moments) -> int:
            return moments.ended(since_ns, until_ns)

        by_http: dict[str, dict[str, int]] = {}
        for door, moments in self._doors.items():
            started = moments.started(since_ns, until_ns)
            if started or before:
                by_http[door] = {"requests_started": started + before}
            if active := started - ended(moments):
                by_http.setdefault(door, {})["requests_active"] = active
        by_listener = {"0.0.0.0_15006": {"connections_started": ended(self._listener)}}
        if self._has_silent_listener:
            age_s = (until_ns - since_ns) // SECOND
            by_listener["0.0.0.0_8080"] = {"connections_started": age_s}
        said: Row = {"by_http": by_http, "by_listener": by_listener}
        figures = {
            "logs_written": ended(self._written) + 2 * before,
            "logs_dropped": ended(self._dropped),
            "otlp_logs_written": ended(self._exported),
            "otlp_logs_dropped": ended(self._failed),
        }
        return {name: count for name, count in (said | figures).items() if count}


class _Moments:
    """When some happenings began and ended."""

    def __init__(self, rows: list[Row]) -> None:
        self._starts = sorted(row["start"] for row in rows)
        self._ends = sorted(row["end"] for row in rows)

    def started(self, since_ns: int, until_ns: int) -> int:
        return _count(self._starts, since_ns, until_ns)

    def ended(self, since_ns: int, until_ns: int) -> int:
        return _count(self._ends, since_ns, until_ns)


def _count(moments: list[int], since_ns: int, until_ns: int) -> int:
    return max(bisect_right(moments, until_ns) - bisect_right(moments, since_ns), 0)


def own_row(kind: str, at_ns: int, *, about: str | None = None, **columns: Any) -> Row:
    """An entry that the collector makes."""
    return {
        **dict.fromkeys(LEDGER_COLUMNS),
        "kind": kind,
        "received_time": at_ns,
        "source": "meshtrail",
        "payload_format": "meshtrail-json",
        "is_duplicate": False,
        "stream": 1,
        "about": about,
        "pod": None,
        **columns,
    }  # fmt: skip


class StatedClocks:
    """Says of each row what was stated of its reporter's clock in the log before it."""

    def __init__(self, *, delay_ns: int = 7 * SECOND) -> None:
        self._delay_ns = delay_ns
        self._waiting: list[tuple[int, Row]] = []
        self._stated = ReporterClocks()

    def tell(self, payload: Row, *, step_ns: int) -> None:
        """Take a statement; it is in the log some time after its step."""
        self._waiting.append((step_ns + self._delay_ns, payload))

    def derive(self, row: Row) -> None:
        """Set the columns."""
        while self._waiting and self._waiting[0][0] <= row["received_time"]:
            at_ns, payload = self._waiting.pop(0)
            parsed = parse_clock(json.dumps(payload).encode(), received_ns=at_ns)
            assert parsed is not None
            self._stated.tell(*parsed)
        if row["time"] is None:
            return
        key = row["reporter_id"], row["reporter_spiffe_id"], row["reporter_token"]
        stated = self._stated.get_at(key, row["received_time"])
        row["time_offset"], row["time_error"] = stated.offset_ns, stated.error_at(row["time"])


def make_ledger_table(rows: list[Row]) -> pa.Table:
    """Rows as the ledger takes them."""
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], BY_NAME[name].type)
            for name in LEDGER_COLUMNS
        },
        schema=SCHEMA,
    )
