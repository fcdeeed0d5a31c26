from __future__ import annotations

from itertools import count, permutations
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.calls import COLUMNS, DEPTH_MAX, Call, JoinedBy, build_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.correlate.calls import Row

MS = 1_000_000
REQUEST = b"\x01" * 16
PORT_BY_CALLER = {"web": 40_001, "cart": 40_002, "pay": 40_003, "evil": 40_004}


class Mesh:
    """Records of calls between workloads, as their two sidecars would write them."""

    def __init__(self) -> None:
        self._indexes = count()

    def source(self, caller: str, callee: str, start: int, end: int, **known: Any) -> Row:
        """What the caller's sidecar says; times in ms."""
        upstream = {
            "envoy_upstream_local_ip": f"10.0.0.{caller}",
            "envoy_upstream_local_port": PORT_BY_CALLER[caller],
        }
        return self._record(caller, callee, start, end, side="source", **{**upstream, **known})

    def destination(self, caller: str, callee: str, start: int, end: int, **known: Any) -> Row:
        """What the callee's sidecar says; times in ms."""
        peer = {"src_ip": f"10.0.0.{caller}", "src_port": PORT_BY_CALLER[caller]}
        return self._record(caller, callee, start, end, side="destination", **{**peer, **known})

    def both(self, caller: str, callee: str, start: int, end: int, **known: Any) -> list[Row]:
        return [
            self.source(caller, callee, start, end, **known),
            self.destination(caller, callee, start, end, **known),
        ]

    def span(self, span_id: str, kind: str, parent: str, start: int, **known: Any) -> Row:
        """What an application says; ids are short names."""
        told = {"src_spiffe_id": None, "dst_spiffe_id": None, "request_id": None, **known}
        ids = {"span_id": span_id.encode(), "parent_span_id": parent.encode() or None}
        given = {"kind": "span", "span_kind": kind, **ids, **told}
        return self._record("", "", start, start + 1, **given)

    def _record(self, caller: str, callee: str, start: int, end: int, **known: Any) -> Row:
        return {
            **dict.fromkeys(COLUMNS),
            "log_index": next(self._indexes),
            "kind": "request",
            "time": start * MS,
            "end_time": end * MS,
            "received_time": end * MS,
            "src_spiffe_id": caller,
            "dst_spiffe_id": callee,
            "http_request_method": "GET",
            "url_path": f"/{callee}",
            "request_id": REQUEST,
            **known,
        }


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def drawn(calls: Iterable[Call]) -> str:
    """A tree as text: S and D say which ends are there, a number how many spans."""
    return " ".join(
        f"{call.caller}>{call.callee}"
        f"{'S' if call.source else ''}{'D' if call.destination else ''}{len(call.spans) or ''}"
        + (f"({drawn(call.caused)})" if call.caused else "")
        for call in calls
    )


def test_a_chain_of_calls_is_a_tree_in_whatever_order_records_arrive(mesh: Mesh) -> None:
    records = [
        mesh.destination("evil", "web", 0, 100, src_spiffe_id=None, src_ip="9.9.9.9"),
        *mesh.both("web", "cart", 10, 40),
        *mesh.both("cart", "pay", 20, 30),
    ]
    for order in permutations(records):
        assert drawn(build_calls(order)) == "9.9.9.9>webD(web>cartSD(cart>paySD))"


def test_a_call_without_tls_was_taken_by_whoever_owns_the_proxy(mesh: Mesh) -> None:
    plain = {"dst_spiffe_id": None, "dst_ip": "10.0.0.1", "reporter_spiffe_id": "web"}
    records = [
        mesh.destination("evil", "web", 0, 100, **plain),
        *mesh.both("web", "cart", 10, 40),
    ]
    assert drawn(build_calls(records)) == "evil>webD(web>cartSD)"


