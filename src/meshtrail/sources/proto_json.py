"""Values in OTLP's JSON to protobuf messages, field by field as the schema has them.

OTLP departs from protobuf's own JSON: ids are hexadecimal, enums are numbers. And protobuf's reader
takes digits of any script, underscores in numbers and junk in base64. None of these is a value.

Source: OTLP specification 1.x, JSON Protobuf Encoding; protobuf's JSON mapping.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor

from meshtrail.errors import InputError
from meshtrail.sources.json_text import count_tokens

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

NOT_JSON: Final = "not JSON"

_Read: TypeAlias = Callable[[Any, str], Any]
"""What makes the value of a field; it names the field when it refuses."""

_HEX_NAMES: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_CHARS_MAX: Final = 400
"""Of a number written as a text; the longest that is exact has some 770, and nobody means it."""
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_RANGES: Final = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_LATER_NAMES: Final = {"InstrumentationLibrary": "InstrumentationScope"}
_URL_SAFE: Final = str.maketrans("-_", "+/")


class _Reader(NamedTuple):
    """How a field is read.

    Attributes:
        name: of the field in the schema.
        label: of the field in messages for people.
        place: the field, or the oneof of which it is a member: it has one value.
        read: makes its value.
    """

    name: str
    label: str
    place: str
    read: _Read


def encode_json_message(text: bytes, descriptor: Descriptor) -> bytes:
    """The message that a JSON object says, as protobuf bytes.

    Args:
        text: JSON that ``check_json`` has let pass.
        descriptor: the type of the message.

    Raises:
        InputError: it is not JSON, says a key twice, or holds a value that its field cannot have.
    """
    fields = _read_fields(_decode(text), descriptor)
    message = message_factory.GetMessageClass(descriptor)(**fields)
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def encode_json_url(text: bytes) -> bytes:
    """The UTF-8 bytes of a schema URL.

    Raises:
        InputError: it is none.
    """
    return _text(_decode(text), "schemaUrl").encode()


def _decode(text: bytes) -> object:
    try:
        value = msgspec.json.decode(text)
    except msgspec.ValidationError as error:
        raise InputError("a number out of range") from error
    except msgspec.DecodeError as error:
        raise InputError(NOT_JSON) from error
    # Of two equal keys the parser keeps one: then it writes fewer members than it read.
    if count_tokens(msgspec.json.encode(value)).colons_count != count_tokens(text).colons_count:
        raise InputError("a key that stands twice in one object")
    return value


def _read_fields(value: object, descriptor: Descriptor) -> dict[str, Any]:
    """What a message is made of, as its class takes it."""
    if not isinstance(value, dict):
        raise InputError(f"{_name_of(descriptor)}: not an object")
    readers = _readers(descriptor)
    fields: dict[str, Any] = {}
    taken: set[str] = set()
    for key, item in value.items():
        reader = readers.get(key)
        # A null is as good as absent, and what has no known name is left out.
        if reader is None or item is None:
            continue
        if reader.place in taken:
            raise InputError(f"{reader.label}: a second value")
        taken.add(reader.place)
        fields[reader.name] = reader.read(item, reader.label)
    return fields


def _name_of(descriptor: Descriptor) -> str:
    """What the message is called, also by an older schema: events keep these errors."""
    return _LATER_NAMES.get(descriptor.name, descriptor.name)


@cache
def _readers(descriptor: Descriptor) -> dict[str, _Reader]:
    """By key in either spelling."""
    readers: dict[str, _Reader] = {}
    for field in descriptor.fields:
        read = _value_reader(field)
        if field.is_repeated:
            read = _list_reader(read)
        oneof = field.containing_oneof
        place = oneof.name if oneof else field.name
        reader = _Reader(field.name, f"{_name_of(descriptor)}.{field.json_name}", place, read)
        readers |= {field.json_name: reader, field.name: reader}
    return readers


def _value_reader(field: FieldDescriptor) -> _Read:
    if field.message_type is not None:
        return _message_reader(field.message_type)
    if field.type in _RANGES:
        return _integer_reader(*_RANGES[field.type])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _hexadecimal if field.name in _HEX_NAMES else _base64
    return _SCALAR_READERS[field.type]


def _message_reader(descriptor: Descriptor) -> _Read:
    def read_message(value: object, _: str) -> dict[str, Any]:
        return _read_fields(value, descriptor)

    return read_message


def _integer_reader(lowest: int, highest: int) -> _Read:
    def read_integer(value: object, label: str) -> int:
        number = _whole_number(value, label)
        if not lowest <= number <= highest:
            raise InputError(f"{label}: out of range")
        return number

    return read_integer


def _list_reader(read: _Read) -> _Read:
    def read_list(value: object, label: str) -> list[Any]:
        if not isinstance(value, list):
            raise InputError(f"{label}: not a list")
        return [read(item, label) for item in value]

    return read_list


def _text(value: object, label: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{label}: not a text")
    return value


def _truth(value: object, label: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{label}: neither true nor false")
    return value


def _hexadecimal(value: object, label: str) -> bytes:
    try:
        return binascii.unhexlify(_text(value, label))
    except ValueError as error:
        raise InputError(f"{label}: not hexadecimal") from error


def _base64(value: object, label: str) -> bytes:
    """Either alphabet of base64, with or without padding, as protobuf allows."""
    text = _text(value, label).translate(_URL_SAFE)
    if "=" not in text:
        text += "=" * (-len(text) % 4)
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise InputError(f"{label}: not base64") from error
    if binascii.b2a_base64(data, newline=False).decode() != text:
        raise InputError(f"{label}: not base64")
    return data


def _whole_number(value: object, label: str) -> int:
    """A number without a fraction, or its digits as a text."""
    number: int | None = None
    if isinstance(value, str):
        number = int(value) if _INTEGER.fullmatch(value) else None
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else None
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if number is None:
        raise InputError(f"{label}: not a whole number")
    return number


def _enum(value: object, label: str) -> int:
    """A number: names of enums are not allowed in OTLP."""
    if isinstance(value, str):
        raise InputError(f"{label}: not a whole number")
    return int(_integer_reader(*_RANGES[FieldDescriptor.TYPE_INT32])(value, label))


def _double(value: object, label: str) -> float:
    """A number, its digits as a text, or the name of what JSON has no number for."""
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        if len(value) > _NUMBER_CHARS_MAX or not _NUMBER.fullmatch(value):
            raise InputError(f"{label}: not a number")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{label}: not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise InputError(f"{label}: out of range") from error
    if not math.isfinite(number):
        raise InputError(f"{label}: out of range")
    return number


_SCALAR_READERS: Final[dict[int, _Read]] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BOOL: _truth,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_FLOAT: _double,
    FieldDescriptor.TYPE_ENUM: _enum,
}
