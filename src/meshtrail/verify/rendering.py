"""The readable lines of a bundle, held against the entries as far as headers go.

The other columns are a reading aid: what a payload says is not derived again here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import BundleError, EventError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.model.entry import EntryHeader

NEEDED: Final = ("log_index", "received_time", "stream", "seq")
"""Columns that every line has."""

_DIGITS_MAX: Final = 25


def check_rendering(data: bytes, headers: Mapping[int, EntryHeader], *, origin: str) -> None:
    """Return when there is one line for each entry, which says what its header says.

    Args:
        data: events.jsonl.
        headers: of the proven entries, by leaf index.
        origin: of the log.

    Raises:
        BundleError: not one JSON object a line.
        EventError: a line that its entry does not make; too few or too many.
    """
    rendered: set[int] = set()
    lines = data.split(b"\n")
    if lines.pop():
        raise BundleError("events.jsonl does not end in a newline")
    for line in lines:
        event = _parse(line)
        index = event.get("log_index")
        if type(index) is not int or index not in headers or index in rendered:
            raise EventError(f"events.jsonl has a wrong or repeated log_index {index!r:.40}")
        rendered.add(index)
        _check_line(event, index, headers[index], origin)
    if len(rendered) != len(headers):
        left = min(headers.keys() - rendered)
        raise EventError(f"events.jsonl has no line for entry {left}", leaf_index=left)


def _check_line(event: dict[str, Any], index: int, header: EntryHeader, origin: str) -> None:
    want: dict[str, object] = {
        "log_index": index,
        "received_time": header.received_ns,
        "stream": header.stream,
        "seq": header.seq,
    }
    shown = {
        "log": origin,
        "payload_format": header.payload_format.name.lower().replace("_", "-"),
    }
    want |= {name: value for name, value in shown.items() if name in event}
    for name, value in want.items():
        got = event.get(name)
        # Not == alone: 1.0 and true would be taken for 1.
        if type(got) is not type(value) or got != value:
            raise EventError(
                f"events.jsonl says {name} {got!r:.80} of entry {index}, its header {value!r}",
                leaf_index=index,
                column=name,
                want=value,
                got=got,
            )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_object,
            # A number of a million digits takes minutes to read; so long it is none of ours.
            parse_int=lambda digits: int(digits[:_DIGITS_MAX]),
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"events.jsonl has a line that is no JSON: {error}") from error
    if not isinstance(event, dict):
        raise BundleError("events.jsonl has a line that is no JSON object")
    return event


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    event = dict(pairs)
    if len(event) != len(pairs):
        raise BundleError("events.jsonl has an object that names a column twice")
    return event
