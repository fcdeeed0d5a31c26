from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from meshtrail.errors import InputError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources import otlp_frame
from meshtrail.sources.als_frame import RECORD_BYTES_MIN, RECORDS_COUNT_MAX, SMALL_RECORDS_MAX
from meshtrail.sources.otlp_frame import (
    REPEATED_TIMES_MAX,
    RESOURCES_COUNT_MAX,
    SCOPES_COUNT_MAX,
    SMALL_REPEATED_BYTES_MAX,
    SMALL_REPEATED_TIMES_MAX,
    ResourcePart,
    Signal,
    cut_export,
)
from tests.als_messages import INVALID_UTF8, length_delimited, varint
from tests.otlp_exports import (
    UNKNOWN,
    UNKNOWN_GROUP,
    Resource,
    Scope,
    export,
    export_of,
)

RECORDS = [b"\x0a\x00", b"", b"x" * 200, INVALID_UTF8]
SMALL = st.none() | st.binary(max_size=40) | st.just(bytes(130))


def test_export_as_an_sdk_writes_it_is_plain_and_its_own_message() -> None:
    request = logs_service_pb2.ExportLogsServiceRequest()
    element = request.resource_logs.add(schema_url="https://r")
    element.resource.attributes.add(key="service.name").value.string_value = "shop"
    for name in ("a", "b"):
        scope = element.instrumentation_library_logs.add(schema_url="https://s")
        scope.instrumentation_library.name = name
        scope.logs.add(severity_text="INFO")
        scope.logs.add(severity_text="WARN")
    body = request.SerializeToString()
    resource = element.resource.SerializeToString()
    assert cut_export(body) == [ResourcePart(body, resource, 4, is_plain=True)]


def test_usual_export_is_not_parsed_by_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_frame, "slice_request", None)
    for record_bytes in (40, 127, 128, 650, 16_383):
        for count in (1, 2, 26, SMALL_RECORDS_MAX):
            (part,) = cut_export(export_of(*[bytes(record_bytes)] * count))
            assert (part.records_count, part.is_plain) == (count, True)


def test_export_of_several_resources_is_cut_into_one_request_for_each() -> None:
    resources = [
        Resource(b"first", [Scope(b"s", RECORDS)]),
        Resource(None, [Scope(None, [b"r"]), Scope(b"t", [b"u"], b"url")]),
        Resource(b"", [Scope(b"", [b""])], b""),
    ]
    assert cut_export(export(*resources)) == [
        ResourcePart(export(resource), resource.resource, resource.records_count, is_plain=True)
        for resource in resources
    ]


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"", []),
        (b"\x0a\x00", [ResourcePart(b"\x0a\x00", None, 0, is_plain=True)]),
        (
            export(Resource(b"r")),
            [ResourcePart(export(Resource(b"r")), b"r", 0, is_plain=True)],
        ),
        (
            export(Resource(None, [Scope(), Scope()])),
            [ResourcePart(export(Resource(None, [Scope(), Scope()])), None, 0, is_plain=True)],
        ),
    ],
)
def test_export_without_records_is_plain_when_it_says_nothing_besides(
    body: bytes, parts: list[ResourcePart]
) -> None:
    assert cut_export(body) == parts


ONE = [Scope(b"s", [b"r"])]


@pytest.mark.parametrize(
    "body",
    [
        export(Resource(b"r", ONE)) + UNKNOWN,
        length_delimited(1, Resource(b"r", ONE).encode() + UNKNOWN),
        length_delimited(1, length_delimited(2, ONE[0].encode() + UNKNOWN)),
        # The field that a deprecated kind of scope had.
        length_delimited(1, Resource(b"r", ONE).encode() + length_delimited(1000, b"old")),
        # Resource, scope or schema URL twice.
        length_delimited(1, length_delimited(1, b"a") + Resource(b"b", ONE).encode()),
        length_delimited(1, length_delimited(2, length_delimited(1, b"a") + ONE[0].encode())),
        length_delimited(1, length_delimited(3, b"a") + Resource(b"r", ONE, b"b").encode()),
        # Lengths in two bytes where one is enough, on every level.
        b"\x0a\x85\x00" + length_delimited(2, length_delimited(2, b"r")),
        length_delimited(1, b"\x12\x83\x00" + length_delimited(2, b"r")),
        length_delimited(1, length_delimited(2, b"\x12\x81\x00r")),
        length_delimited(
            1, length_delimited(1, b"") + b"\x0a\x80\x00" + Resource(None, ONE).encode()
        ),
        # Another wire type.
        length_delimited(1, Resource(b"r", ONE).encode() + varint(1 << 3) + b"\x01"),
        # What stands in no payload.
        export(Resource(b"r", [*ONE, Scope(b"empty")])),
        export(Resource(b"r", [*ONE, Scope(b"")])),
        export(Resource(b"r", [Scope(None, (), b"url")])),
        export(Resource(b"r", (), b"url")),
    ],
)
def test_export_of_which_slicing_would_lose_something_is_not_plain(body: bytes) -> None:
    parts = cut_export(body)
    assert [part.is_plain for part in parts] == [False]
    assert parts[0].message == body


