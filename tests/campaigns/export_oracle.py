"""What has to become of exports and pushes, found out by plain readers of their formats."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.sources.counter_families import find_counter
from meshtrail.sources.counter_slices import HEAD
from meshtrail.sources.otlp_frame import Signal
from tests.json_exports import JsonGroup, elements, payloads_by_reading, read_group
from tests.otlp_exports import parts_by_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kept = tuple[bytes | None, list[tuple[bytes, int]]]
"""A resource, and what is journaled of it: bytes, and how many records they hold."""

_NAME_AMONG = 8


class Slice(NamedTuple):
    """A piece of a push.

    Attributes:
        level: how many groups it stands in.
        data: its bytes; empty for where a group begins.
        name: of a metric; None where it is none.
    """

    level: int
    data: bytes
    name: bytes | None = None

    @property
    def is_left_out(self) -> bool:
        """Whether it is not kept."""
        return self.name is not None and find_counter(self.name) is None


def expect_parts(body: bytes, signal: Signal, *, is_json: bool) -> list[Kept] | None:
    """What an export of logs or spans becomes; None where it is refused.

    Before the first part that loses something by the cut stands the whole.

    Raises:
        ValueError: it is no JSON.
    """
    parts: list[tuple[bytes | None, list[tuple[bytes, int]], bool]]
    if is_json:
        parts = [
            (
                None if resource is None else resource.encode(),
                [(payload, 1) for payload in payloads],
                is_plain,
            )
            for resource, payloads, is_plain in payloads_by_reading(body, signal)
        ]
    else:
        found = parts_by_reading(body)
        if found is None:
            return None
        parts = [
            (part.resource, [(part.message, count)] if (count := part.records_count) else [], plain)
            for part in found
            for plain in [part.is_plain]
        ]
    for _, pieces, is_plain in parts:
        if not is_plain:
            pieces.insert(0, (body, 1))
            break
    return [(resource, pieces) for resource, pieces, _ in parts]


def differs_from_push(body: bytes, payload: bytes | None, *, form: str) -> str | None:
    """How what is kept of a push differs from what should be; None where it does not.

    Args:
        body: the push.
        payload: what is kept of it; None for nothing.
        form: ``envoy``, ``protobuf`` or ``json``.

    Raises:
        ValueError: it holds what can neither be kept nor be left out.
    """
    read = _READERS[form]
    if payload is None:
        is_empty = all(one.name is None for one in read(body))
        return None if is_empty else "nothing is kept of it"
    whole, kept = list(read(body)), list(read(payload[HEAD.size :]))
    left_out = [one.data for one in whole if one.is_left_out]
    if payload[: HEAD.size] != HEAD.pack(
        hashlib.sha256(b"".join(left_out)).digest(), len(left_out)
    ):
        return "what was left out is not accounted for"
    wanted = [one for one in whole if not one.is_left_out]
    if form == "json":
        # Where a group has no list, the one that is written anew has an empty one, or none.
        wanted, kept = ([one for one in each if one.data] for each in (wanted, kept))
    return None if kept == wanted else "not exactly the metrics of known names were kept"


def _envoy_slices(message: bytes) -> Iterator[Slice]:
    """Families; the identifier stands elsewhere."""
    for number, start, body, end in _fields(message, 0, len(message)):
        if number != 1:
            yield Slice(0, message[start:end], _name_of(message, body, end))


def _otlp_slices(
    body: bytes, start: int = 0, end: int | None = None, level: int = 0
) -> Iterator[Slice]:
    group_number = 1 if level == 0 else 2
    known = {1} if level == 0 else {1, 2, 3}
    for number, at, inner, stop in _fields(body, start, len(body) if end is None else end):
        if number not in known:
            raise ValueError(f"field {number} is not known")
        if number != group_number:
            yield Slice(level, body[at:stop])
        elif level == 2:
            yield Slice(level, body[at:stop], _name_of(body, inner, stop))
        else:
            yield Slice(level, b"")
            yield from _otlp_slices(body, inner, stop, level + 1)


def _json_slices(body: bytes) -> Iterator[Slice]:
    names = (Signal.METRICS.resources_name, Signal.METRICS.scopes_name, Signal.METRICS.records_name)
    request = _only(read_group(body.decode(), [names[0]]))
    for element in elements(request, names[0]):
        resource = _only(read_group(element, ["resource", "schemaUrl", names[1]]))
        yield from (Slice(1, one.encode()) for one in _said(resource.members, "resource"))
        for part in elements(resource, names[1]):
            scope = _only(read_group(part, ["scope", "schemaUrl", names[2]]))
            yield from (Slice(2, one.encode()) for one in _said(scope.members, "scope"))
            for metric in elements(scope, names[2]):
                name = json.loads(metric, parse_int=str).get("name", "")
                yield Slice(3, metric.encode(), name.encode())


def _only(group: JsonGroup) -> JsonGroup:
    if not group.is_single:
        raise ValueError("a key stands twice, or is spelled as nobody does")
    return group


def _said(members: dict[str, str], context: str) -> list[str]:
    return [members[name] for name in (context, "schemaUrl") if name in members]


def _name_of(data: bytes, start: int, end: int) -> bytes:
    """The first field 1 of bytes among the first few."""
    for number, _, body, stop in islice(_fields(data, start, end, any_type=True), _NAME_AMONG):
        if number == 1 and body >= 0:
            return data[body:stop]
    return b""


def _fields(
    data: bytes, at: int, end: int, *, any_type: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, start of the content and end of each field; -1 where it has no length.

    Raises:
        ValueError: they are none, or have no length although they should.
    """
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        wire_type = tag & 7
        content = -1
        if wire_type == 2:
            length, content = _varint(data, at, end)
            at = content + length
        elif wire_type == 0:
            _, at = _varint(data, at, end)
        else:
            at += {1: 8, 5: 4}.get(wire_type, end + 1)
        if at > end or not (any_type or wire_type == 2):
            raise ValueError(f"no field at {start}")
        yield tag >> 3, start, content, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError(f"no number before {at}")


_READERS: Final[dict[str, Callable[[bytes], Iterator[Slice]]]] = {
    "envoy": _envoy_slices,
    "protobuf": _otlp_slices,
    "json": _json_slices,
}
