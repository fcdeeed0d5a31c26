"""Found events with what the log says of the pods at both ends, for ``search --with-workloads``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from meshtrail.correlate.workloads import ENRICH_COLUMNS, VIEW_COLUMNS, enrich
from meshtrail.model.event import BY_NAME, EVENT_SCHEMA
from meshtrail.search.fields import find_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.correlate.workloads import AddressHistory

ALL_COLUMNS: Final = (*EVENT_SCHEMA.names, *VIEW_COLUMNS)
"""The columns of events, and those that the view adds."""


def find_column(name: str) -> str:
    """The column that is called ``name``, by its name or its short one.

    Raises:
        QueryError: there is no such column.
    """
    return name if name in VIEW_COLUMNS else find_field(name).name


def needed_columns(columns: Sequence[str]) -> list[str]:
    """The event columns that are read to show some columns."""
    return list(dict.fromkeys(name for name in (*columns, *ENRICH_COLUMNS) if name in BY_NAME))


class WorkloadView:
    """Rows of events as they are shown with the pods of both ends."""

    def __init__(self, history: AddressHistory, columns: Sequence[str]) -> None:
        """Take what is known of pods.

        Args:
            history: of the same log.
            columns: of ``ALL_COLUMNS``, those to show.
        """
        self._history = history
        self._columns = list(columns)

    def show(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The columns to show of some found events, row for row.

        Args:
            batch: with the ``needed_columns``.
        """
        table = enrich(pa.Table.from_batches([batch]), self._history).select(self._columns)
        return table.combine_chunks().to_batches()[0] if batch.num_rows else _empty(table.schema)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)
