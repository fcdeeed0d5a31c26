from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from google.protobuf import json_format, message_factory
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_schema import record_descriptor
from meshtrail.sources.proto_json import encode_json_message, encode_json_url

SPAN: Any = message_factory.GetMessageClass(record_descriptor(Signal.TRACES))
LOG: Any = message_factory.GetMessageClass(record_descriptor(Signal.LOGS))


def log(text: str) -> Any:  # noqa: ANN401 - generated classes have no types
    return LOG.FromString(encode_json_message(text.encode(), LOG.DESCRIPTOR))


def any_value(text: str) -> Any:  # noqa: ANN401 - generated classes have no types
    return log(f'{{"body":{text}}}').body


def span(text: str) -> Any:  # noqa: ANN401 - generated classes have no types
    return SPAN.FromString(encode_json_message(text.encode(), SPAN.DESCRIPTOR))


def test_span_in_json_is_the_same_as_in_protobuf() -> None:
    found = span(
        json.dumps(
            {
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "spanId": "eee19b7ec3c1b174",
                "parentSpanId": "",
                "traceState": "a=b",
                "name": "GET /",
                "kind": 2,
                "startTimeUnixNano": "1544712660000000000",
                "endTimeUnixNano": 1544712661000000000,
                "flags": 257,
                "droppedAttributesCount": "3",
                "events": [{"name": "e", "timeUnixNano": "1"}],
                "links": [{"traceId": "00ff", "spanId": "01", "flags": 1}],
                "status": {"message": "m", "code": 2},
                "notKnown": {"a": [1, {"b": 2}]},
            }
        )
    )
    wanted = SPAN(
        trace_id=bytes.fromhex("5B8EFFF798038103D269B633813FC60C"),
        span_id=bytes.fromhex("eee19b7ec3c1b174"),
        trace_state="a=b",
        name="GET /",
        kind=2,
        start_time_unix_nano=1544712660000000000,
        end_time_unix_nano=1544712661000000000,
        flags=257,
        dropped_attributes_count=3,
        events=[{"name": "e", "time_unix_nano": 1}],
        links=[{"trace_id": b"\x00\xff", "span_id": b"\x01", "flags": 1}],
        status={"message": "m", "code": 2},
    )
    assert found == wanted


def test_names_of_the_schema_are_taken_too() -> None:
    assert span('{"trace_id":"0a","parent_span_id":"0b"}') == SPAN(
        trace_id=b"\n", parent_span_id=b"\x0b"
    )


def test_null_is_as_good_as_absent() -> None:
    assert span('{"traceId":null,"status":null,"links":null,"kind":null}') == SPAN()


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('{"stringValue":""}', "string_value", ""),
        ('{"stringValue":"\\u0000\\ud83d\\ude00"}', "string_value", "\0\U0001f600"),
        ('{"boolValue":false}', "bool_value", False),
        ('{"intValue":"-9223372036854775808"}', "int_value", -(2**63)),
        ('{"intValue":9223372036854775807}', "int_value", 2**63 - 1),
        ('{"intValue":1e3}', "int_value", 1000),
        ('{"intValue":-0}', "int_value", 0),
        ('{"doubleValue":1}', "double_value", 1.0),
        ('{"doubleValue":1e-999}', "double_value", 0.0),
        ('{"doubleValue":"1.5e3"}', "double_value", 1500.0),
        ('{"doubleValue":"Infinity"}', "double_value", math.inf),
        ('{"doubleValue":"-Infinity"}', "double_value", -math.inf),
        ('{"bytesValue":"/+8="}', "bytes_value", b"\xff\xef"),
        ('{"bytesValue":"_-8"}', "bytes_value", b"\xff\xef"),
        ('{"bytesValue":""}', "bytes_value", b""),
    ],
)
def test_value_is_that_of_its_member(text: str, name: str, value: object) -> None:
    found = any_value(text)
    assert found.WhichOneof("value") == name
    assert getattr(found, name) == value


def test_not_a_number_is_one_of_the_values() -> None:
    assert math.isnan(any_value('{"doubleValue":"NaN"}').double_value)


