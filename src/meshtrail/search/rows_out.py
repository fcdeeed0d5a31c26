"""Found rows as they leave: table, JSON lines, CSV or Arrow, batch by batch.

Whatever came from outside is text that a terminal cannot act on: JSON and CSV escape it as tables
do. Arrow is for programs and has the columns as they are.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from meshtrail.search.json_lines import format_json_lines, plain_value
from meshtrail.search.table import TableLines, escape

if TYPE_CHECKING:
    from typing import BinaryIO


class RowWriter(Protocol):
    """Writes batches in one form."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch; the first batch also tells the columns."""
        ...

    def close(self) -> None:
        """Write what still waits."""
        ...


class JsonWriter:
    """One JSON object a line."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write(self, batch: pa.RecordBatch) -> None:
        """Write one line for each row."""
        self._sink.write("".join(f"{line}\n" for line in format_json_lines(batch)).encode())

    def close(self) -> None:
        """Nothing waits."""


class CsvWriter:
    """RFC 4180 with a header line; null is an empty cell, an empty text ``""``."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._is_begun = False

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the header with the first batch, and one line for each row."""
        text = io.StringIO()
        # Only texts are quoted, so that null and "" differ.
        writer = csv.writer(text, quoting=csv.QUOTE_MINIMAL)
        names = batch.schema.names
        if not self._is_begun:
            writer.writerow(names)
            self._is_begun = True
        for row in batch.to_pylist():
            writer.writerow([_csv_cell(name, row[name]) for name in names])
        self._sink.write(text.getvalue().encode())

    def close(self) -> None:
        """Nothing waits."""


class ArrowWriter:
    """An Arrow IPC stream."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._stream: pa.RecordBatchStreamWriter | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a batch; the schema goes before the first."""
        if self._stream is None:
            self._stream = pa.ipc.new_stream(self._sink, batch.schema)
        if batch.num_rows:
            self._stream.write_batch(batch)

    def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            self._stream.close()


class TableWriter:
    """An aligned table for people.

    Rows wait until all are there, so that columns fit; ``is_following`` writes each batch at once,
    with columns that grow as wider cells come.
    """

    def __init__(self, sink: BinaryIO, lines: TableLines, *, is_following: bool = False) -> None:
        self._sink = sink
        self._lines = lines
        self._is_following = is_following

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch."""
        self._lines.add(batch)
        if self._is_following and batch.num_rows:
            self.close()

    def close(self) -> None:
        """Write the rows that wait."""
        self._sink.write("".join(f"{line}\n" for line in self._lines.take()).encode())


def _csv_cell(name: str, value: object) -> object:
    plain = plain_value(name, value)
    return escape(plain) if isinstance(plain, str) else plain
