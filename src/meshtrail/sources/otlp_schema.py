"""The published OTLP schema, with the fields that it has had since ``xds-protos`` took it over.

Both name scopes and records differently, but number them alike, and numbers are what counts. A
field is only added where it lacks, so a newer ``xds-protos`` changes nothing here.

Source: opentelemetry-proto, whose numbers are stable.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool

from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_groups import CONTEXT, ELEMENTS, PARTS

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FileDescriptor

_Field: Final = descriptor_pb2.FieldDescriptorProto
_KEY_VALUE: Final = ".opentelemetry.proto.common.v1.KeyValue"
_ATTRIBUTES: Final = "attributes"
_SCOPE_FIELDS: Final = {
    _ATTRIBUTES: (3, _Field.TYPE_MESSAGE),
    "dropped_attributes_count": (4, _Field.TYPE_UINT32),
}
_LATER_FIELDS: Final[dict[str, dict[str, tuple[int, Any]]]] = {
    "InstrumentationLibrary": _SCOPE_FIELDS,
    "InstrumentationScope": _SCOPE_FIELDS,
    "LogRecord": {
        "observed_time_unix_nano": (11, _Field.TYPE_FIXED64),
        "event_name": (12, _Field.TYPE_STRING),
    },
    "Span": {"flags": (16, _Field.TYPE_FIXED32)},
    "Link": {"flags": (6, _Field.TYPE_FIXED32)},
    "NumberDataPoint": {"flags": (8, _Field.TYPE_UINT32)},
}
"""By message: name, number and type of each field; a message among them is a repeated KeyValue."""


@cache
def resource_descriptor() -> Descriptor:
    """``Resource``."""
    return _message_of(_resource_element(Signal.LOGS), CONTEXT)


@cache
def scope_descriptor() -> Descriptor:
    """``InstrumentationScope``."""
    return _message_of(_scope_element(Signal.LOGS), CONTEXT)


@cache
def record_descriptor(signal: Signal) -> Descriptor:
    """``LogRecord``, ``Span`` or ``Metric``."""
    return _message_of(_scope_element(signal), PARTS)


def _scope_element(signal: Signal) -> Descriptor:
    return _message_of(_resource_element(signal), PARTS)


def _resource_element(signal: Signal) -> Descriptor:
    return _message_of(_pool().FindMessageTypeByName(_published(signal).full_name), ELEMENTS)


def _message_of(message: Descriptor, number: int) -> Descriptor:
    """The type of a field that holds messages."""
    kind = message.fields_by_number[number].message_type
    if kind is None:
        raise TypeError(f"field {number} of {message.full_name} holds no message")
    return kind


@cache
def _published(signal: Signal) -> Descriptor:
    # Imported here: it takes 0.1 s, which only those who decode should pay.
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: PLC0415 - see above
    from opentelemetry.proto.collector.metrics.v1 import (  # noqa: PLC0415 - as above
        metrics_service_pb2,
    )
    from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415 - as above
        trace_service_pb2,
    )

    requests: dict[Signal, Any] = {
        Signal.LOGS: logs_service_pb2.ExportLogsServiceRequest,
        Signal.TRACES: trace_service_pb2.ExportTraceServiceRequest,
        Signal.METRICS: metrics_service_pb2.ExportMetricsServiceRequest,
    }
    descriptor: Descriptor = requests[signal].DESCRIPTOR
    return descriptor


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """The published files, amended, in a pool of their own."""
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for signal in Signal:
        _add(pool, _published(signal).file, added)
    return pool


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    """Add a file after those that it imports."""
    if file.name in added:
        return
    added.add(file.name)
    for imported in file.dependencies:
        _add(pool, imported, added)
    copy = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copy)
    for message in copy.message_type:
        _amend(message)
    pool.AddSerializedFile(copy.SerializeToString())


def _amend(message: descriptor_pb2.DescriptorProto) -> None:
    for nested in message.nested_type:
        _amend(nested)
    present = {field.number for field in message.field}
    for name, (number, kind) in _LATER_FIELDS.get(message.name, {}).items():
        if number not in present:
            field = message.field.add(name=name, number=number, type=kind)
            field.label = _Field.LABEL_OPTIONAL
            if kind == _Field.TYPE_MESSAGE:
                field.label = _Field.LABEL_REPEATED
                field.type_name = _KEY_VALUE