def test_values_hold_lists_and_keys_of_values() -> None:
    found = any_value(
        '{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"k","value":{"intValue":1}}]}},{}]}}'
    )
    first, second = found.array_value.values
    assert first.kvlist_value.values[0].value.int_value == 1
    assert second.WhichOneof("value") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"body":7}', "AnyValue: not an object"),
        ('{"body":{"stringValue":7}}', "AnyValue.stringValue: not a text"),
        ('{"body":{"boolValue":"true"}}', "AnyValue.boolValue: neither true nor false"),
        ('{"body":{"boolValue":0}}', "AnyValue.boolValue: neither true nor false"),
        *(
            (f'{{"body":{{"intValue":{value}}}}}', "AnyValue.intValue: not a whole number")
            for value in (
                '"4_2"',
                '" 42"',
                '"42\\n"',
                '"４２"',
                '"+1"',
                '"01"',
                '"1.0"',
                '""',
                '"' + "9" * 21 + '"',
                '"' + "9" * 100_000 + '"',
                "true",
                "1.5",
                "[]",
            )
        ),
        ('{"body":{"intValue":9223372036854775808}}', "AnyValue.intValue: out of range"),
        ('{"body":{"intValue":"-9223372036854775809"}}', "AnyValue.intValue: out of range"),
        ('{"body":{"intValue":1e300}}', "AnyValue.intValue: out of range"),
        ('{"body":{"intValue":' + "9" * 4_000 + "}}", "AnyValue.intValue: out of range"),
        ('{"body":{"doubleValue":' + "9" * 4_000 + "}}", "AnyValue.doubleValue: out of range"),
        ('{"body":{"doubleValue":"1e999"}}', "AnyValue.doubleValue: out of range"),
        *(
            (f'{{"body":{{"doubleValue":{value}}}}}', "AnyValue.doubleValue: not a number")
            for value in ('"nan"', '"inf"', '"1_0"', '" 1"', '"1."', '""', "true", "[]")
        ),
        ('{"body":{"doubleValue":"' + "1" * 401 + '"}}', "AnyValue.doubleValue: not a number"),
        ('{"body":{"doubleValue":1e999999}}', "a number out of range"),
        ('{"x":' + "9" * 100_000 + "}", "a number out of range"),
        *(
            (f'{{"body":{{"bytesValue":"{value}"}}}}', "AnyValue.bytesValue: not base64")
            for value in ("a", "ab=", "ab==c", "a b=", "ab===", "=", "a\\n==", "aé==", "/+9=")
        ),
        ('{"traceId":"0"}', "LogRecord.traceId: not hexadecimal"),
        ('{"traceId":"0 0a"}', "LogRecord.traceId: not hexadecimal"),
        ('{"traceId":"é0"}', "LogRecord.traceId: not hexadecimal"),
        ('{"spanId":12}', "LogRecord.spanId: not a text"),
        (
            '{"severityNumber":"SEVERITY_NUMBER_INFO"}',
            "LogRecord.severityNumber: not a whole number",
        ),
        ('{"severityNumber":"9"}', "LogRecord.severityNumber: not a whole number"),
        ('{"severityNumber":2147483648}', "LogRecord.severityNumber: out of range"),
        ('{"flags":-1}', "LogRecord.flags: out of range"),
        ('{"timeUnixNano":"18446744073709551616"}', "LogRecord.timeUnixNano: out of range"),
        ('{"attributes":{}}', "LogRecord.attributes: not a list"),
        ('{"attributes":[null]}', "KeyValue: not an object"),
        ('{"traceId":"","traceId":""}', "a key that stands twice in one object"),
        ('{"unknown":{"a":1,"\\u0061":2}}', "a key that stands twice in one object"),
        ('{"traceId":"","trace_id":""}', "LogRecord.traceId: a second value"),
        ('{"body":{"intValue":1,"stringValue":""}}', "AnyValue.stringValue: a second value"),
        ("{", "not JSON"),
        ('{"body":NaN}', "not JSON"),
        ('{"body":{"stringValue":"\\udc00"}}', "not JSON"),
    ],
)
def test_value_that_a_field_cannot_have_is_an_input_error(text: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        log(text)
    assert caught.value.message == reason


@pytest.mark.parametrize("text", [b"7", b"null", b"[]"])
def test_schema_url_is_a_text(text: bytes) -> None:
    assert encode_json_url(b'"https:\\/\\/\\u00e9"') == "https://é".encode()
    with pytest.raises(InputError, match="schemaUrl: not a text"):
        encode_json_url(text)


ANY_VALUES = st.recursive(
    st.one_of(
        st.text().map(lambda text: {"stringValue": text}),
        st.integers(-(2**63), 2**63 - 1).map(lambda number: {"intValue": str(number)}),
        st.floats(allow_nan=False).map(lambda number: {"doubleValue": special(number)}),
        st.booleans().map(lambda truth: {"boolValue": truth}),
        st.binary().map(lambda data: {"bytesValue": base64.b64encode(data).decode()}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: {"arrayValue": {"values": items}}),
        st.lists(inner, max_size=3).map(
            lambda items: {
                "kvlistValue": {"values": [{"key": "k", "value": item} for item in items]}
            }
        ),
    ),
    max_leaves=8,
)


def special(number: float) -> float | str:
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


@given(
    ANY_VALUES,
    st.lists(ANY_VALUES, max_size=3),
    st.integers(0, 2**64 - 1),
    st.integers(0, 24),
)
def test_record_means_what_protobufs_own_reader_makes_of_it(
    body: object, attributes: list[object], time_ns: int, severity: int
) -> None:
    text = json.dumps(
        {
            "timeUnixNano": str(time_ns),
            "severityNumber": severity,
            "body": body,
            "attributes": [{"key": "k", "value": value} for value in attributes],
        }
    )
    assert log(text) == json_format.Parse(text, LOG())
