"""What a sender says of itself, cut to fit into the entry that opens its stream.

The bytes in which it does are kept as a blob; a claim is the part of them that people look for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

METADATA_BYTES_MAX: Final = 8_192
TEXT_CHARS_MAX: Final = 512
ITEMS_COUNT_MAX: Final = 64
CUT: Final = "…"
"""Stands at the end of what was cut, and for what was left out."""


def cut_text(text: str) -> str:
    """A text of bounded length, marked where it was cut."""
    return text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + CUT


def fit_metadata(items: Iterable[tuple[str, Any]]) -> dict[str, Any] | None:
    """The items that fit into ``METADATA_BYTES_MAX`` as JSON, in their order; None without any.

    Args:
        items: names and plain JSON values, the most telling first. For a value that does not fit
            stands ``CUT``; when not even its name does, that and all that follows is left out.
    """
    metadata: dict[str, Any] = {}
    room = METADATA_BYTES_MAX - _json_bytes({CUT: CUT})
    for name, value in items:
        needed = _json_bytes({name: value})
        shown = value
        if needed > room:
            shown = CUT
            needed = _json_bytes({name: CUT})
        if needed > room:
            return metadata | {CUT: CUT}
        metadata[name] = shown
        room -= needed
    return metadata or None


def _json_bytes(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
