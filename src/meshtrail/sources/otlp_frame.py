"""The framing of an OTLP export in protobuf: its resources, and how many records each has.

Resources, scopes and records have the same field numbers in all signals, so one shim serves.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from meshtrail.errors import InputError
from meshtrail.sources.shim import BYTES, cut_descriptor

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

RECORDS_COUNT_MAX: Final = 65_536
SMALL_RECORDS_MAX: Final = 1_024
RECORD_BYTES_MIN: Final = 32

_VARINT_MORE: Final = 0x80


class Signal(Enum):
    """What an export is about."""

    LOGS = 1
    TRACES = 2
    METRICS = 3


class ResourcePart(NamedTuple):
    """One resource of an export.

    Attributes:
        message: an export request of its own, made of slices of the body.
        resource: its bytes; None where it is absent.
        records_count: how many records follow.
        is_plain: whether nothing was lost by the cut.
    """

    message: bytes
    resource: bytes | None
    records_count: int
    is_plain: bool


def cut_export(body: bytes) -> list[ResourcePart]:
    """The resources of an export.

    Raises:
        InputError: it is no export; or, with ``records_count``, it holds too many records.
    """
    outer = _parse(_outer_class(), body)
    parts = []
    total = 0
    for element in outer.resource_logs:
        inner = _parse(_inner_class(), element)
        count = sum(len(scope.logs) for scope in inner.instrumentation_library_logs)
        total += count
        message = b"\n" + _varint(len(element)) + element
        resource = inner.resource or None
        inner.DiscardUnknownFields()
        is_plain = inner.ByteSize() == len(element)
        parts.append(ResourcePart(message, resource, count, is_plain))
    is_padding = total > SMALL_RECORDS_MAX and len(body) < RECORD_BYTES_MIN * total
    if is_padding or total > RECORDS_COUNT_MAX:
        raise InputError(
            f"an export of {total} records, at most {RECORDS_COUNT_MAX} are cut",
            records_count=total,
        )
    outer.DiscardUnknownFields()
    if parts and outer.ByteSize() != len(body):
        parts[0] = parts[0]._replace(is_plain=False)
    return parts


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= _VARINT_MORE:
        out.append(number & ~_VARINT_MORE & 0xFF | _VARINT_MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def _parse(kind: Any, data: bytes) -> Any:  # noqa: ANN401 - generated classes have no types
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InputError(f"not an OTLP export: {error}") from error


@cache
def _outer_class() -> Any:  # noqa: ANN401 - generated classes have no types
    return message_factory.GetMessageClass(_descriptor({"resource_logs": BYTES}, "outer"))


@cache
def _inner_class() -> Any:  # noqa: ANN401 - generated classes have no types
    from opentelemetry.proto.logs.v1 import logs_pb2  # noqa: PLC0415 - slow to import

    tree: Any = {
        "resource": BYTES,
        "schema_url": None,
        "instrumentation_library_logs": {
            "instrumentation_library": BYTES,
            "schema_url": None,
            "logs": BYTES,
        },
    }
    cut = cut_descriptor(
        logs_pb2.ResourceLogs.DESCRIPTOR, tree, package="meshtrail.shim.otlp.inner"
    )
    return message_factory.GetMessageClass(cut)


def _descriptor(tree: Any, name: str) -> Descriptor:  # noqa: ANN401 - a tree of fields
    from opentelemetry.proto.collector.logs.v1 import (  # noqa: PLC0415 - slow to import
        logs_service_pb2,
    )

    return cut_descriptor(
        logs_service_pb2.ExportLogsServiceRequest.DESCRIPTOR,
        tree,
        package=f"meshtrail.shim.otlp.{name}",
    )
