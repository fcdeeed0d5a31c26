"""Segments as a table of the engine, whatever version of meshtrail wrote them.

Columns are found by their permanent field ids. One that a segment was written without, because it
is older than the column, is null there.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from meshtrail.model.columns import COLUMNS

_SQL_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
}


def sql_type(kind: pa.DataType) -> str:
    """What the engine calls the type of an event column."""
    return "BLOB" if pa.types.is_fixed_size_binary(kind) else _SQL_TYPES[kind]


def parquet_source(files: str) -> str:
    """The table of some segments.

    Args:
        files: SQL for a list of their paths; ``?`` for a value.
    """
    return f"read_parquet({files}, schema=MAP {{{_SCHEMA}}})"


_SCHEMA: Final = ", ".join(
    f"{column.field_id}: {{name: '{column.name}', type: '{sql_type(column.type)}', "
    "default_value: NULL}"
    for column in COLUMNS
)
