"""Requests of one trace as calls, both ends together, each under the call that caused it.

A call is what two proxies said about one request: the caller's (source) and the callee's
(destination). They are joined by addresses, which neither could invent: the source's upstream
connection began where the destination says that it came from. The request id, which anyone can set,
breaks ties, and joins alone only where addresses say nothing.

A call was caused by the innermost one that its caller was serving at that moment. Where the
caller's own proxy reported both, one clock decides; else the order rests on two clocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Row = dict[str, Any]

COLUMNS: Final = (
    "log_index", "kind", "side", "time", "end_time", "received_time", "duration", "reporter_id",
    "reporter_spiffe_id",
    "src_spiffe_id", "src_spiffe_id_trust", "src_ip", "src_port",
    "dst_spiffe_id", "dst_spiffe_id_trust", "dst_ip", "dst_port",
    "http_request_method", "url_path", "http_response_status_code",
    "decision", "decision_trust", "policy_name", "envoy_response_flags",
    "envoy_upstream_local_ip", "envoy_upstream_local_port", "trace_id", "request_id",
    "request_id_text",
)  # fmt: skip
"""What rows need to have."""


class JoinedBy(StrEnum):
    """How sure it is that two records are one call; the strongest first."""

    ADDRESSES_AND_REQUEST_ID = "addresses and request id"
    ADDRESSES = "addresses"
    REQUEST_ID = "request id"


@dataclass(slots=True, eq=False)
class Call:
    """One request as its two ends told it.

    Attributes:
        source: the caller's record; None when it is not there.
        destination: the callee's record; None when it is not there.
        joined_by: None when only one end reported.
        caused: calls that the callee made while it served this one, by time.
    """

    source: Row | None = None
    destination: Row | None = None
    joined_by: JoinedBy | None = None
    caused: list[Call] = field(default_factory=list)

    @property
    def records(self) -> list[Row]:
        """One or two."""
        return [one for one in (self.source, self.destination) if one is not None]

    def first(self, name: str, *, of: str = "destination") -> object:
        """A column of the end that knows better, else of the other one."""
        ends = (self.destination, self.source)
        ordered = ends if of == "destination" else ends[::-1]
        known = (one[name] for one in ordered if one is not None and one[name] is not None)
        return next(known, None)

    @property
    def caller(self) -> str | None:
        """Who called: a SPIFFE ID, else an address."""
        known = self.first("src_spiffe_id") or self.first("src_ip", of="source")
        return str(known) if known else None

    @property
    def callee(self) -> str | None:
        """Who was called: a SPIFFE ID, else an address.

        Where the connection had no TLS, it is whose proxy took it.
        """
        proxy = self.destination["reporter_spiffe_id"] if self.destination is not None else None
        known = self.first("dst_spiffe_id") or proxy or self.first("dst_ip")
        return str(known) if known else None

    @property
    def start_ns(self) -> int:
        """When the caller began, as far as that is known."""
        return _start(self.records[0])


def build_calls(rows: Iterable[Row]) -> list[Call]:
    """The calls of a trace, each under the one that caused it.

    Args:
        rows: events with ``COLUMNS``; those that are no requests are left out.

    Returns:
        The calls that nothing in the rows explains, by time.
    """
    requests = sorted((row for row in rows if row["kind"] == "request"), key=_start)
    calls = sorted(_join_ends(requests), key=lambda call: call.start_ns)
    roots: list[Call] = []
    by_callee: dict[str | None, list[Call]] = {}
    for call in calls:
        # Only a caller that is known can have been serving somebody.
        serving = by_callee.get(call.caller, []) if call.caller is not None else []
        cause = _find_cause(call, serving)
        (roots if cause is None else cause.caused).append(call)
        by_callee.setdefault(call.callee, []).append(call)
    return roots


def _join_ends(requests: Sequence[Row]) -> list[Call]:
    """Each record in exactly one call; the surest pairs are made first."""
    sources = [row for row in requests if row["side"] == "source"]
    others = [row for row in requests if row["side"] != "source"]
    by_end: dict[object, list[Row]] = {}
    for other in others:
        for key in (_address(other["src_ip"], other["src_port"]), _request_id(other)):
            if key is not None:
                by_end.setdefault(key, []).append(other)
    pairs = {
        (order, abs(_start(source) - _start(other)), source["log_index"], other["log_index"])
        for source in sources
        for key in (_upstream_address(source), _request_id(source))
        for other in by_end.get(key, [])
        if (order := _likeness(source, other)) is not None
    }
    by_index = {row["log_index"]: row for row in requests}
    joined: set[int] = set()
    calls = []
    for order, _, source_index, other_index in sorted(pairs):
        if joined.isdisjoint({source_index, other_index}):
            joined |= {source_index, other_index}
            by = list(JoinedBy)[order]
            calls.append(Call(by_index[source_index], by_index[other_index], by))
    calls += [Call(source=row) for row in sources if row["log_index"] not in joined]
    calls += [Call(destination=row) for row in others if row["log_index"] not in joined]
    return calls


def _likeness(source: Row, other: Row) -> int | None:
    """How two records are one call, as a position in ``JoinedBy``; None when they are not."""
    has_same_id = _request_id(source) is not None and _request_id(source) == _request_id(other)
    ours, theirs = _upstream_address(source), _address(other["src_ip"], other["src_port"])
    if not _are_alike(source, other):
        return None
    if ours is not None and ours == theirs:
        return 0 if has_same_id else 1
    # An address that contradicts is stronger than an id that anyone can copy.
    is_unknown = ours is None or theirs is None
    return 2 if is_unknown and has_same_id else None


def _are_alike(source: Row, other: Row) -> bool:
    """Whether method, path and identities do not contradict one another."""
    names = ("http_request_method", "url_path", "src_spiffe_id", "dst_spiffe_id")
    return all(source[name] is None or other[name] in {None, source[name]} for name in names)


def _find_cause(call: Call, serving: Sequence[Call]) -> Call | None:
    """The innermost of the earlier calls to the caller that it was still serving."""
    request_id = _request_id(call.records[0])
    return max(
        (one for one in serving if _encloses(one, call)),
        key=lambda one: (_request_id(one.records[-1]) == request_id, one.start_ns),
        default=None,
    )


def _encloses(outer: Call, inner: Call) -> bool:
    # The callee's proxy of the outer call is the caller's of the inner one: its clock for both.
    told_outer, told_inner = outer.records[-1], inner.records[0]
    end = told_outer["end_time"]
    return _start(told_outer) <= _start(told_inner) and (end is None or _start(told_inner) <= end)


def _start(row: Row) -> int:
    moment = row["time"] if row["time"] is not None else row["received_time"]
    return int(moment)


def _upstream_address(row: Row) -> tuple[str, int] | None:
    return _address(row["envoy_upstream_local_ip"], row["envoy_upstream_local_port"])


def _address(ip: str | None, port: int | None) -> tuple[str, int] | None:
    return None if ip is None or port is None else (ip, port)


def _request_id(row: Row) -> object:
    return row["request_id"] if row["request_id"] is not None else row["request_id_text"]
