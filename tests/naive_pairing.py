"""Pairing, row by row and window by window: slow, and obviously the rules of the documentation.

No reasons, counts or bounds: which records are pairs, attempts, told to be without a partner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.correlate.pairing import PairingOptions

Row = dict[str, Any]
Address = tuple[str, int]

ENDS = {None, "DownstreamEnd", "TcpConnectionEnd", "UdpSessionEnd"}
BROKEN = {"UF", "UC", "UR", "UPE"}
WITHOUT_TIME_NS = 60 * 10**9


@dataclass(eq=False, kw_only=True)
class Part:
    row: Row
    is_callee: bool
    client: Address | None
    server: Address | None
    expects: bool
    told: bool = False
    deferred_until: int | None = None

    @property
    def kind(self) -> str:
        return str(self.row["kind"])

    @property
    def index(self) -> int:
        return int(self.row["log_index"])

    @property
    def name(self) -> tuple[int, str]:
        return (self.index, "destination" if self.is_callee else "source")

    @property
    def received(self) -> int:
        return int(self.row["received_time"])

    @property
    def start(self) -> int:
        time = self.row["time"]
        return self.received - WITHOUT_TIME_NS if time is None else int(time)

    @property
    def end(self) -> int:
        end = None if self.row["time"] is None else self.row["end_time"]
        return max(self.start, self.received if end is None else int(end))

    @property
    def request_id(self) -> object:
        uuid = self.row["request_id"]
        return self.row["request_id_text"] if uuid is None else uuid

    @property
    def stream(self) -> tuple[object, ...]:
        return (self.client, self.kind, self.request_id)


@dataclass
class Naive:
    options: PairingOptions
    tolerance_ns: int
    waiting: list[Part] = field(default_factory=list)
    retried: list[tuple[Part, list[int]]] = field(default_factory=list)
    life: dict[tuple[object, ...], int] = field(default_factory=dict)
    caller_of_ip: dict[str, object] = field(default_factory=dict)
    pairs: set[tuple[int, int]] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=dict)
    unpaired: set[tuple[int, str]] = field(default_factory=set)
    retracted: set[tuple[int, str]] = field(default_factory=set)

    def run(self, rows: list[Row], *, until_ns: int) -> Naive:
        """All windows from the first row on, empty ones too."""
        window = self.options.window_ns
        first = rows[0]["received_time"] // window if rows else until_ns
        for number in range(first, until_ns // window):
            start, end = number * window, (number + 1) * window
            self.step([row for row in rows if start <= row["received_time"] < end], end)
        return self

    def step(self, rows: list[Row], now: int) -> None:
        options = self.options
        forgotten = now - 2 * options.grace_ns - options.late_ns - options.longest_ns
        self.retried = [one for one in self.retried if one[0].received >= forgotten]
        new_retried = []
        for row in rows:
            for part in parts_of(row):
                if row["envoy_access_log_type"] in ENDS:
                    self.waiting.append(part)
                else:
                    self.life[(*part.stream, part.is_callee)] = part.received
            self.note_address(row)
            if is_retried(row):
                request = Part(
                    row=row, is_callee=False, client=upstream(row), server=None, expects=False
                )
                new_retried.append((request, [row["envoy_attempt_count"] - 1]))
        self.match([part for part in self.waiting if part.request_id is not None], by_id=True)
        self.retried += new_retried
        ids = {request.request_id for request, _ in new_retried}
        for part in [one for one in self.waiting if one.told and one.request_id in ids]:
            self.claim(part)
        self.match([part for part in self.waiting if self.has_settled(part, now)], by_id=False)
        again = [one for one in self.waiting if one.deferred_until is not None]
        due = [one for one in again if one.deferred_until is not None and one.deferred_until < now]
        for part in due + [one for one in self.waiting if one.deferred_until is None]:
            if part.expects and not part.told and part.received < now - options.grace_ns:
                self.expire(part, now)
        old = now - options.grace_ns - options.late_ns
        self.waiting = [
            one for one in self.waiting if one.received >= old or one.deferred_until is not None
        ]

    def has_settled(self, part: Part, now: int) -> bool:
        stands_back = part.kind == "connection" and not part.expects
        return part.received < now - self.options.settle_ns * (2 if stands_back else 1)

    def expire(self, part: Part, now: int) -> None:
        options = self.options
        last = self.life.get((*part.stream, not part.is_callee), 0)
        until = min(last + options.alive_ns, part.received + options.grace_ns + options.longest_ns)
        part.deferred_until = until if until >= now else None
        if part.deferred_until is not None or self.claim(part):
            return
        part.told = True
        self.unpaired.add(part.name)

    def claim(self, part: Part) -> bool:
        """Whether a retried request has this record as one of its attempts."""
        if not part.is_callee or part.kind != "request" or part.request_id is None:
            return False
        for request, left in self.retried:
            near = (
                request.start - self.tolerance_ns <= part.start <= request.end + self.tolerance_ns
            )
            assert part.client is not None
            at_home = (
                request.client[0] == part.client[0]
                if request.client is not None
                else self.caller_of_ip.get(part.client[0]) == reporter(request.row)
            )
            if request.request_id == part.request_id and left[0] > 0 and near and at_home:
                left[0] -= 1
                self.attempts[part.index] = request.index
                self.waiting.remove(part)
                if part.told:
                    self.retracted.add(part.name)
                return True
        return False

    def note_address(self, row: Row) -> None:
        own = upstream(row) if row["side"] == "source" else address(row, "dst_ip", "dst_port")
        if own is not None and not row["is_duplicate"]:
            self.caller_of_ip[own[0]] = reporter(row)

    def match(self, parts: list[Part], *, by_id: bool) -> None:
        groups: dict[object, list[Part]] = {}
        for part in parts:
            key = (part.client, part.kind, part.request_id if by_id else None)
            groups.setdefault(key, []).append(part)
        for group in groups.values():
            callers = [one for one in group if not one.is_callee]
            callees = [one for one in group if one.is_callee]
            for server in {one.server for one in group} - {None}:
                ours = [one for one in callers if one.server == server]
                theirs = [one for one in callees if one.server == server]
                self.greedy([o for o in ours if o.expects], [o for o in theirs if o.expects])
                self.greedy(ours, theirs)
            self.greedy([one for one in callers if one.server is None], callees)
            self.greedy(callers, [one for one in callees if one.server is None])

    def greedy(self, callers: Iterable[Part], callees: Iterable[Part]) -> None:
        """Each callee's part, earliest first, with the caller's around it that ends first."""
        free = [one for one in callers if one in self.waiting]
        tolerance = self.tolerance_ns
        for callee in sorted(callees, key=lambda one: (one.start, one.index)):
            around = [
                one for one in free if one.start - tolerance <= callee.start <= one.end + tolerance
            ]
            if callee in self.waiting and around:
                caller = min(around, key=lambda one: (one.end, one.start, one.index))
                self.pairs.add((caller.index, callee.index))
                self.retracted |= {one.name for one in (caller, callee) if one.told}
                free.remove(caller)
                self.waiting.remove(caller)
                self.waiting.remove(callee)


def parts_of(row: Row) -> list[Part]:
    """The caller's part and the callee's of one row."""
    if row["kind"] not in {"request", "connection"} or row["is_duplicate"]:
        return []
    side, cluster = row["side"], row["envoy_upstream_cluster"]
    is_source, is_destination = side == "source", side == "destination"
    is_told = row["kind"] == "request" or row["envoy_access_log_type"] is not None
    has_caller = row["src_spiffe_id"] is not None and row["src_spiffe_id_trust"] in {
        "attested",
        "reported",
    }
    client, dst = address(row, "src_ip", "src_port"), address(row, "dst_ip", "dst_port")
    up = upstream(row)
    parts = []
    to_application = cluster is None or cluster.startswith("inbound|")
    if up is not None and (is_source or not (is_destination and to_application)):
        server = dst if is_source else None
        is_broken = bool(BROKEN & set((row["envoy_response_flags"] or "").split(",")))
        expects = is_told and server is not None and not is_broken
        parts.append(Part(row=row, is_callee=False, client=up, server=server, expects=expects))
    if client is not None and client != up and (not is_source or has_caller):
        expects = is_told and has_caller and (is_destination or is_source)
        server = None if is_source else dst
        parts.append(Part(row=row, is_callee=True, client=client, server=server, expects=expects))
    return parts


def is_retried(row: Row) -> bool:
    has_id = row["request_id"] is not None or row["request_id_text"] is not None
    return (
        row["kind"] in {"request", "connection"}
        and not row["is_duplicate"]
        and row["side"] == "source"
        and row["envoy_access_log_type"] in ENDS
        and (row["envoy_attempt_count"] or 0) > 1
        and has_id
    )


def address(row: Row, ip: str, port: str) -> Address | None:
    return None if row[ip] is None or row[port] is None else (row[ip], row[port])


def upstream(row: Row) -> Address | None:
    return address(row, "envoy_upstream_local_ip", "envoy_upstream_local_port")


def reporter(row: Row) -> object:
    return (row["reporter_spiffe_id"], row["reporter_id"])
