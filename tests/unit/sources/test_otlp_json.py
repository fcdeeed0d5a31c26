from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from meshtrail.errors import InputError
from meshtrail.sources import otlp_json
from meshtrail.sources.als_frame import RECORD_BYTES_MIN, RECORDS_COUNT_MAX, SMALL_RECORDS_MAX
from meshtrail.sources.otlp_frame import (
    RESOURCES_COUNT_MAX,
    SCOPES_COUNT_MAX,
    SMALL_REPEATED_BYTES_MAX,
    Signal,
    cut_export,
)
from meshtrail.sources.otlp_json import (
    EXPORT_COMMAS_MAX,
    JsonPart,
    cut_json_export,
    json_column_to_protobuf,
    json_to_protobuf,
)
from meshtrail.sources.proto_json import encode_json_message

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "otlp_payload.json").read_text(encoding="utf-8")
)
LOGS, TRACES = Signal.LOGS, Signal.TRACES


def logs(*records: str, resource: str = "", scope: str = "", key: str = "resourceLogs") -> bytes:
    return (
        f'{{"{key}":[{{{resource}"scopeLogs":[{{{scope}"logRecords":[{",".join(records)}]}}]}}]}}'
    ).encode()


def cut(body: bytes, signal: Signal = LOGS) -> list[JsonPart]:
    return cut_json_export(body, signal)


@pytest.mark.parametrize("vector", VECTORS["json_exports"], ids=lambda vector: vector["name"])
def test_payloads_of_an_export_are_exactly_the_golden_text(vector: dict[str, Any]) -> None:
    (part,) = cut(vector["export"].encode(), Signal[vector["signal"]])
    assert [payload.decode() for payload in part.payloads] == vector["payloads"]
    assert (part.resource and part.resource.decode(), part.is_plain) == (vector["resource"], True)


@pytest.mark.parametrize("vector", VECTORS["json_exports"], ids=lambda vector: vector["name"])
def test_protobuf_of_a_payload_is_exactly_the_golden_bytes(vector: dict[str, Any]) -> None:
    found = [
        json_to_protobuf(p.encode(), Signal[vector["signal"]]).hex() for p in vector["payloads"]
    ]
    assert found == vector["protobuf"]


def test_slices_stay_as_they_stood_whatever_is_in_them() -> None:
    record = '{ "body" : {"stringValue":"\\u00e9 \\" ]"},\n"body":1e999999, "x":01234567890}'
    record = record.replace("01234567890", "9" * 10_000)
    part = cut(logs(record, "7", "null", '{"a":[1 ,2]}'))[0]
    assert part.payloads == [logs(record), logs("7"), logs("null"), logs('{"a":[1 ,2]}')]
    assert part.is_plain


def test_both_spellings_of_the_schema_are_taken_and_give_the_same_payloads() -> None:
    snake = b'{"resource_logs":[{"schema_url":"u","scope_logs":[{"log_records":[{}]}]}]}'
    camel = b'{"resourceLogs":[{"schemaUrl":"u","scopeLogs":[{"logRecords":[{}]}]}]}'
    assert cut(snake) == cut(camel) == [JsonPart(None, [camel], is_plain=True)]


def test_export_of_several_resources_is_cut_into_a_part_for_each() -> None:
    body = (
        b'{"resourceLogs":[{"resource":{"a":1},"scopeLogs":[{"logRecords":[1,2]},{}]},'
        b' {"scopeLogs":[{"scope":{},"logRecords":[3]}],"resource":null}, {}]}'
    )
    first, second, third = cut(body)
    assert (first.resource, len(first.payloads)) == (b'{"a":1}', 2)
    wanted = b'{"resourceLogs":[{"resource":null,"scopeLogs":[{"scope":{},"logRecords":[3]}]}]}'
    assert second == JsonPart(None, [wanted], is_plain=True)
    assert third == JsonPart(None, [], is_plain=True)


@pytest.mark.parametrize(
    "body",
    [b"{}", b" { } ", b'{"resourceLogs":[]}', b'{"resourceLogs":null}', b'{"resource_logs":[]}'],
)
def test_export_that_says_nothing_has_no_parts(body: bytes) -> None:
    assert cut(body) == []


ONE = '"scopeLogs":[{"logRecords":[{}]}]'


