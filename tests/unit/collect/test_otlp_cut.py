from __future__ import annotations

import json

import pytest

from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.otlp_frame import Signal
from tests.otlp_messages import (
    export,
    export_of,
    field,
    json_export,
    record,
    resource,
    resource_part,
    slice_export,
)

SIGNALS = [Signal.LOGS, Signal.TRACES]
PROTOBUF = {Signal.LOGS: PayloadFormat.OTLP_LOG, Signal.TRACES: PayloadFormat.OTLP_SPAN}
JSON = {Signal.LOGS: PayloadFormat.OTLP_LOG_JSON, Signal.TRACES: PayloadFormat.OTLP_SPAN_JSON}


def of(body: bytes, signal: Signal = Signal.LOGS, *, is_json: bool = False) -> OtlpExport:
    return OtlpExport(body=body, signal=signal, is_json=is_json)


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_resource_becomes_an_export_of_its_own(signal: Signal) -> None:
    first = resource_part([record("a"), record("b")], of=resource("one"))
    second = resource_part([record("c")], of=resource("two"))
    cut = of(export(first, second), signal).cut()
    assert cut.refusal is None
    assert [part.identifier for part in cut.parts] == [resource("one"), resource("two")]
    pieces = [piece for part in cut.parts for piece in part.pieces]
    assert [piece.data for piece in pieces] == [export(first), export(second)]
    assert [piece.records_count for piece in pieces] == [2, 1]
    assert {piece.framing for piece in pieces} == {Framing.OTLP}
    assert {piece.payload_format for piece in pieces} == {PROTOBUF[signal]}


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_record_in_json_becomes_a_payload(signal: Signal) -> None:
    cut = of(json_export(signal, "a", "b"), signal, is_json=True).cut()
    ((told, pieces),) = cut.parts
    assert told is not None
    assert json.loads(told)["attributes"][0]["key"] == "service.name"
    assert [(piece.framing, piece.records_count) for piece in pieces] == [(Framing.WHOLE, 1)] * 2
    assert {piece.payload_format for piece in pieces} == {JSON[signal]}
    assert [b'"a"' in piece.data for piece in pieces] == [True, False]


def test_an_export_that_holds_more_than_its_records_is_kept_whole_besides() -> None:
    first = resource_part([record("a")], of=resource("one"))
    odd = resource_part([record("b")], of=resource("two")) + field(99, b"more")
    body = export(first, odd)
    one, two = of(body).cut().parts
    assert [piece.payload_format for piece in one.pieces] == [PayloadFormat.OTLP_LOG]
    whole, records = two.pieces
    assert whole.data == body
    assert (whole.framing, whole.payload_format) == (Framing.WHOLE, PayloadFormat.OTLP_FRAME)
    assert slice_export(records.data) == [record("b")]


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("is_json", [False, True])
def test_what_is_no_export_is_kept_whole_and_the_reason_told(
    signal: Signal, *, is_json: bool
) -> None:
    cut = of(b"\xffno", signal, is_json=is_json).cut()
    assert cut.refusal is not None
    assert "records_count" not in cut.refusal.facts
    ((told, (whole,)),) = cut.parts
    assert told is None
    assert whole.data == b"\xffno"
    assert whole.payload_format is PayloadFormat.OTLP_FRAME


def test_an_export_over_the_bounds_is_kept_whole_and_its_records_counted() -> None:
    body = export(resource_part([b""] * 1_100, of=None))
    cut = of(body).cut()
    assert cut.refusal is not None
    assert cut.refusal.facts["records_count"] == 1_100
    assert [piece.data for part in cut.parts for piece in part.pieces] == [body]


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("body", [b"", export(field(1, resource()))], ids=["empty", "resource"])
def test_an_export_without_records_becomes_nothing(signal: Signal, body: bytes) -> None:
    cut = of(body, signal).cut()
    assert cut.refusal is None
    assert not any(part.pieces for part in cut.parts)


@pytest.mark.parametrize("is_json", [False, True])
def test_of_metrics_what_counts_records_is_kept_on_the_stream_of_their_resource(
    *, is_json: bool
) -> None:
    body = json_export(Signal.METRICS, "a") if is_json else export_of("a")
    cut = of(body, Signal.METRICS, is_json=is_json).cut()
    ((told, (piece,)),) = cut.parts
    assert cut.refusal is None
    assert told is not None
    assert piece.is_counters
    # One metric, which counts no records: of it there are a digest and a number.
    assert piece.data[32:40] == (1).to_bytes(8, "big")


@pytest.mark.parametrize(
    "again",
    [
        '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"lost"}]}]}],"resourceMetrics":[%s]}',
        '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"lost"}],"metrics":[]}]},%s]}',
    ],
)
def test_metrics_in_json_of_which_a_part_stands_twice_are_kept_whole_besides(again: str) -> None:
    body = (again % '{"scopeMetrics":[{"metrics":[{"name":"server.uptime"}]}]}').encode()
    cut = of(body, Signal.METRICS, is_json=True).cut()
    ((_, (whole, counters)),) = cut.parts
    assert (whole.data, whole.payload_format) == (body, PayloadFormat.OTLP_FRAME)
    assert counters.is_counters


@pytest.mark.parametrize(
    ("body", "is_json"),
    [
        (field(1, field(1, resource()) + field(9, b"more")), False),
        (field(1, field(2, field(9, b"more"))), False),
        (b'{"resourceMetrics":[{"more":1}]}', True),
        (b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{}],"metrics":[]}]}]}', True),
    ],
)
def test_an_export_of_metrics_that_holds_something_else_alone_is_kept_whole(
    body: bytes, *, is_json: bool
) -> None:
    cut = of(body, Signal.METRICS, is_json=is_json).cut()
    ((_, (whole,)),) = cut.parts
    assert (whole.data, whole.payload_format) == (body, PayloadFormat.OTLP_FRAME)