def test_two_calls_one_after_the_other_stand_side_by_side(mesh: Mesh) -> None:
    records = [
        *mesh.both("evil", "web", 0, 100),
        *mesh.both("web", "cart", 10, 20),
        *mesh.both("web", "pay", 30, 40),
    ]
    assert drawn(build_calls(records)) == "evil>webSD(web>cartSD web>paySD)"


def test_a_call_outside_of_what_its_caller_served_has_no_cause(mesh: Mesh) -> None:
    records = [*mesh.both("evil", "web", 0, 100), *mesh.both("web", "cart", 150, 160)]
    assert drawn(build_calls(records)) == "evil>webSD web>cartSD"


def test_of_two_calls_served_at_once_the_one_with_the_same_request_id_is_the_cause(
    mesh: Mesh,
) -> None:
    other = {"request_id": b"\x02" * 16}
    records = [
        *mesh.both("evil", "web", 0, 100),
        *mesh.both("pay", "web", 5, 90, **other),
        *mesh.both("web", "cart", 10, 20),
    ]
    assert drawn(build_calls(records)) == "evil>webSD(web>cartSD) pay>webSD"


def test_an_end_that_did_not_report_is_missing_from_its_call(mesh: Mesh) -> None:
    assert drawn(build_calls([mesh.destination("web", "cart", 0, 1)])) == "web>cartD"
    assert drawn(build_calls([mesh.source("web", "cart", 0, 1)])) == "web>cartS"


def test_ends_are_joined_by_the_addresses_of_their_connection(mesh: Mesh) -> None:
    (call,) = build_calls(mesh.both("web", "cart", 0, 1))
    assert call.joined_by is JoinedBy.ADDRESSES_AND_REQUEST_ID
    (call,) = build_calls(
        [mesh.source("web", "cart", 0, 1), mesh.destination("web", "cart", 0, 1, request_id=None)]
    )
    assert call.joined_by is JoinedBy.ADDRESSES
    (call,) = build_calls(
        [
            mesh.source("web", "cart", 0, 1, envoy_upstream_local_port=None),
            mesh.destination("web", "cart", 0, 1),
        ]
    )
    assert call.joined_by is JoinedBy.REQUEST_ID


def test_a_copied_request_id_does_not_join_records_of_other_connections(mesh: Mesh) -> None:
    # The thief shows web's certificate and sends its request id, from an address of its own.
    theft = mesh.destination("web", "cart", 0, 1, src_ip="10.6.6.6", src_port=6_666)
    assert drawn(build_calls([mesh.source("web", "cart", 0, 1), theft])) == "web>cartS web>cartD"


def test_records_that_contradict_one_another_are_not_joined(mesh: Mesh) -> None:
    source = mesh.source("web", "cart", 0, 1)
    for name in ("http_request_method", "url_path", "src_spiffe_id", "dst_spiffe_id"):
        other = mesh.destination("web", "cart", 0, 1, **{name: "other"})
        assert len(build_calls([source, other])) == 2


def test_retries_on_one_connection_join_the_nearest_in_time(mesh: Mesh) -> None:
    records = [
        mesh.source("web", "cart", 10, 20),
        mesh.destination("web", "cart", 2, 4),
        mesh.destination("web", "cart", 11, 19),
    ]
    joined = [call for call in build_calls(records) if call.joined_by is not None]
    assert [[row["log_index"] for row in call.records] for call in joined] == [[0, 2]]


def test_what_is_no_request_is_left_out_and_nobody_calls_nobody(mesh: Mesh) -> None:
    nameless = {"src_spiffe_id": None, "dst_spiffe_id": None, "src_ip": None, "dst_ip": None}
    records = [
        mesh.destination("web", "cart", 0, 9, kind="connection"),
        mesh.destination("web", "cart", 0, 9, **nameless),
        mesh.destination("web", "cart", 1, 2, **nameless),
    ]
    assert drawn(build_calls(records)) == "None>NoneD None>NoneD"


