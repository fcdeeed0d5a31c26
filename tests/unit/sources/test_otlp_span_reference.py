from __future__ import annotations

from typing import Any

from meshtrail.sources.otlp_span_reference import map_span_record
from meshtrail.sources.streams import StreamFacts
from tests.otlp_spans import ENVOY_TAGS, SPAN_ID, START_NS, export, span


def reference(payload: bytes) -> tuple[dict[str, Any], list[str]]:
    """The row of a record, without nulls, and its problems."""
    row: dict[str, Any] = {}
    problems: list[str] = []
    map_span_record(payload, row, problems, StreamFacts())
    return {name: value for name, value in row.items() if value is not None}, problems


def test_a_span_is_read_without_columns() -> None:
    row, problems = reference(export(span(ENVOY_TAGS)))
    told = {name: row[name] for name in ("kind", "span_id", "time", "url_path", "src_ip", "side")}
    assert told == {
        "kind": "span",
        "span_id": SPAN_ID,
        "time": START_NS,
        "url_path": "/pay",
        "src_ip": "10.0.0.5",
        "side": "source",
    }
    assert problems == []


def test_what_cannot_be_read_is_undecoded() -> None:
    assert reference(b"\xff") == ({"kind": "undecoded"}, ["not a protobuf message"])
    assert reference(export()) == ({"kind": "undecoded"}, ["not exactly one span"])
