"""JSON objects as a column, built of columns of members; what is null is left out."""

from __future__ import annotations

import json
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import map_distinct, plain

BARE: Final = r"(?:0|[1-9][0-9]{0,17}|true|false)"
"""What needs no quotes, as a regular expression."""

_SPECIAL: Final = r'["\\\x00-\x1f]'
_S: Final = pa.string()


class JsonObjects:
    """An object for each row, whose members are added one by one."""

    def __init__(self) -> None:
        self._members: list[pa.Array] = []

    def add_text(self, name: str, column: pa.Array) -> None:
        """Add a member: string[n], of digits or a truth value bare, all else in quotes."""
        column = plain(column)
        if column.null_count == len(column):
            return
        is_bare = pc.match_substring_regex(column, f"^{BARE}$")
        self.add_json(name, pc.if_else(is_bare, column, _quoted(column)))

    def add_json(self, name: str, column: pa.Array) -> None:
        """Add a member that is JSON already: string[n]."""
        column = plain(column)
        if column.null_count < len(column):
            self._members.append(pc.binary_join_element_wise(f',"{name}":', column, ""))

    def column(self, rows_count: int) -> pa.Array:
        """The objects: string[n]; null where nothing was added."""
        if not self._members:
            return pa.nulls(rows_count, _S)
        # Arrow's way of skipping nulls drops the rows that have nothing else.
        members = pc.binary_join_element_wise(
            *self._members, "", null_handling="replace", null_replacement=""
        )
        objects = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(members, 1), "}", "")
        return pc.if_else(pc.equal(members, ""), pa.scalar(None, _S), objects)


def _quoted(column: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(column, _SPECIAL)).as_py():
        (quoted,) = map_distinct(column, lambda text: (json.dumps(text, ensure_ascii=False),), [_S])
        return plain(quoted)
    return pc.binary_join_element_wise('"', column, '"', "")
