"""A column of JSON texts to nested Arrow columns, each of which is texts: DuckDB reads them.

What a member is does not matter: a number is the text that it was written as, an object or a list
where a text is wanted its JSON. Of equal keys in an object the first counts. Read besides what JSON
forbids are NaN, Infinity and a comma before a closing bracket.

DuckDB is a parser here and nothing more: it opens no file, and no text becomes SQL. docs/adr/0011.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.json_text import NESTING_MAX, count_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import numpy.typing as npt

Structure: TypeAlias = "str | Mapping[str, Structure] | list[Structure]"
"""What is wanted: ``TEXT``, an object of structures by key, or a list of one structure."""

TEXT: Final = "VARCHAR"
NOT_JSON: Final = "not JSON"
NOT_AN_OBJECT: Final = "not a JSON object"
NOT_UTF8: Final = "not UTF-8"
TOO_DEEP: Final = f"JSON nested more than {NESTING_MAX} deep"

_BRACE, _BRACKET = b"{["
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 1,
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "2GiB",
    "temp_directory": "",
}


class JsonColumns:
    """Some JSON objects, and what was wanted of them.

    Attributes:
        rows_count: texts.
        bad: why a text could not be read, by row; everything is null there.
    """

    def __init__(self, texts: pa.Array, structure: Mapping[str, Structure]) -> None:
        """Read texts.

        Args:
            texts: binary[n].
            structure: of the objects.

        Cost: 2 µs for an object of 850 bytes and 24 members.
        """
        self.rows_count = len(texts)
        self.bad: dict[int, str] = {}
        whole = self._without_deep(self._decode(texts))
        self._objects = _read(whole, json.dumps(structure))
        # An object that holds nothing of what is wanted is one all the same.
        read = np.asarray(pc.is_valid(self._objects))
        is_object = np.asarray(pc.fill_null(pc.match_substring_regex(whole, r"^\s*\{"), False))  # noqa: FBT003 - Arrow takes it so
        for row in np.flatnonzero(~(read & is_object)).tolist():
            self.bad.setdefault(row, NOT_AN_OBJECT if read[row] else NOT_JSON)

    def get(self, *path: str) -> pa.Array:
        """A member, at the end of a path of keys; null where anything on the way is absent."""
        column = self._objects
        for key in path:
            column = pc.struct_field(column, key)
        return column

    def text(self, *path: str) -> pa.Array:
        """A member that is a text: string[n]."""
        return self.get(*path).cast(pa.string())

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Where a text could be read: bool[n]."""
        good = np.ones(self.rows_count, dtype=np.bool_)
        good[list(self.bad)] = False
        return good

    def _without_deep(self, texts: pa.Array) -> pa.Array:
        """Null where there is nesting that other parsers would not follow."""
        data = np.frombuffer(texts.buffers()[2] or b"", dtype=np.uint8)
        places = np.flatnonzero((data == _BRACE) | (data == _BRACKET))
        offsets = np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset :]
        counts = np.diff(np.searchsorted(places, offsets[: len(texts) + 1]))
        for row in np.flatnonzero(counts > NESTING_MAX).tolist():
            text = texts[row].as_py()
            if text is not None and count_tokens(text.encode()).depth > NESTING_MAX:
                self.bad[row] = TOO_DEEP
        if TOO_DEEP not in self.bad.values():
            return texts
        keep = np.ones(len(texts), dtype=np.bool_)
        keep[[row for row, reason in self.bad.items() if reason == TOO_DEEP]] = False
        return pc.if_else(pa.array(keep), texts, pa.scalar(None, pa.string()))

    def _decode(self, texts: pa.Array) -> pa.Array:
        """The texts: string[n], null where one is not UTF-8."""
        try:
            return texts.cast(pa.string())
        except pa.ArrowInvalid:
            decoded: list[str | None] = []
            for row, text in enumerate(texts.to_pylist()):
                try:
                    decoded.append(text.decode())
                except UnicodeDecodeError:
                    self.bad[row] = NOT_UTF8
                    decoded.append(None)
            return pa.array(decoded, pa.string())


def _read(texts: pa.Array, structure: str) -> pa.Array:
    """The objects: struct[n], null where a text is no JSON."""
    engine = _engine().cursor()
    try:
        table = engine.from_arrow(pa.table({"text": texts}))
        # The structure is our own; a text is only ever a value.
        wanted = structure.replace("'", "''")
        read = table.project(f"TRY(from_json(text, '{wanted}')) AS object").to_arrow_table()
    finally:
        engine.close()
    return read.column("object").combine_chunks()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    # Only who reads JSON pays for it: the processes that do not are many.
    import duckdb  # noqa: PLC0415 - it takes 60 ms and 30 MB

    return duckdb.connect(":memory:", config=_SETTINGS)
