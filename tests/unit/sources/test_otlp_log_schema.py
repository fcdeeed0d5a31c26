from __future__ import annotations

from meshtrail.sources.otlp_log_schema import RECORDS, RESOURCES, SCOPES, log_export_descriptor

PUBLISHED_TODAY = {"time_unix_nano": 1, "attributes": 6, "trace_id": 9, "span_id": 10}
"""Of opentelemetry-proto 1.x, whose names for what is around a record are others."""


def test_field_numbers_are_those_of_the_stable_protocol() -> None:
    export = log_export_descriptor()
    numbers = []
    message = export
    for name in (RESOURCES, SCOPES, RECORDS):
        field = message.fields_by_name[name]
        numbers.append(field.number)
        assert field.message_type is not None
        message = field.message_type
    assert numbers == [1, 2, 2]
    assert {field.name: field.number for field in message.fields} == PUBLISHED_TODAY
