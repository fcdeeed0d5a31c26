"""The elements of a list in JSON, byte for byte as they stand in it.

Bodies carry several records as such a list. Each element is sealed as a record of its own, so what
cannot be cut without losing one is refused as a whole. Only brackets, commas and strings are looked
at: whoever has a say in one element, such as the author of a request that is audited, must not be
able to keep all others from being cut, with what a parser refuses or does not reach.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from meshtrail.errors import InputError

NOT_JSON: Final = "not JSON"
MEMBERS_MAX: Final = 1_024
"""Of the object around a list; those of Kubernetes have four."""

_SPACE: Final = b" \t\r\n"
_NULL: Final = b"null"
_QUOTE, _COMMA, _COLON = b'",:'
_OPENING, _CLOSING = b"[{", b"]}"
_STEPS: Final = np.zeros(256, dtype=np.int8)
_STEPS[list(_OPENING)] = 1
_STEPS[list(_CLOSING)] = -1
_IS_PUNCTUATION: Final = np.zeros(256, dtype=np.bool_)
_IS_PUNCTUATION[list(b'"[]{},:')] = True
_DISTANCE: Final = ord("]") - ord("[")
"""Between a bracket and the one that closes it; braces are as far apart."""

_LEVEL_MAX: Final = 2
"""Where a list can stand: it is the document, or a member of it."""

_PART_BYTES: Final = 1 << 20

_Positions = npt.NDArray[np.int64]


class _Outline(NamedTuple):
    """Brackets, commas and colons outside of strings, not deeper than ``_LEVEL_MAX``.

    Attributes:
        at: int64[n], where they stand.
        characters: uint8[n].
        levels: int32[n], brackets around them; a bracket stands inside itself.
    """

    at: _Positions
    characters: npt.NDArray[np.uint8]
    levels: npt.NDArray[np.int32]

    def find(self, character: int, level: int) -> _Positions:
        """Where a character stands on a level."""
        found: _Positions = self.at[(self.characters == character) & (self.levels == level)]
        return found

    def brackets(self, characters: bytes, level: int) -> _Positions:
        """Where any of two characters stands on a level."""
        first, second = characters
        is_either = (self.characters == first) | (self.characters == second)
        found: _Positions = self.at[is_either & (self.levels == level)]
        return found


def slice_elements(body: bytes, *, key: str = "items", elements_count_max: int) -> list[bytes]:
    """Cut a body into its elements, in order.

    Args:
        body: an object with a list at ``key``, whose other members are left out; or a list; or any
            other object, which is its only element.
        key: the member whose list is wanted. Null there is an empty list.
        elements_count_max: at most.

    Returns:
        What stands between the commas, without the space around it; elements may be anything.

    Raises:
        InputError: it is none of these, or too much; or an object with the list in which a member
            stands twice, or whose name is spelt with escapes, so that a list could hide.

    Cost: linear, 13 ms for a megabyte, and a copy of it.
    """
    text = body.strip(_SPACE)
    if text[:1] not in (b"[", b"{"):
        raise InputError("JSON that is neither an object nor a list" if text else NOT_JSON)
    outline = _outline(text)
    ends = outline.brackets(_CLOSING, 1)
    if len(ends) != 1 or ends[0] != len(text) - 1 or text[-1] - text[0] != _DISTANCE:
        raise InputError(NOT_JSON)
    if text.startswith(b"["):
        commas = outline.find(_COMMA, 1)
        return _cut(text, [0, *commas.tolist(), len(text) - 1], elements_count_max)
    found = _find_member(text, outline, key)
    if found is None:
        return [text]
    begin, end = found
    value = text[begin:end].strip(_SPACE)
    if value == _NULL:
        return []
    begin = text.index(value, begin)
    last = begin + len(value) - 1
    closings = outline.brackets(_CLOSING, _LEVEL_MAX)
    closing = closings[np.searchsorted(closings, begin)] if value.startswith(b"[") else -1
    if closing != last or not value.endswith(b"]"):
        raise InputError(f"JSON whose {key} is no list")
    commas = outline.find(_COMMA, _LEVEL_MAX)
    commas = commas[(commas > begin) & (commas < last)]
    return _cut(text, [begin, *commas.tolist(), last], elements_count_max)


def _outline(text: bytes) -> _Outline:
    # What is escaped goes first, pairs of backslashes before all; nothing moves by that. Then every
    # quote left is the beginning or the end of a string.
    unescaped = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    is_inside = depth = 0
    parts = []
    for start in range(0, len(unescaped), _PART_BYTES):
        length = min(_PART_BYTES, len(unescaped) - start)
        part = np.frombuffer(unescaped, dtype=np.uint8, count=length, offset=start)
        at = np.flatnonzero(_IS_PUNCTUATION[part])
        found = part[at]
        is_quote = found == _QUOTE
        # Of the number of quotes so far only the last bit counts, so it may wrap around.
        inside = (np.cumsum(is_quote, dtype=np.uint8) + np.uint8(is_inside)) % 2
        is_inside = int(inside[-1]) if len(inside) else is_inside
        bare = (inside == 0) & ~is_quote
        at, found = at[bare], found[bare]
        steps = _STEPS[found]
        depths = np.cumsum(steps, dtype=np.int32) + np.int32(depth)
        depth = int(depths[-1]) if len(depths) else depth
        levels = depths + (steps < 0)
        kept = levels <= _LEVEL_MAX
        parts.append((at[kept] + start, found[kept], levels[kept]))
    if depth or is_inside:
        raise InputError(NOT_JSON)
    at, found, levels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _Outline(at, found, levels)


def _find_member(text: bytes, outline: _Outline, key: str) -> tuple[int, int] | None:
    """Where the value of a member begins and ends; None where there is no such member."""
    commas = outline.find(_COMMA, 1)
    colons = outline.find(_COLON, 1)
    if len(commas) >= MEMBERS_MAX:
        raise InputError(f"JSON with {len(commas)} commas in the object that should have {key}")
    bounds = [0, *commas.tolist(), len(text) - 1]
    values: dict[bytes, tuple[int, int]] = {}
    for begin, end in pairwise(bounds):
        of_member = colons[(colons > begin) & (colons < end)].tolist()
        if not of_member and len(bounds) == len("{}") and not text[1:-1].strip(_SPACE):
            return None
        if len(of_member) != 1:
            raise InputError(NOT_JSON)
        name = text[begin + 1 : of_member[0]].strip(_SPACE)
        if b"\\" in name:
            raise InputError(f"JSON with a name that has escapes, which could be {key}")
        values.setdefault(name, (of_member[0] + 1, end))
    wanted = f'"{key}"'.encode()
    if wanted in values and len(values) < len(bounds) - 1:
        raise InputError(f"JSON with {key} in which a member stands twice")
    return values.get(wanted)


def _cut(text: bytes, bounds: list[int], elements_count_max: int) -> list[bytes]:
    """What stands between the brackets and commas of a list, at these positions."""
    count = len(bounds) - 1
    if count > elements_count_max:
        raise InputError(
            f"a list of {count} elements, at most {elements_count_max} are taken",
            elements_count=count,
        )
    elements = [text[begin + 1 : end].strip(_SPACE) for begin, end in pairwise(bounds)]
    if elements == [b""]:
        return []
    if not all(elements):
        raise InputError(NOT_JSON)
    return elements
