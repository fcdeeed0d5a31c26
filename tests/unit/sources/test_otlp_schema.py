from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from meshtrail.sources import otlp_schema
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_schema import record_descriptor, resource_descriptor, scope_descriptor

# As opentelemetry-proto 1.45 has them.
LATER = [
    (scope_descriptor, "attributes", 3, FieldDescriptor.TYPE_MESSAGE),
    (scope_descriptor, "dropped_attributes_count", 4, FieldDescriptor.TYPE_UINT32),
    (lambda: record_descriptor(Signal.LOGS), "observed_time_unix_nano", 11, 6),
    (lambda: record_descriptor(Signal.LOGS), "event_name", 12, FieldDescriptor.TYPE_STRING),
    (lambda: record_descriptor(Signal.TRACES), "flags", 16, FieldDescriptor.TYPE_FIXED32),
    (lambda: nested(Signal.TRACES, "links"), "flags", 6, FieldDescriptor.TYPE_FIXED32),
]


def nested(signal: Signal, name: str) -> Descriptor:
    kind = record_descriptor(signal).fields_by_name[name].message_type
    assert kind is not None
    return kind


@pytest.mark.parametrize(("descriptor", "name", "number", "kind"), LATER)
def test_fields_that_the_published_schema_lacks_are_there(
    descriptor: object, name: str, number: int, kind: int
) -> None:
    assert callable(descriptor)
    field = descriptor().fields_by_name[name]
    assert (field.number, field.type) == (number, kind)
    assert field.is_repeated == (name == "attributes")


@pytest.mark.parametrize("signal", Signal)
def test_schema_that_has_the_later_fields_stays_as_it_is(signal: Signal) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    record_descriptor(signal).file.CopyToProto(file)
    for message in file.message_type:
        before = message.SerializeToString()
        otlp_schema._amend(message)
        assert message.SerializeToString() == before


def test_descriptors_are_those_of_each_signal() -> None:
    assert resource_descriptor().name == "Resource"
    names = [record_descriptor(signal).name for signal in Signal]
    assert names == ["LogRecord", "Span", "Metric"]
    assert {"name", "version"} <= set(scope_descriptor().fields_by_name)
