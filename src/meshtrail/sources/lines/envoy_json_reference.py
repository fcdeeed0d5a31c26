"""The row-wise reference of ``envoy_json``: one line at a time, slow and plain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.model.otlp_attributes import ACCESS_LOG_TYPE, ATTRIBUTES
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.envoy_attributes_reference import AttributeRow
from meshtrail.sources.json_reference import parse_members
from meshtrail.sources.lines.container_prefix_reference import strip_prefix
from meshtrail.sources.lines.envoy_json import NO_ACCESS_LOG
from meshtrail.sources.streams import UNKNOWN_SENDER
from meshtrail.sources.timestamps import parse_time

if TYPE_CHECKING:
    from meshtrail.sources.json_reference import Members
    from meshtrail.sources.streams import StreamFacts

_ABSENT: Final = (None, "", "-")


def map_envoy_json_line(
    payload: bytes, row: dict[str, Any], problems: list[str], _facts: StreamFacts
) -> None:
    """Fill the row of a line."""
    # Whoever sent a line is no party to what it tells.
    filled = AttributeRow(row, problems, UNKNOWN_SENDER)
    bare = strip_prefix(payload)
    if bare.problem is not None:
        filled.refuse([bare.problem])
        return
    try:
        members = parse_members(envoy.mend_utf8(bare.line).encode())
    except InputError as error:
        filled.refuse([error.message])
        return
    if members.text(ACCESS_LOG_TYPE) in _ABSENT:
        filled.refuse([NO_ACCESS_LOG])
        return
    texts = {one.key: members.text(one.key) for one in ATTRIBUTES}
    trace = _id(members, "trace_id", 32)
    filled.tell_attributes(
        {key: text for key, text in texts.items() if text is not None},
        time=_time(members.text("time")),
        beside=(trace, _id(members, "span_id", 16) if trace else None),
    )


def _time(text: str | None) -> tuple[int | None, str | None]:
    time_ns = parse_time(text)
    is_wrong = time_ns is None and text not in _ABSENT
    return time_ns, "time is not a time" if is_wrong else None


def _id(members: Members, key: str, digits: int) -> bytes | None:
    text = members.text(key) or ""
    is_id = re.fullmatch(rf"[0-9a-f]{{{digits}}}", text) and text.strip("0")
    return bytes.fromhex(text) if is_id else None
