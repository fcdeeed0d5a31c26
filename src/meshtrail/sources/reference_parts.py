"""What the row-wise reference reads of a record besides plain fields: its small messages, its ids.

As plain as ``reference``, and as independent of the columnar mapper.
"""

# ruff: noqa: ANN401 - generated classes have no types
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from meshtrail.sources.als_decisions import RBAC_FILTERS
from meshtrail.sources.als_schema import filter_descriptor
from meshtrail.sources.envoy_messages import plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor import Descriptor

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_HEX_TRACE: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}")
_HEX_SPAN: Final = re.compile(r"[0-9a-f]{16}")


class RbacFields:
    """The fields of the RBAC filters' metadata, in order; or why they cannot be read."""

    def __init__(self, filter_metadata: Iterable[Any]) -> None:
        # The order of the messages as they stand; of equal keys the last, as in a protobuf map.
        order = [item for item in filter_metadata if item.key in RBAC_FILTERS]
        last_at = {item.key: at for at, item in enumerate(order)}
        self.reason: str | None = None
        self._fields: list[Any] = []
        for at in sorted(last_at.values()):
            what = "metadata of an RBAC filter"
            struct, reason = read_message(what, filter_descriptor(), order[at].value)
            self.reason = reason or self.reason
            self._fields += struct.fields

    def last(self, suffix: str, value: str | None = None) -> str | None:
        """The value of the last field whose key ends so and that is not empty."""
        found: list[str] = [
            field.value.string_value
            for field in self._fields
            if field.key.endswith(suffix) and field.value.string_value
        ]
        if value is not None:
            found = [word for word in found if word == value]
        return found[-1] if found else None


def read_message(what: str, descriptor: Descriptor, data: bytes) -> tuple[Any, str | None]:
    """A message that stands as bytes in a record; an empty one, and why, if it cannot be read."""
    try:
        return parse_message(descriptor, data), None
    except DecodeError as error:
        return parse_message(descriptor, b""), f"{what}: {plain_reason(error)}"


def parse_message(descriptor: Descriptor, data: bytes) -> Any:
    """A message of the type.

    Raises:
        DecodeError: protobuf refuses it.
    """
    return message_factory.GetMessageClass(descriptor).FromString(data)


def read_ids(headers: dict[str, str]) -> tuple[bytes | None, bytes | None]:
    """Trace and span id of a request's headers: W3C first, then B3."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if match and match[1] != "ff" and int(match[2], 16) and int(match[3], 16):
        return bytes.fromhex(match[2]), bytes.fromhex(match[3])
    b3 = headers.get("b3", "")
    for digits in (32, 16):
        match = re.match(rf"([0-9a-f]{{{digits}}})-([0-9a-f]{{16}})(?:-|\Z)", b3)
        if match and int(match[1], 16) and int(match[2], 16):
            return bytes.fromhex(match[1].zfill(32)), bytes.fromhex(match[2])
    trace = headers.get("x-b3-traceid", "").lower()
    span = headers.get("x-b3-spanid", "").lower()
    if not _HEX_TRACE.fullmatch(trace) or not int(trace, 16):
        return None, None
    has_span = _HEX_SPAN.fullmatch(span) and int(span, 16)
    return bytes.fromhex(trace.zfill(32)), bytes.fromhex(span) if has_span else None