def test_every_record_stands_in_exactly_one_call(mesh: Mesh) -> None:
    records = [
        record
        for start in range(0, 200, 7)
        for caller, callee in (("web", "cart"), ("cart", "pay"), ("evil", "web"))
        for record in mesh.both(caller, callee, start, start + 20)
    ]
    seen: list[int] = []
    waiting = build_calls(records)
    while waiting:
        call = waiting.pop()
        seen += [row["log_index"] for row in call.records]
        waiting += call.caused
    assert sorted(seen) == list(range(len(records)))


def test_spans_of_applications_tell_what_caused_a_call_where_moments_do_not(mesh: Mesh) -> None:
    # The answer went out before the work was done.
    records = [
        *mesh.both("evil", "web", 0, 10, span_id=b"b"),
        *mesh.both("web", "cart", 50, 60, span_id=b"g"),
    ]
    assert drawn(build_calls(records)) == "evil>webSD web>cartSD"
    spans = [mesh.span("app", "server", "b", 1), mesh.span("g", "client", "app", 49)]
    assert drawn(build_calls([*records, *spans])) == "evil>webSD1(web>cartSD1)"


def test_a_span_does_not_hang_a_call_under_one_of_somebody_else(mesh: Mesh) -> None:
    records = [
        *mesh.both("evil", "web", 0, 100, span_id=b"b"),
        *mesh.both("evil", "pay", 0, 100, span_id=b"x"),
        *mesh.both("web", "cart", 10, 20, span_id=b"g"),
    ]
    # It claims that pay served x when cart was called; cart's caller is web, says its certificate.
    forged = mesh.span("g", "client", "x", 9)
    assert drawn(build_calls([*records, forged])) == "evil>webSD(web>cartSD1) evil>paySD"


def test_a_call_that_only_spans_tell_of_has_the_names_that_their_senders_claim(mesh: Mesh) -> None:
    client = mesh.span("q", "client", "", 1, reporter_cluster="web", server_address="db")
    assert drawn(build_calls([client])) == "web>db1"
    server = mesh.span("r", "server", "q", 2, reporter_id="postgres-0", src_ip="10.0.0.1")
    assert drawn(build_calls([server, client])) == "web>postgres-02"
    assert drawn(build_calls([server])) == "10.0.0.1>postgres-01"
    inner = mesh.span("i", "internal", "", 1)
    assert drawn(build_calls([inner])) == "None>None1"


def test_parents_that_go_in_a_circle_hide_no_call(mesh: Mesh) -> None:
    circle = {"a": "b", "b": "c", "c": "a"}
    spans = [mesh.span(one, "client", other, 0) for one, other in circle.items()]
    assert drawn(build_calls(spans)) == "None>None1(None>None1(None>None1))"


def test_a_parent_that_comes_later_hides_no_call(mesh: Mesh) -> None:
    # The moments say that the second was made while the first was served, the span the contrary.
    records = [
        *mesh.both("web", "cart", 0, 100, span_id=b"a"),
        *mesh.both("cart", "web", 10, 20, span_id=b"b"),
    ]
    span = mesh.span("a", "client", "b", 0)
    assert drawn(build_calls([*records, span])) == "cart>webSD(web>cartSD1)"


def test_a_trace_that_is_nested_without_end_has_its_rest_at_the_top(mesh: Mesh) -> None:
    for step in (1, -1):
        spans = [
            mesh.span(f"{at}", "client", f"{at - 1}" if at else "", 5_000 + step * at)
            for at in range(3 * DEPTH_MAX)
        ]
        roots = build_calls(spans)
        seen, deepest = 0, 0
        waiting = [(root, 1) for root in roots]
        while waiting:
            call, depth = waiting.pop()
            seen, deepest = seen + len(call.spans), max(deepest, depth)
            waiting += [(one, depth + 1) for one in call.caused]
        assert (seen, deepest, len(roots)) == (3 * DEPTH_MAX, DEPTH_MAX, 3)
