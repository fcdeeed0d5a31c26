"""OTLP exports as Envoys, SDKs and others send them, written by hand: they need not be valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from meshtrail.sources.otlp_frame import ResourcePart
from meshtrail.sources.otlp_groups import request_descriptor
from tests.als_messages import length_delimited

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN = length_delimited(9, b"unknown")
UNKNOWN_GROUP = b"\x0b\x00\x00\x0c"
"""What upb takes and ptars does not."""
GROUP: Any = message_factory.GetMessageClass(
    request_descriptor().file.message_types_by_name["Scope"]
)
"""Contexts and parts as bytes: what upb says of one level, whatever the others hold."""


@dataclass(frozen=True)
class Group:
    """A resource element or a scope element: context, parts and schema URL."""

    context: bytes | None = None
    parts: Sequence[bytes] = ()
    schema_url: bytes | None = None

    def encode(self) -> bytes:
        return b"".join(
            [
                field_of(1, self.context),
                *(length_delimited(2, part) for part in self.parts),
                field_of(3, self.schema_url),
            ]
        )


@dataclass(frozen=True)
class Scope(Group):
    """A scope element; its parts are records."""


@dataclass(frozen=True)
class Resource:
    """A resource element."""

    resource: bytes | None = None
    scopes: Sequence[Scope] = ()
    schema_url: bytes | None = None

    @property
    def records_count(self) -> int:
        return sum(len(scope.parts) for scope in self.scopes)

    def encode(self) -> bytes:
        parts = [scope.encode() for scope in self.scopes]
        return Group(self.resource, parts, self.schema_url).encode()


def export(*resources: Resource) -> bytes:
    return b"".join(length_delimited(1, resource.encode()) for resource in resources)


def export_of(
    *records: bytes, resource: bytes | None = b"\x0a\x00", scope: bytes | None = b"\x0a\x01s"
) -> bytes:
    """An export of one resource with one scope."""
    return export(Resource(resource, [Scope(scope, records)]))


def payload_of(resource: Resource, scope: Scope, record: bytes) -> bytes:
    """One record's payload, as docs/formats/entry.md says it."""
    inner = field_of(1, scope.context) + field_of(3, scope.schema_url)
    outer = field_of(1, resource.resource) + field_of(3, resource.schema_url)
    return length_delimited(1, outer + length_delimited(2, inner + length_delimited(2, record)))


def payloads_of(*resources: Resource) -> list[bytes]:
    return [
        payload_of(resource, scope, record)
        for resource in resources
        for scope in resource.scopes
        for record in scope.parts
    ]


def field_of(number: int, content: bytes | None) -> bytes:
    return b"" if content is None else length_delimited(number, content)


def read_fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """The fields of a message: number, wire type, content; groups and numbers have none.

    Raises:
        IndexError: it ends within a field.
    """
    fields, at = [], 0
    while at < len(data):
        tag, at = _number_at(data, at)
        number, wire_type = tag >> 3, tag & 7
        start = at
        if wire_type == 0:
            _, at = _number_at(data, at)
        elif wire_type == 2:
            length, start = _number_at(data, at)
            at = start + length
        elif wire_type == 3:
            at = _end_of_group(data, at, number)
        else:
            at += {1: 8, 5: 4}[wire_type]
        fields.append((number, wire_type, data[start:at] if wire_type == 2 else b""))
    return fields


def read_resources(body: bytes) -> list[Resource]:
    """An export as protobuf understands it: of a field that is said twice the last counts."""
    return [_read_resource(element) for element in _contents(body, 1)]


def is_protobuf(body: bytes, levels: int = 3) -> bool:
    """Whether protobuf takes it, and on each of so many levels what it holds."""
    try:
        GROUP.FromString(body)
    except DecodeError:
        return False
    number = 1 if levels == 3 else 2
    return levels == 1 or all(
        is_protobuf(content, levels - 1)
        for found, wire_type, content in read_fields(body)
        if (found, wire_type) == (number, 2)
    )


def is_plain(resource: Resource) -> bool:
    scopes = all(scope.parts or scope == Scope(None, []) for scope in resource.scopes)
    return scopes and (resource.records_count > 0 or resource.schema_url is None)


def parts_by_reading(body: bytes) -> list[ResourcePart] | None:
    """The parts of an export; None where it has to be refused."""
    if not is_protobuf(body):
        return None
    resources = read_resources(body)
    if body and not resources:
        return None
    spelled_out = [export(resource) for resource in resources]
    messages = [
        length_delimited(1, content)
        for number, wire_type, content in read_fields(body)
        if (number, wire_type) == (1, 2)
    ]
    is_all = sum(map(len, messages)) == len(body)
    if len(messages) == 1:
        messages = [body]
    return [
        ResourcePart(
            message,
            resource.resource,
            resource.records_count,
            is_all and len(known) == len(message) and is_plain(resource),
        )
        for message, resource, known in zip(messages, resources, spelled_out, strict=True)
    ]


def _read_resource(element: bytes) -> Resource:
    scopes = [
        Scope(_last(part, 1), _contents(part, 2), _last(part, 3)) for part in _contents(element, 2)
    ]
    return Resource(_last(element, 1), scopes, _last(element, 3))


def _contents(data: bytes, wanted: int) -> list[bytes]:
    return [
        content
        for number, wire_type, content in read_fields(data)
        if (number, wire_type) == (wanted, 2)
    ]


def _last(data: bytes, wanted: int) -> bytes | None:
    found = _contents(data, wanted)
    return found[-1] if found else None


def _end_of_group(data: bytes, at: int, number: int) -> int:
    while True:
        tag, at = _number_at(data, at)
        wire_type = tag & 7
        if wire_type == 4:
            assert tag >> 3 == number
            return at
        if wire_type == 0:
            _, at = _number_at(data, at)
        elif wire_type == 2:
            length, at = _number_at(data, at)
            at += length
        elif wire_type == 3:
            at = _end_of_group(data, at, tag >> 3)
        else:
            at += {1: 8, 5: 4}[wire_type]


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value & (2**64 - 1), at
