"""OTLP in JSON: an export cut into the payloads of its records, and these turned into protobuf.

What is sealed are slices of the export, joined again around each record. An event is made of the
protobuf that a payload says the same as, so records in either encoding become the same columns.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import UNSET, Raw, UnsetType

from meshtrail.errors import InputError
from meshtrail.sources.json_text import check_json
from meshtrail.sources.otlp_frame import (
    RESOURCES_COUNT_MAX,
    SCOPES_COUNT_MAX,
    Signal,
    check_records,
)
from meshtrail.sources.otlp_groups import CONTEXT, SCHEMA_URL, encode_payload
from meshtrail.sources.otlp_schema import record_descriptor, resource_descriptor, scope_descriptor
from meshtrail.sources.proto_json import NOT_JSON, encode_json_message, encode_json_url
from meshtrail.sources.wire_fields import encode_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor

EXPORT_COMMAS_MAX: Final = 1 << 20
"""In an export. Each may stand before an element, of which the parser makes an object of 56 bytes;
exports of 16 MiB have half as many."""

RECORD_COMMAS_MAX: Final = 1 << 15
"""In a payload that is to be decoded. Each attribute takes two, and some microseconds."""

_REMEMBERED_BYTES_MAX: Final = 16 << 10
_REMEMBERED_COUNT: Final = 256
"""Contexts that were turned into protobuf: senders say the same with every record."""


class JsonPart(NamedTuple):
    """What an export holds of one resource.

    Attributes:
        resource: the resource as it stood in the export; None where it is absent or null.
        payloads: one for each record, as docs/formats/entry.md spells them.
        is_plain: whether resource, scopes and records are all there is of the export: no other key,
            none twice, nothing that is of no record. Where it is not, cutting loses something.
    """

    resource: bytes | None
    payloads: list[bytes]
    is_plain: bool


class _Group(NamedTuple):
    """An object of the upper three levels.

    Attributes:
        context: the resource or the scope as it stood; None where it is absent.
        schema_url: likewise.
        parts: the elements of its list, as they stood.
        own_bytes: what it takes without its parts, in JSON without spaces.
    """

    context: bytes | None
    schema_url: bytes | None
    parts: list[bytes]
    own_bytes: int

    @property
    def says_nothing(self) -> bool:
        """Whether it has neither context nor schema URL."""
        return {self.context, self.schema_url} <= {None, _NULL}


class _Export(NamedTuple):
    """Resource elements, each with its scope elements; and whether that is all."""

    resources: list[tuple[_Group, list[_Group]]]
    accounted_bytes: int


_NULL: Final = b"null"


def cut_json_export(body: bytes, signal: Signal) -> list[JsonPart]:
    """Cut an export in JSON into its resources, and those into payloads, in order.

    Raises:
        InputError: it is not the JSON of an export of this signal, or holds more than anyone sends
            in earnest, or something and no resource; then it is kept as a whole, and only so.
    """
    check_json(body, commas_count_max=EXPORT_COMMAS_MAX)
    export = _read_export(body, signal)
    compact = msgspec.json.format(body, indent=-1)
    plain = export if compact == body else _read_export(compact, signal)
    is_all = plain.accounted_bytes == len(compact)
    if not export.resources and not is_all:
        raise InputError(f"an OTLP export of {len(body)} bytes without {signal.resources_name}")
    _check_repeated(export, signal, body_bytes=len(body))
    parts = []
    for resource, scopes in export.resources:
        payloads = [
            before + record + after
            for scope in scopes
            for before, after in [_around(resource, scope, signal)]
            for record in scope.parts
        ]
        is_plain = (
            is_all
            and all(scope.parts or scope.says_nothing for scope in scopes)
            and (bool(payloads) or resource.schema_url in {None, _NULL})
        )
        stated = None if resource.context == _NULL else resource.context
        parts.append(JsonPart(stated, payloads, is_plain))
    return parts


def json_to_protobuf(payload: bytes, signal: Signal) -> bytes:
    """The export request in protobuf that says the same as a payload in JSON.

    Fields of no known name are left out, as the specification wants it.

    Args:
        payload: an export in JSON with exactly one record.
        signal: what it is of.

    Returns:
        As ``otlp_groups.encode_payload`` spells it.

    Raises:
        InputError: it is none, or holds a value that its field cannot have; the message is the same
            for the same payload, whatever version of a parser reads it.
    """
    check_json(payload, commas_count_max=RECORD_COMMAS_MAX)
    export = _read_export(payload, signal)
    records = [
        (resource, scope, record)
        for resource, scopes in export.resources
        for scope in scopes
        for record in scope.parts
    ]
    if len(records) != 1:
        raise InputError(f"{len(records)} records, 1 is wanted")
    ((resource, scope, record),) = records
    return encode_payload(
        _encode_context(resource, resource_descriptor),
        _encode_context(scope, scope_descriptor),
        encode_json_message(record, record_descriptor(signal)),
    )


def json_column_to_protobuf(payloads: pa.Array, signal: Signal) -> tuple[pa.Array, dict[int, str]]:
    """Turn a column of payloads into protobuf.

    Args:
        payloads: binary[n], exports in JSON with one record each.
        signal: what they are of.

    Returns:
        binary[n], empty where a payload was bad; and why it was, by row.
    """
    found: list[bytes] = []
    bad: dict[int, str] = {}
    for row, payload in enumerate(payloads.to_pylist()):
        try:
            found.append(json_to_protobuf(payload, signal))
        except InputError as error:
            found.append(b"")
            bad[row] = error.message
    return pa.array(found, pa.binary()), bad


def _check_repeated(export: _Export, signal: Signal, *, body_bytes: int) -> None:
    repeated_bytes = count = 0
    for resource, scopes in export.resources:
        for scope in scopes:
            count += len(scope.parts)
            before, after = _around(resource, scope, signal)
            repeated_bytes += len(scope.parts) * (len(before) + len(after))
    check_records(count, body_bytes=body_bytes, repeated_bytes=repeated_bytes)


def _around(resource: _Group, scope: _Group, signal: Signal) -> tuple[bytes, bytes]:
    """What stands before and behind a record in its payload."""
    before = [
        f'{{"{signal.resources_name}":[{{'.encode(),
        *_members("resource", resource),
        f'"{signal.scopes_name}":[{{'.encode(),
        *_members("scope", scope),
        f'"{signal.records_name}":['.encode(),
    ]
    return b"".join(before), b"]}]}]}"


def _members(context_name: str, group: _Group) -> list[bytes]:
    """Context and schema URL as members of an object, each with a comma behind it."""
    stated = ((context_name, group.context), ("schemaUrl", group.schema_url))
    return [b'"%b":%b,' % (name.encode(), value) for name, value in stated if value is not None]


def _read_export(text: bytes, signal: Signal) -> _Export:
    """The upper three levels of an export, the rest as it stands.

    Raises:
        InputError: it is not JSON, or not that of an export, or has too many elements.
    """
    request = _read(_request_decoder(signal), text)
    _check_count(len(request.parts), RESOURCES_COUNT_MAX, "resources")
    accounted = request.own_bytes
    scopes_left = SCOPES_COUNT_MAX
    resources = []
    for element in request.parts:
        resource = _read(_resource_decoder(signal), element)
        scopes_left -= len(resource.parts)
        _check_count(SCOPES_COUNT_MAX - scopes_left, SCOPES_COUNT_MAX, "scopes")
        scopes = [_read(_scope_decoder(signal), part) for part in resource.parts]
        accounted += resource.own_bytes + sum(
            scope.own_bytes + sum(map(len, scope.parts)) for scope in scopes
        )
        resources.append((resource, scopes))
    return _Export(resources, accounted)


def _check_count(count: int, count_max: int, name: str) -> None:
    if count > count_max:
        raise InputError(
            f"an OTLP export with too many {name}: {count - count_max} at least",
            records_count=count,
        )


class _GroupDecoder:
    """Reads an object with at most a context, a schema URL and a list; slices of what is in them.

    Keys are taken as protobuf's JSON spells them, or as its schema does; of both, the first counts.
    """

    def __init__(self, context_name: str | None, parts_name: str) -> None:
        names = {"parts": parts_name}
        if context_name is not None:
            names |= {"context": context_name, "schema_url": "schemaUrl"}
        # By field, each spelling after the other.
        self._spellings = {
            field: list(dict.fromkeys((name, _snake_case(name)))) for field, name in names.items()
        }
        fields = [
            (
                f"{field}_{at}",
                list[Raw] | None | UnsetType if field == "parts" else Raw | UnsetType,
                msgspec.field(default=UNSET, name=name),
            )
            for field, spellings in self._spellings.items()
            for at, name in enumerate(spellings)
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Group", fields))

    def decode(self, text: bytes) -> _Group:
        """Read an object.

        Raises:
            DecodeError: it is none, or not JSON.
        """
        found = self._decoder.decode(text)
        values: dict[str, Any] = {}
        own_bytes = len("{}")
        for field, spellings in self._spellings.items():
            for at, name in enumerate(spellings):
                value = getattr(found, f"{field}_{at}")
                if value is not UNSET:
                    own_bytes += len('"":') + len(name) + bool(values) + _own_bytes(value)
                    values[field] = value
                    break
        context, schema_url = values.get("context"), values.get("schema_url")
        return _Group(
            None if context is None else bytes(context),
            None if schema_url is None else bytes(schema_url),
            [bytes(part) for part in values.get("parts") or []],
            own_bytes,
        )


def _own_bytes(value: Raw | list[Raw] | None) -> int:
    """What a value takes in JSON without spaces, the elements of a list left out."""
    if value is None:
        return len(_NULL)
    if isinstance(value, list):
        return len("[]") + max(len(value) - 1, 0)
    return len(value)


def _snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name)


def _read(decoder: _GroupDecoder, text: bytes) -> _Group:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise InputError("JSON that is not an OTLP export") from error
    except msgspec.DecodeError as error:
        raise InputError(NOT_JSON) from error


@cache
def _request_decoder(signal: Signal) -> _GroupDecoder:
    return _GroupDecoder(None, signal.resources_name)


@cache
def _resource_decoder(signal: Signal) -> _GroupDecoder:
    return _GroupDecoder("resource", signal.scopes_name)


@cache
def _scope_decoder(signal: Signal) -> _GroupDecoder:
    return _GroupDecoder("scope", signal.records_name)


def _encode_context(group: _Group, descriptor: Callable[[], Descriptor]) -> bytes:
    stated = (group.context or b"") + (group.schema_url or b"")
    if len(stated) > _REMEMBERED_BYTES_MAX:
        return _context_bytes(group.context, group.schema_url, descriptor)
    return _remembered_context_bytes(group.context, group.schema_url, descriptor)


def _context_bytes(
    context: bytes | None, schema_url: bytes | None, descriptor: Callable[[], Descriptor]
) -> bytes:
    message = url = None
    if context not in {None, _NULL}:
        message = encode_json_message(context, descriptor())
    if schema_url not in {None, _NULL}:
        url = encode_json_url(schema_url)
    return encode_field(CONTEXT, message) + encode_field(SCHEMA_URL, url)


_remembered_context_bytes: Final = lru_cache(_REMEMBERED_COUNT)(_context_bytes)
