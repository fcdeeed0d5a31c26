"""The two levels of an OTLP export, cut into slices of its own bytes; nothing is decoded.

Logs, spans and metrics are built alike: a request holds an element for each resource, that one an
element for each scope, that one the records; and each element has its context in field 1, what it
groups in field 2 and a schema URL in field 3. So one shim with these as ``bytes`` cuts all of them.

Source: opentelemetry-proto, ``collector/{logs,trace,metrics}/v1``, whose numbers are stable.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from meshtrail.errors import InputError
from meshtrail.sources.wire_fields import encode_field

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

CONTEXT: Final = 1
PARTS: Final = 2
SCHEMA_URL: Final = 3
ELEMENTS: Final = 1
"""Field numbers: of a group's three fields, and of a request's one."""

ANY_COUNT: Final = 1 << 31
"""No bound: no message has so many parts."""

_Field: Final = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "meshtrail.shim.otlp"


class Group(NamedTuple):
    """A resource element or a scope element.

    Attributes:
        context: the resource or the scope; None where it is absent.
        parts: scope elements or records.
        schema_url: None where it is absent.
        is_plain: whether this is all there is, each of it once and in the shortest spelling.
    """

    context: bytes | None
    parts: list[bytes]
    schema_url: bytes | None
    is_plain: bool

    def encode_context(self) -> bytes:
        """Its fields but for the parts."""
        return encode_field(CONTEXT, self.context) + encode_field(SCHEMA_URL, self.schema_url)


def slice_request(body: bytes, *, count_max: int = ANY_COUNT) -> tuple[list[bytes], bool]:
    """The resource elements of an export request, and whether they are all there is of it.

    Raises:
        InputError: protobuf cannot parse it, or it has more of them than ``count_max``.
    """
    message = _parse(_request_class(), body)
    _check_count(len(message.elements), count_max, "resources")
    return list(message.elements), _is_all(message, body)


def slice_group(element: bytes, *, count_max: int = ANY_COUNT, parts_name: str = "parts") -> Group:
    """The parts of a resource element or a scope element.

    Raises:
        InputError: protobuf cannot parse it, or it has more parts than ``count_max``: as many as
            the export may still have.
    """
    message = _parse(_group_class(), element)
    _check_count(len(message.parts), count_max, parts_name)
    return Group(
        message.context if message.HasField("context") else None,
        list(message.parts),
        message.schema_url if message.HasField("schema_url") else None,
        _is_all(message, element),
    )


def encode_payload(resource_context: bytes, scope_context: bytes, record: bytes) -> bytes:
    """An export request with one record, as docs/formats/entry.md spells it.

    Args:
        resource_context: resource and schema URL as fields, from ``Group.encode_context``.
        scope_context: likewise of the scope.
        record: its bytes.
    """
    scope = scope_context + encode_field(PARTS, record)
    return encode_field(ELEMENTS, resource_context + encode_field(PARTS, scope))


@cache
def request_descriptor() -> Descriptor:
    """A whole export request as nested groups, for cutting columns of them."""
    file = _file("nested")
    _add_group(file, "Scope")
    _add_group(file, "Resource", part="Scope")
    _add_elements(file, "Resource")
    return _build(file, "Request")


@cache
def _request_class() -> Any:  # noqa: ANN401 - generated classes have no types
    file = _file("request")
    _add_elements(file)
    return message_factory.GetMessageClass(_build(file, "Request"))


@cache
def _group_class() -> Any:  # noqa: ANN401 - generated classes have no types
    file = _file("group")
    _add_group(file, "Group")
    return message_factory.GetMessageClass(_build(file, "Group"))


def _file(name: str) -> descriptor_pb2.FileDescriptorProto:
    package = f"{_PACKAGE}.{name}"
    return descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )


def _build(file: descriptor_pb2.FileDescriptorProto, name: str) -> Descriptor:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName(f"{file.package}.{name}")


def _add_elements(file: descriptor_pb2.FileDescriptorProto, element: str | None = None) -> None:
    request = file.message_type.add(name="Request")
    _add_repeated(file, request, "elements", ELEMENTS, element)


def _add_group(
    file: descriptor_pb2.FileDescriptorProto, name: str, part: str | None = None
) -> None:
    group = file.message_type.add(name=name)
    _add_repeated(file, group, "parts", PARTS, part)
    for at, (field_name, number) in enumerate((("context", CONTEXT), ("schema_url", SCHEMA_URL))):
        # With presence: a resource that says nothing is not the same bytes as none.
        group.oneof_decl.add(name=f"_{field_name}")
        group.field.add(
            name=field_name,
            number=number,
            type=_Field.TYPE_BYTES,
            label=_Field.LABEL_OPTIONAL,
            proto3_optional=True,
            oneof_index=at,
        )


def _add_repeated(
    file: descriptor_pb2.FileDescriptorProto,
    message: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    element: str | None,
) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_REPEATED)
    field.type = _Field.TYPE_MESSAGE if element else _Field.TYPE_BYTES
    if element:
        field.type_name = f".{file.package}.{element}"


def _parse(message_class: Any, data: bytes) -> Any:  # noqa: ANN401 - generated classes have no types
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        raise InputError(f"not an OTLP export: {error}") from error


def _check_count(count: int, count_max: int, name: str) -> None:
    if count > count_max:
        raise InputError(
            f"an OTLP export with too many {name}: {count - count_max} at least",
            records_count=count,
        )


def _is_all(message: Any, data: bytes) -> bool:  # noqa: ANN401 - generated classes have no types
    message.DiscardUnknownFields()
    return bool(message.ByteSize() == len(data))
