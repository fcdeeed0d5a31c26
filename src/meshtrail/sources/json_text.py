"""Bounds on JSON that comes from outside, found before anything is built of it.

A parser's own limits are its stack and the machine's memory: the first depends on who calls it, the
second is everyone's. What is counted here is counted in one pass, whatever the text says.
"""

from __future__ import annotations

import codecs
from typing import Final, NamedTuple

import numpy as np

from meshtrail.errors import InputError

NESTING_MAX: Final = 100
"""Objects and arrays inside each other; protobuf follows as many messages."""

_QUOTE, _COMMA, _COLON = b'",:'
_PUNCTUATION: Final = b'"[]{},:'
_ALL_ELSE: Final = bytes(sorted(set(range(256)) - set(_PUNCTUATION)))
_STEPS: Final = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_PART_BYTES: Final = 1 << 16
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class JsonTokens(NamedTuple):
    """What a JSON text is made of, its strings left out.

    Attributes:
        depth: objects and arrays inside each other.
        commas_count: of elements and members, about as many as there are values.
        colons_count: members of all objects.
    """

    depth: int
    commas_count: int
    colons_count: int


def count_tokens(text: bytes) -> JsonTokens:
    """What a text is made of, if it is JSON. Of other texts the counts mean nothing.

    Cost: linear, 7 ms for a megabyte, and at most three copies of it at a time.
    """
    # What is escaped goes first, pairs of backslashes before all: then every quote left is the
    # beginning or the end of a string.
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    found = np.frombuffer(unescaped.translate(None, _ALL_ELSE), dtype=np.uint8)
    quotes_count = depth = deepest = commas_count = colons_count = 0
    # In parts: what numpy makes of them would otherwise be a dozen times the text.
    for start in range(0, len(found), _PART_BYTES):
        part = found[start : start + _PART_BYTES]
        # Of the number of quotes so far only the last bit counts, so it may wrap around.
        quotes = np.cumsum(part == _QUOTE, dtype=np.uint8)
        bare = part[(quotes + np.uint8(quotes_count % 2)) % 2 == 0]
        quotes_count += int(quotes[-1])
        depths = np.cumsum(_STEPS[bare], dtype=np.int32)
        if len(depths):
            deepest = max(deepest, depth + int(depths.max()))
            depth += int(depths[-1])
        commas_count += int(np.count_nonzero(bare == _COMMA))
        colons_count += int(np.count_nonzero(bare == _COLON))
    return JsonTokens(deepest, commas_count, colons_count)


def check_json(text: bytes, *, commas_count_max: int) -> JsonTokens:
    """Return what a text is made of when it may be parsed. Whether it is JSON, the parser says.

    Raises:
        InputError: it is not UTF-8, begins with a byte order mark, or is too much.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        raise InputError("JSON with a byte order mark before it")
    _check_utf8(text)
    tokens = count_tokens(text)
    if tokens.depth > NESTING_MAX:
        raise InputError(f"JSON nested {tokens.depth} deep, at most {NESTING_MAX} is followed")
    if tokens.commas_count > commas_count_max:
        raise InputError(
            f"JSON with {tokens.commas_count} commas, with at most {commas_count_max} it is read"
        )
    return tokens


def _check_utf8(text: bytes) -> None:
    """In parts: one character beyond the first 65,536 would make a text four times its bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(text), _PART_BYTES):
            decoder.decode(text[start : start + _PART_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InputError("JSON that is not UTF-8") from error