@pytest.mark.parametrize(
    "body",
    [
        # Keys that are not known, on every level.
        f'{{"resourceLogs":[{{{ONE}}}],"x":1}}',
        f'{{"resourceLogs":[{{{ONE},"x":null}}]}}',
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}],"":0}]}]}',
        f'{{"resourceLogs":[{{{ONE},"instrumentationLibraryLogs":[]}}]}}',
        # Keys that stand twice, also in two spellings.
        f'{{"resourceLogs":[],"resourceLogs":[{{{ONE}}}]}}',
        f'{{"resourceLogs":[{{{ONE}}}],"resource_logs":[{{{ONE}}}]}}',
        f'{{"resourceLogs":[{{"resource":{{"a":1}},{ONE},"resource":{{"a":2}}}}]}}',
        f'{{"resourceLogs":[{{"scopeLogs":[],{ONE}}}]}}',
        f'{{"resourceLogs":[{{"schemaUrl":"a",{ONE},"schema_url":"b"}}]}}',
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}],"logRecords":[{}]}]}]}',
        # A key that is spelled with an escape.
        f'{{"resourceLogs":[{{"\\u0072esource":{{}},{ONE}}}]}}',
        # What stands in no payload.
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]},{"scope":{}}]}]}',
        '{"resourceLogs":[{"schemaUrl":"u","scopeLogs":[]}]}',
        '{"resourceLogs":[{"scopeLogs":[{"schemaUrl":"u"}]}]}',
    ],
)
@pytest.mark.parametrize("space", ["", "\n "])
def test_export_of_which_cutting_would_lose_something_is_not_plain(body: str, space: str) -> None:
    parts = cut(body.replace(":", f":{space}").encode())
    assert [part.is_plain for part in parts] == [False]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{}x", "not JSON"),
        (b"[]", "not an OTLP export"),
        (b"7", "not an OTLP export"),
        (b'{"resourceLogs":{}}', "not an OTLP export"),
        (b'{"resourceLogs":[7]}', "not an OTLP export"),
        (b'{"resourceLogs":[null]}', "not an OTLP export"),
        (b'{"resourceLogs":[{"scopeLogs":[[]]}]}', "not an OTLP export"),
        (b'{"resourceLogs":[{"scopeLogs":[{"logRecords":{}}]}]}', "not an OTLP export"),
        (b'{"resourceSpans":[]}', "without resourceLogs"),
        (b'{"resourceLogs":[],"x":1}', "without resourceLogs"),
        (logs("NaN"), "not JSON"),
        (logs("Infinity"), "not JSON"),
        (logs("-Infinity"), "not JSON"),
        (logs("01"), "not JSON"),
        (logs("{'a':1}"), "not JSON"),
        (logs('"\\ud800"'), "not JSON"),
        (logs('"\\ud800\\u0041"'), "not JSON"),
        (logs('"\x01"'), "not JSON"),
        (logs("1,"), "not JSON"),
        (logs('"\xff"').decode().encode("latin-1"), "not UTF-8"),
        (b"\xef\xbb\xbf" + logs("{}"), "byte order mark"),
        (logs("{}").decode().encode("utf-16"), "not UTF-8"),
        (logs("[" * 100_000 + "]" * 100_000), "nested 100006 deep"),
        (b"[" * 100_000, "nested 100000 deep"),
        (b'{"a":' * 100_000, "nested 100000 deep"),
        (b'{"resourceLogs":[' + b"0," * (EXPORT_COMMAS_MAX + 1) + b"0]}", "commas"),
    ],
)
def test_body_that_is_no_export_is_an_input_error(body: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        cut(body)


def test_json_export_has_the_same_bounds_as_one_in_protobuf() -> None:
    record = '"' + "r" * RECORD_BYTES_MIN + '"'
    assert len(cut(logs(*[record] * RECORDS_COUNT_MAX))[0].payloads) == RECORDS_COUNT_MAX
    with pytest.raises(InputError, match="65537 records: at most 65536"):
        cut(logs(*[record] * (RECORDS_COUNT_MAX + 1)))
    with pytest.raises(InputError, match="of less than 32 bytes"):
        cut(logs(*["0"] * (SMALL_RECORDS_MAX + 1)))
    with pytest.raises(InputError, match="too many resources: 1 at least"):
        cut(b'{"resourceLogs":[' + b"{}," * RESOURCES_COUNT_MAX + b"{}]}")
    scopes = b'{"scopeLogs":[' + b"{}," * (SCOPES_COUNT_MAX // 2 - 1) + b"{}]}"
    assert len(cut(b'{"resourceLogs":[%b,%b]}' % (scopes, scopes))) == 2
    with pytest.raises(InputError, match="too many scopes: 1 at least"):
        cut(b'{"resourceLogs":[%b,%b,{"scopeLogs":[{}]}]}' % (scopes, scopes))


@pytest.mark.parametrize("where", ["resource", "scope"])
def test_json_export_whose_payloads_would_repeat_too_much_is_not_cut(where: str) -> None:
    context = f'"{where}":"{"x" * 40_000}",'

    def body(count: int) -> bytes:
        records = ['"' + "r" * 60 + '"'] * count
        return logs(*records, **{where: context})

    most = (SMALL_REPEATED_BYTES_MAX - 45_000) // 40_100
    assert len(cut(body(most))[0].payloads) == most
    with pytest.raises(InputError, match="resource and scope of each would take"):
        cut(body(most + 2))


@pytest.mark.parametrize("signal", Signal)
def test_every_signal_is_cut_by_its_own_names(signal: Signal) -> None:
    body = json.dumps(
        {
            signal.resources_name: [
                {signal.scopes_name: [{signal.records_name: [{}, {"name": "n"}]}]}
            ]
        }
    ).encode()
    (part,) = cut(body, signal)
    assert (len(part.payloads), part.is_plain) == (2, True)
    assert cut_export(json_to_protobuf(part.payloads[1], signal))[0].is_plain


def test_real_exports_are_plain_and_their_payloads_decode(samples: Path) -> None:
    for name, signal in (("logs", LOGS), ("events", LOGS), ("trace", TRACES)):
        (part,) = cut((samples / "otlp" / f"{name}.json").read_bytes(), signal)
        assert part.is_plain
        for payload in part.payloads:
            assert cut_export(json_to_protobuf(payload, signal))[0].records_count == 1


def test_protobuf_of_a_payload_has_the_values_of_the_json() -> None:
    payload = logs(
        '{"timeUnixNano":"1","body":{"stringValue":"b"}}',
        resource='"resource":{"attributes":[{"key":"k","value":{"intValue":"7"}}]},"schemaUrl":"u",',
        scope='"scope":{"name":"n"},"schemaUrl":"v",',
    )
    request = logs_service_pb2.ExportLogsServiceRequest.FromString(json_to_protobuf(payload, LOGS))
    (element,) = request.resource_logs
    (scope,) = element.instrumentation_library_logs
    (record,) = scope.logs
    assert element.resource.attributes[0].value.int_value == 7
    assert (element.schema_url, scope.schema_url) == ("u", "v")
    assert scope.instrumentation_library.name == "n"
    assert (record.time_unix_nano, record.body.string_value) == (1, "b")


@pytest.mark.parametrize(
    ("context", "wanted"),
    [("", b"\x12\x02\x12\x00"), ('"resource":null,"schemaUrl":null,', b"\x12\x02\x12\x00")],
)
def test_absent_and_null_are_absent_in_protobuf(context: str, wanted: bytes) -> None:
    assert json_to_protobuf(logs("{}", resource=context), LOGS) == b"\x0a\x04" + wanted


def test_empty_resource_is_there_and_empty_in_protobuf() -> None:
    found = json_to_protobuf(logs("{}", resource='"resource":{},"schemaUrl":"",'), LOGS)
    assert found == b"\x0a\x08" + b"\x0a\x00\x1a\x00" + b"\x12\x02\x12\x00"


BAD: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"\xff", "JSON that is not UTF-8"),
    (b"{}", "0 records, 1 is wanted"),
    (logs("{}", "{}"), "2 records, 1 is wanted"),
    (logs("7"), "LogRecord: not an object"),
    (logs("null"), "LogRecord: not an object"),
    (logs("{}", resource='"resource":[],'), "Resource: not an object"),
    (logs("{}", scope='"scope":"s",'), "InstrumentationScope: not an object"),
    (logs("{}", scope='"schemaUrl":7,'), "schemaUrl: not a text"),
    (logs('{"traceId":"xyz"}'), "LogRecord.traceId: not hexadecimal"),
    (logs("[" * 101), "JSON nested 107 deep, at most 100 is followed"),
    (logs("[" + "0," * 40_000 + "0]"), "JSON with 40000 commas, with at most 32768 it is read"),
]


