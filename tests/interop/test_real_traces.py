"""Traces of a real shop, as spans over OTLP: what they become, and the calls that they tell of."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from meshtrail.correlate.calls import build_calls
from tests.otlp_spans import events, export, span

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.correlate.calls import Call

TRACES_MAX = 60
KINDS = {"internal": 1, "server": 2, "client": 3}
Told = dict[str, str]


@pytest.fixture(scope="module")
def traces(samples: Path) -> list[list[Told]]:
    """Spans by trace, whole traces only."""
    by_trace: dict[str, list[Told]] = defaultdict(list)
    found = sorted((samples / "traces").glob("rca_data*.csv.gz"))
    assert found
    for path in found:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                by_trace[row["TraceID"]].append(row)
    whole = [rows for rows in by_trace.values() if is_whole(rows)]
    assert len(whole) >= TRACES_MAX
    return whole[:TRACES_MAX]


def is_whole(rows: list[Told]) -> bool:
    ids = {row["SpanID"] for row in rows}
    outside = [row["ParentID"] for row in rows if row["ParentID"] not in ids]
    return outside == ["root"] and len(rows) > 1


def with_kinds(rows: list[Told]) -> list[tuple[Told, str]]:
    """The samples have no kinds: what is called from another pod serves, what calls one calls."""
    pods = {row["SpanID"]: row["PodName"] for row in rows}
    calling = {row["ParentID"] for row in rows if row["PodName"] != pods.get(row["ParentID"])}
    return [
        (
            row,
            "client"
            if row["SpanID"] in calling
            else "server"
            if pods.get(row["ParentID"]) != row["PodName"]
            else "internal",
        )
        for row in rows
    ]


def payload(row: Told, kind: str) -> bytes:
    parent = "" if row["ParentID"] == "root" else row["ParentID"]
    return export(
        span(
            trace_id=bytes.fromhex(row["TraceID"]),
            span_id=bytes.fromhex(row["SpanID"]),
            parent_span_id=bytes.fromhex(parent),
            name=row["OperationName"],
            kind=KINDS[kind],
            start_time_unix_nano=int(row["StartTimeUnixNano"]),
            end_time_unix_nano=int(row["EndTimeUnixNano"]),
        )
    )


def derived(rows: list[tuple[Told, str]]) -> list[dict[str, Any]]:
    return events(*(payload(row, kind) for row, kind in rows))


def test_spans_of_real_traces_lose_nothing(traces: list[list[Told]]) -> None:
    for rows in traces:
        kinds = with_kinds(rows)
        for event, (row, kind) in zip(derived(kinds), kinds, strict=True):
            assert "decode_error" not in event
            assert event["trace_id"].hex() == row["TraceID"]
            assert event["span_id"].hex() == row["SpanID"]
            assert event.get("parent_span_id", b"").hex() == row["ParentID"].replace("root", "")
            assert (event["span_name"], event["span_kind"]) == (row["OperationName"], kind)
            # The samples count in microseconds.
            assert abs(event["duration"] // 1_000 - int(row["Duration"])) <= 1


def test_calls_of_real_traces_go_from_pod_to_pod(traces: list[list[Told]]) -> None:
    for rows in traces:
        kinds = with_kinds(rows)
        pods = {row["SpanID"]: row["PodName"] for row in rows}
        found = derived(kinds)
        for event in found:
            event["reporter_cluster"] = pods[event["span_id"].hex()]
        columns = {name for event in found for name in event}
        [root] = build_calls([defaultdict(lambda: None, dict.fromkeys(columns) | e) for e in found])
        assert root.callee == pods[root.spans[0]["span_id"].hex()]
        calls = sum(1 for row, kind in kinds if kind == "client") + 1
        assert count_calls(root) == (calls, len(rows))


def count_calls(call: Call) -> tuple[int, int]:
    """How many calls and spans; who serves a call makes those that it caused."""
    calls, spans = 1, len(call.spans)
    for caused in call.caused:
        assert caused.caller == call.callee
        assert caused.callee != caused.caller
        more = count_calls(caused)
        calls, spans = calls + more[0], spans + more[1]
    return calls, spans


def test_the_example_of_the_protocol_is_read(samples: Path) -> None:
    told = json.loads((samples / "otlp" / "trace.json").read_text())
    [resource] = told["resourceSpans"]
    # JSON has ids in hex, and the names of a newer protocol than the classes that parse it here.
    [scope] = resource.pop("scopeSpans")
    scope.pop("scope")
    [one] = scope["spans"]
    ids = {name: one.pop(name) for name in ("traceId", "spanId", "parentSpanId")}
    request = json_format.ParseDict(
        {"resourceSpans": [{**resource, "instrumentationLibrarySpans": [scope]}]},
        trace_service_pb2.ExportTraceServiceRequest(),
    )
    [parsed] = request.resource_spans[0].instrumentation_library_spans[0].spans
    parsed.trace_id, parsed.span_id, parsed.parent_span_id = map(bytes.fromhex, ids.values())
    [event] = events(request.SerializeToString())
    expected = {
        "trace_id": bytes.fromhex("5b8efff798038103d269b633813fc60c"),
        "parent_span_id": bytes.fromhex("eee19b7ec3c1b173"),
        "span_name": "I'm a server span",
        "span_kind": "server",
        "time": 1_544_712_660_000_000_000,
        "duration": 1_000_000_000,
    }
    assert {name: event[name] for name in expected} == expected
