from __future__ import annotations

import random  # noqa: TID251 - seeded: a failure comes again
from itertools import permutations
from typing import TYPE_CHECKING, Any

from meshtrail.correlate.span_places import SPAN_COLUMNS, place_spans

if TYPE_CHECKING:
    from meshtrail.correlate.span_places import Row

NONE = dict.fromkeys(SPAN_COLUMNS)


def name_of(row: Row) -> str:
    name: str = row["span_id"].decode() if row["span_id"] else f"#{row['log_index']}"
    return name


def row(index: int, span_id: str | None, **known: Any) -> Row:
    return {
        **NONE,
        "log_index": index,
        "received_time": 1_000 + index,
        "span_id": span_id.encode() if span_id else None,
        **known,
    }


class Spans:
    """Spans by short names; a parent is named by its own."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, span_id: str | None, kind: str | None, parent: str = "", **known: Any) -> Spans:
        above = parent.encode() or None
        given = {"span_kind": kind, "parent_span_id": above, **known}
        self.rows.append(row(100 + len(self.rows), span_id, **given))
        return self


def placed(spans: Spans, *calls: list[Row]) -> list[tuple[str, list[int]]]:
    """The names of the spans of each call in a row, and its causes."""
    places = place_spans(calls, spans.rows)
    return [
        (" ".join(sorted(name_of(one) for one in some)), causes)
        for some, causes in zip(places.spans, places.causes, strict=True)
    ]


def test_the_spans_of_both_ends_and_of_the_application_are_one_call() -> None:
    spans = Spans().add("a", "client").add("f", "client", "a").add("b", "server", "f")
    spans.add("app", "server", "b").add("inner", "internal", "app")
    records = [row(0, "f"), row(1, "b")]
    for order in permutations(spans.rows):
        spans.rows = list(order)
        assert placed(spans, records) == [("a app b f inner", [])]


def test_an_application_between_two_proxies_joins_two_calls() -> None:
    first, second = [row(0, "f"), row(1, "b")], [row(2, "g"), row(3, "c")]
    spans = Spans().add("b", "server", "f").add("app", "server", "b").add("out", "client", "app")
    spans.add("g", "client", "out").add("c", "server", "g")
    assert placed(spans, first, second) == [("app b", []), ("c g out", [0])]


def test_proxies_that_pass_a_header_on_log_the_span_of_the_caller() -> None:
    # Neither proxy traces: both records have the id of the application's span.
    first, second = [row(0, "a"), row(1, "a")], [row(2, "b"), row(3, "b")]
    spans = Spans().add("a", "client").add("app", "server", "a").add("b", "client", "app")
    assert placed(spans, first, second) == [("a app", []), ("b", [0])]


def test_a_clients_span_without_a_record_is_a_call_of_its_own() -> None:
    spans = Spans().add("b", "server", "f").add("sql", "client", "b").add("db", "server", "sql")
    assert placed(spans, [row(0, "b")]) == [("b", []), ("db sql", [0])]


def test_a_proxys_span_is_found_by_its_moment_where_the_record_has_no_id() -> None:
    moment: dict[str, Any] = {"time": 7, "request_id": b"\x01", "reporter_spiffe_id": "web"}
    spans = Spans().add("f", "server", **moment)
    assert placed(spans, [row(0, None, **moment)]) == [("f", [])]
    for other in ({"time": 8}, {"request_id": b"\x02"}, {"reporter_spiffe_id": None}):
        assert len(placed(spans, [row(0, None, **{**moment, **other})])) == 2
    text: dict[str, Any] = {"time": 7, "request_id_text": "order-7", "reporter_spiffe_id": "web"}
    assert placed(Spans().add("f", "server", **text), [row(0, None, **text)]) == [("f", [])]
    # Two that have no request id at all have nothing in common.
    assert len(placed(Spans().add("f", "server", time=7), [row(0, None, time=7)])) == 2


def test_a_span_id_that_stands_twice_is_one_place() -> None:
    spans = Spans().add("a", "client", "x").add("a", "server", "x").add("a", "client", "x")
    assert placed(spans) == [("a a a", [])]


def test_spans_whose_parents_go_in_a_circle_are_placed_once() -> None:
    spans = Spans().add("a", "client", "b").add("b", "client", "a").add("c", "client", "c")
    assert sorted(name for name, _ in placed(spans)) == ["a", "b", "c"]


def test_spans_without_ids_are_calls_of_their_own() -> None:
    spans = Spans().add(None, "server").add(None, "client").add("a", "server")
    assert placed(spans) == [("#100", []), ("#101", []), ("a", [])]


def test_every_span_stands_in_exactly_one_call_whatever_it_says() -> None:
    rng = random.Random("places")  # noqa: S311 - as above
    names = ["a", "b", "c", "d", "e", "f", None]
    kinds = ["client", "server", "internal", "producer", "consumer", None]
    for _ in range(300):
        spans = Spans()
        for _ in range(rng.randint(0, 8)):
            spans.add(rng.choice(names), rng.choice(kinds), rng.choice(names) or "")
        calls = [[row(at, rng.choice(names))] for at in range(rng.randint(0, 3))]
        places = place_spans(calls, spans.rows)
        found = [one["log_index"] for some in places.spans for one in some]
        assert sorted(found) == [one["log_index"] for one in spans.rows]
        assert len(places.causes) == len(places.spans) >= len(calls)
        assert all(places.spans[len(calls) :])
        for call, causes in enumerate(places.causes):
            assert call not in causes
