"""Committed segments to be joined, and footers to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.store.durable import Disk, DurableWriter, write_file
from meshtrail.store.joined_segment import JoinSource, join_segments, read_join_source
from meshtrail.store.layout import segment_file
from meshtrail.store.manifest import CommittedFile
from meshtrail.store.segment import write_segment
from meshtrail.store.thrift_compact import Fields, decode_struct, encode_struct
from tests.segment_rows import segment_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa

ROWS = 400
TABLE = segment_table(0, ROWS)
NAMED = segment_file(0, 1_000_000)
"""Where results go; sources are named by their rows."""


class Sources:
    """Committed segments, one behind the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "segments").mkdir()
        self.files: list[CommittedFile] = []
        self.end = 0

    def add(self, *tables: pa.Table, change: Callable[[Fields], Fields] | None = None) -> None:
        """Write a segment of the tables' rows, and change its footer afterwards."""
        rows = sum(table.num_rows for table in tables)
        named = segment_file(self.end, self.end + rows)
        path = self.root / named.path
        with DurableWriter(Disk(), path) as sink:
            write_segment(sink, tables, rows)
            committed = sink.commit()
        if change:
            committed = write_file(Disk(), path, with_footer(path.read_bytes(), change))
        self.files.append(CommittedFile(named, *committed))
        self.end += rows

    def join(self, files: Sequence[CommittedFile] = ()) -> CommittedFile:
        """All of them, or some, as one file."""
        with DurableWriter(Disk(), self.root / NAMED.path) as sink:
            join_segments(sink, self.root, self.read(files))
            return CommittedFile(NAMED, *sink.commit())

    def read(self, files: Sequence[CommittedFile] = ()) -> list[JoinSource]:
        return [read_join_source(self.root, file) for file in files or self.files]

    def path(self, number: int) -> Path:
        return self.root / self.files[number].named.path

    @property
    def joined(self) -> Path:
        return self.root / NAMED.path


def footer_start(data: bytes) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def with_footer(data: bytes, change: Callable[[Fields], Fields]) -> bytes:
    start = footer_start(data)
    footer = encode_struct(change(decode_struct(data, start)[0]))
    return data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
