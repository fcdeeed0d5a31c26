"""Records that are read one by one, as event columns and as rows of the reference.

For formats of which there is little: one function reads a record, and both derivations rest on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from meshtrail.errors import InputError
from meshtrail.model.event import EVENT_SCHEMA, Kind
from meshtrail.sources.event_columns import EventColumns

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.sources.streams import Reporters, StreamFacts

    ReadRecord: TypeAlias = Callable[[bytes], "RecordRow"]
    """One record to its row. What it raises is an ``InputError`` whose message is one of few."""


@dataclass(slots=True)
class RecordRow:
    """What one record says.

    Attributes:
        columns: by name, ``kind`` among them; none that ``derive`` wants coded.
        problems: why values are missing, each out of a closed list: a column is made of each.
    """

    columns: dict[str, Any]
    problems: list[str] = field(default_factory=list)


def map_each(read_record: ReadRecord, records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of records that are read one by one.

    Args:
        read_record: one record to its row.
        records: binary[n].
    """
    rows = [_read(read_record, record) for record in records.to_pylist()]
    out = EventColumns(len(rows))
    names = {"kind"}.union(*(row.columns for row in rows))
    for name in sorted(names):
        values = [row.columns.get(name) for row in rows]
        out.columns[name] = pa.array(values, EVENT_SCHEMA.field(name).type)
    # In one order for all, because this is the order in which a row's reasons are told.
    for reason in sorted({problem for row in rows for problem in row.problems}):
        out.problems[reason] = pa.array([reason in row.problems for row in rows])
    return out


def refer_each(
    read_record: ReadRecord,
) -> Callable[[bytes, dict[str, Any], list[str], StreamFacts], None]:
    """The same for the row-wise reference."""

    def mapped(payload: bytes, row: dict[str, Any], problems: list[str], _: StreamFacts) -> None:
        said = _read(read_record, payload)
        row |= said.columns
        problems += sorted(set(said.problems))

    return mapped


def _read(read_record: ReadRecord, record: bytes) -> RecordRow:
    try:
        return read_record(record)
    except InputError as error:
        return RecordRow({"kind": Kind.UNDECODED.value}, [error.message])