def test_only_the_resource_with_something_strange_is_not_plain() -> None:
    strange = length_delimited(1, Resource(b"r", ONE).encode() + UNKNOWN_GROUP)
    parts = cut_export(export(Resource(b"a", ONE)) + strange + export(Resource(b"c", ONE)))
    assert [part.is_plain for part in parts] == [True, False, True]
    assert parts[1].message == strange


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x00",
        INVALID_UTF8,
        length_delimited(1, b"\x0a\x05a"),
        length_delimited(1, length_delimited(2, b"\x12\x05a")),
        export_of(b"record")[:-1],
        b"\x7b" * 200 + b"\x7c" * 200,
        varint(1 << 3 | 2) + b"\xff" * 11,
    ],
)
def test_bytes_that_are_no_export_are_an_input_error(body: bytes) -> None:
    with pytest.raises(InputError, match="not an OTLP export"):
        cut_export(body)


def test_bytes_without_a_resource_element_are_an_input_error_because_nothing_would_keep_them() -> (
    None
):
    with pytest.raises(InputError, match="9 bytes without a resource element"):
        cut_export(UNKNOWN)


def test_export_of_more_records_than_anyone_sends_is_not_sliced() -> None:
    record = bytes(RECORD_BYTES_MIN)
    scopes = [Scope(None, [record] * (RECORDS_COUNT_MAX // 2))] * 2
    assert cut_export(export(Resource(None, scopes)))[0].records_count == RECORDS_COUNT_MAX
    with pytest.raises(InputError, match="too many records: 1 at least"):
        cut_export(export(Resource(None, [*scopes, Scope(None, [record])])))


def test_export_of_many_records_too_small_to_say_anything_is_not_sliced() -> None:
    few = export_of(*[b""] * SMALL_RECORDS_MAX)
    assert cut_export(few)[0].records_count == SMALL_RECORDS_MAX
    with pytest.raises(InputError, match="at most 1024 of less than 32 bytes"):
        cut_export(export_of(*[b""] * (SMALL_RECORDS_MAX + 1)))


@pytest.mark.parametrize("context_bytes", [2_000, 30_000, 300_000])
@pytest.mark.parametrize("of_one_scope", [True, False])
def test_export_whose_payloads_would_repeat_too_much_is_not_sliced(
    context_bytes: int, *, of_one_scope: bool
) -> None:
    def body(count: int) -> bytes:
        context = bytes(context_bytes)
        if of_one_scope:
            return export_of(*[bytes(60)] * count, resource=context, scope=None)
        return export(Resource(None, [Scope(context, [bytes(60)] * count)]))

    def may_be_sliced(count: int) -> bool:
        size = len(body(count))
        # The context as a field has a tag and a length before it.
        repeated = count * (context_bytes + (3 if context_bytes < 16_384 else 4))
        small = min(SMALL_REPEATED_BYTES_MAX, SMALL_REPEATED_TIMES_MAX * size)
        return size + repeated <= max(REPEATED_TIMES_MAX * size, small)

    most = next(count for count in range(1, 1_000) if not may_be_sliced(count + 1))
    assert cut_export(body(most))[0].records_count == most > 10
    with pytest.raises(InputError, match="resource and scope of each would take"):
        cut_export(body(most + 1))


def test_export_may_repeat_more_where_it_is_itself_large() -> None:
    resource = bytes(10_000)
    body = export_of(*[bytes(900)] * 200, resource=resource)
    assert SMALL_REPEATED_BYTES_MAX < 200 * len(resource) < REPEATED_TIMES_MAX * len(body)
    assert cut_export(body)[0].records_count == 200


def test_export_of_too_many_resources_or_scopes_is_not_sliced() -> None:
    resource = Resource(b"r", ONE)
    assert len(cut_export(export(*[resource] * RESOURCES_COUNT_MAX))) == RESOURCES_COUNT_MAX
    with pytest.raises(InputError, match="too many resources: 1 at least"):
        cut_export(export(*[resource] * (RESOURCES_COUNT_MAX + 1)))
    many = Resource(None, [Scope()] * (SCOPES_COUNT_MAX // 2))
    assert len(cut_export(export(many, many))) == 2
    with pytest.raises(InputError, match="too many scopes: 1 at least"):
        cut_export(export(many, many, Resource(None, [Scope()])))


@pytest.mark.parametrize("signal", Signal)
def test_signal_names_what_the_schema_and_the_entry_call_it(signal: Signal) -> None:
    names = (signal.resources_name, signal.scopes_name, signal.records_name)
    assert (
        names
        == {
            Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
            Signal.TRACES: ("resourceSpans", "scopeSpans", "spans"),
            Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
        }[signal]
    )
    assert PayloadFormat[f"{signal.payload_format.name}_JSON"] is signal.json_format


@given(
    st.lists(
        st.builds(
            Resource,
            SMALL,
            st.lists(
                st.builds(
                    Scope, SMALL, st.lists(st.binary(max_size=200), min_size=1, max_size=5), SMALL
                ),
                min_size=1,
                max_size=3,
            ),
            SMALL,
        ),
        max_size=3,
    )
)
def test_every_export_of_records_is_plain_and_cut_at_its_resources(
    resources: list[Resource],
) -> None:
    assert cut_export(export(*resources)) == [
        ResourcePart(export(one), one.resource, one.records_count, is_plain=True)
        for one in resources
    ]
