"""Requests of one trace as calls, both ends together, each under the call that caused it.

A call is what two proxies said about one request: the caller's (source) and the callee's
(destination). They are joined by addresses, which neither could invent: the source's upstream
connection began where the destination says that it came from. The request id, which anyone can set,
breaks ties, and joins alone only where addresses say nothing.

A call was caused by the innermost one that its caller was serving at that moment. Where the
caller's own proxy reported both, one clock decides; else the order rests on two clocks. Where spans
say what they are children of, that counts first, as long as it does not contradict identities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from meshtrail.correlate.span_places import CALLED, CALLING, place_spans, start_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    "span_id", "parent_span_id", "span_name", "span_kind", "span_status", "server_address",
    "rpc_method", "reporter_cluster", "user_id", "user_id_trust", "user_issuer",
)  # fmt: skip
"""What rows need to have."""

DEPTH_MAX: Final = 100
"""Calls that are nested deeper stand at the top."""


class JoinedBy(StrEnum):
    """How sure it is that two records are one call; the strongest first."""

    ADDRESSES_AND_REQUEST_ID = "addresses and request id"
    ADDRESSES = "addresses"
    REQUEST_ID = "request id"


@dataclass(slots=True, eq=False)
class Call:
    """One request as its two ends told it, or as nothing but spans tell it.

    Attributes:
        source: the caller's record; None when it is not there.
        destination: the callee's record; None when it is not there.
        joined_by: None when only one end reported.
        spans: what proxies and applications traced of it, by time.
        caused: calls that the callee made while it served this one, by time.
    """

    source: Row | None = None
    destination: Row | None = None
    joined_by: JoinedBy | None = None
    spans: list[Row] = field(default_factory=list)
    caused: list[Call] = field(default_factory=list)

    @property
    def records(self) -> list[Row]:
        """What proxies logged of it: one or two, none where only spans tell of it."""
        return [one for one in (self.source, self.destination) if one is not None]

    @property
    def told(self) -> list[Row]:
        """The records, or the spans where there are none; never empty."""
        return self.records or self.spans

    def first(self, name: str, *, of: str = "destination") -> object:
        """A column of the end that knows better, else of the other one."""
        ends = self.told if of == "source" else self.told[::-1]
        return next((one[name] for one in ends if one[name] is not None), None)

    @property
    def caller(self) -> str | None:
        """Who called: a SPIFFE ID, else an address; of spans alone, what it calls itself."""
        if not self.records:
            known = self._name(CALLING) or self.first("src_ip")
        else:
            known = self.first("src_spiffe_id") or self.first("src_ip", of="source")
        return str(known) if known else None

    @property
    def callee(self) -> str | None:
        """Who was called: a SPIFFE ID, else an address; of spans alone, what it calls itself.

        Where the connection had no TLS, it is whose proxy took it.
        """
        if not self.records:
            known = self._name(CALLED) or self.first("server_address") or self.first("dst_ip")
        else:
            known = self.identity_of_callee or self.first("dst_ip")
        return str(known) if known else None

    @property
    def identity_of_callee(self) -> object:
        """The SPIFFE ID of who was called; None where no record has it."""
        proxy = self.destination["reporter_spiffe_id"] if self.destination is not None else None
        return self.first("dst_spiffe_id") or proxy

    @property
    def start_ns(self) -> int:
        """When the caller began, as far as that is known."""
        return start_of(self.told[0])

    def _name(self, kinds: frozenset[str]) -> object:
        """What the sender of the first span of these kinds, or else of neither, calls itself."""
        for span in self.spans:
            if span["span_kind"] in kinds:
                return span["reporter_cluster"] or span["reporter_id"]
        return None


def build_calls(rows: Iterable[Row]) -> list[Call]:
    """The calls of a trace, each under the one that caused it.

    Args:
        rows: events with ``COLUMNS``; those that are neither requests nor spans are left out.

    Returns:
        The calls that nothing in the rows explains, by time.
    """
    chosen = sorted((row for row in rows if row["kind"] in {"request", "span"}), key=start_of)
    requests = [row for row in chosen if row["kind"] == "request"]
    calls = sorted(_join_ends(requests), key=lambda call: call.start_ns)
    places = place_spans(
        [call.records for call in calls], [row for row in chosen if row["kind"] == "span"]
    )
    calls += [Call() for _ in places.spans[len(calls) :]]
    causes = {}
    for call, spans, positions in zip(calls, places.spans, places.causes, strict=True):
        call.spans = spans
        causes[call] = [calls[position] for position in positions]
    return _as_tree(sorted(calls, key=lambda call: call.start_ns), causes)


def _as_tree(calls: Sequence[Call], causes: Mapping[Call, Sequence[Call]]) -> list[Call]:
    """Put each call under what caused it.

    Args:
        calls: by time.
        causes: what the spans of each call are children of.
    """
    roots: list[Call] = []
    above: dict[Call, Call] = {}
    by_callee: dict[str | None, list[Call]] = {}
    for call in calls:
        cause = _find_traced_cause(call, causes[call], above)
        if cause is None and call.records:
            # Only a caller that is known can have been serving somebody.
            serving = by_callee.get(call.caller, []) if call.caller is not None else []
            cause = _find_cause(call, serving)
            cause = None if cause is None or _is_under(cause, call, above) else cause
        if cause is not None:
            above[call] = cause
        (roots if cause is None else cause.caused).append(call)
        if call.records:
            by_callee.setdefault(call.callee, []).append(call)
    return _flattened(roots)


def _flattened(roots: list[Call]) -> list[Call]:
    """The same calls, none deeper than ``DEPTH_MAX``: whoever sends spans can nest them at will."""
    waiting = [(root, 1) for root in roots]
    lifted: list[Call] = []
    while waiting:
        call, depth = waiting.pop()
        if depth == DEPTH_MAX:
            lifted += call.caused
            waiting += [(one, 1) for one in call.caused]
            call.caused = []
        else:
            waiting += [(one, depth + 1) for one in call.caused]
    return sorted([*roots, *lifted], key=lambda call: call.start_ns)


def _find_traced_cause(
    call: Call, causes: Sequence[Call], above: Mapping[Call, Call]
) -> Call | None:
    """The first of what its spans are children of that no identity contradicts."""
    caller = call.first("src_spiffe_id")
    for cause in causes:
        callee = cause.identity_of_callee
        is_contradicted = caller is not None and callee is not None and caller != callee
        if not is_contradicted and not _is_under(cause, call, above):
            return cause
    return None


def _is_under(one: Call, other: Call, above: Mapping[Call, Call]) -> bool:
    """Whether a call stands under another already, or is that one, or is too deep to tell."""
    at: Call | None = one
    for _ in range(DEPTH_MAX):
        if at is None:
            return False
        if at is other:
            return True
        at = above.get(at)
    return True


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
        (order, abs(start_of(source) - start_of(other)), source["log_index"], other["log_index"])
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
    return start_of(told_outer) <= start_of(told_inner) and (
        end is None or start_of(told_inner) <= end
    )


def _upstream_address(row: Row) -> tuple[str, int] | None:
    return _address(row["envoy_upstream_local_ip"], row["envoy_upstream_local_port"])


def _address(ip: str | None, port: int | None) -> tuple[str, int] | None:
    return None if ip is None or port is None else (ip, port)


def _request_id(row: Row) -> object:
    return row["request_id"] if row["request_id"] is not None else row["request_id_text"]