@pytest.mark.parametrize(("payload", "reason"), BAD)
def test_payload_that_cannot_be_decoded_says_why(payload: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        json_to_protobuf(payload, LOGS)
    assert caught.value.message == reason


def test_column_keeps_its_rows_with_the_bad_ones_empty_and_explained() -> None:
    good = logs("{}")
    found, bad = json_column_to_protobuf(
        pa.array([good, *(payload for payload, _ in BAD), good], pa.binary()), LOGS
    )
    wanted = json_to_protobuf(good, LOGS)
    assert found.to_pylist() == [wanted, *[b""] * len(BAD), wanted]
    assert bad == {row: reason for row, (_, reason) in enumerate(BAD, 1)}


def test_contexts_that_repeat_are_turned_into_protobuf_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []
    encode = encode_json_message

    def count(text: bytes, descriptor: Descriptor) -> bytes:
        asked.append(text)
        return encode(text, descriptor)

    monkeypatch.setattr(otlp_json, "encode_json_message", count)
    large = '{"attributes":[{"key":"' + "k" * 20_000 + '"}]}'
    for resource in ('{"droppedAttributesCount":77}', large):
        payload = logs("{}", resource=f'"resource":{resource},')
        assert json_to_protobuf(payload, LOGS) == json_to_protobuf(payload, LOGS)
    assert asked.count(b'{"droppedAttributesCount":77}') == 1
    # A large one is not kept.
    assert asked.count(large.encode()) == 2
