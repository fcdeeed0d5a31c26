"""One segment of several, whose row groups are carried over byte for byte under a new footer.

A source is a file as pyarrow writes it, or one that was joined here:

    PAR1 | pages, Bloom filters | column and offset indexes | footer, its length, PAR1
    `------- its body --------'   `------------------ its tail -------------------'

The result is the bodies of all sources one behind the other, then all their indexes, then one
footer. A body moves as a whole, so every offset into it changes by the same amount. What moved
stands in the row groups of the footer and in the offset indexes; those are decoded and written
again. So a file joined of one source is that source.

A layout that is not known here is refused, never guessed: a field of a later version of Parquet may
be an offset too.

Source: parquet.thrift of Apache Parquet, from which the numbers of the fields are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.errors import InputError
from meshtrail.store.checked_file import check_digest, open_committed, read_checked
from meshtrail.store.thrift_compact import (
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Fields,
    decode_struct,
    encode_struct,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from meshtrail.store.durable import DurableWriter
    from meshtrail.store.manifest import CommittedFile

ROW_GROUPS_MAX: Final = (1 << 15) - 1
"""Row groups of one file: their ordinal is a signed 16-bit integer."""

_MAGIC: Final = b"PAR1"
_LENGTH_BYTES: Final = 4
_PIECE_BYTES: Final = 1 << 20

# FileMetaData
_ROWS: Final = 3
_GROUPS: Final = 4
_HEAD_NAMES: Final = {
    1: "version",
    2: "schema",
    5: "key_value_metadata",
    6: "created_by",
    7: "column_orders",
}
# RowGroup
_CHUNKS: Final = 1
_GROUP_OFFSET: Final = 5
_ORDINAL: Final = 7
_GROUP_KNOWN: Final = frozenset({_CHUNKS, 2, 3, _GROUP_OFFSET, 6, _ORDINAL})
# ColumnChunk. The length of an index is the field behind its offset.
_CHUNK_OFFSET: Final = 2
_META: Final = 3
_OFFSET_INDEX: Final = 4
_COLUMN_INDEX: Final = 6
_CHUNK_KNOWN: Final = frozenset({_CHUNK_OFFSET, _META, _OFFSET_INDEX, 5, _COLUMN_INDEX, 7})
# ColumnMetaData: offsets of data, index and dictionary pages, and of the Bloom filter.
_META_OFFSETS: Final = (9, 10, 11, 14)
_META_KNOWN: Final = frozenset({*range(1, 8), 12, 13, 15, 16, *_META_OFFSETS})
# OffsetIndex, PageLocation
_LOCATIONS: Final = 1
_INDEX_KNOWN: Final = frozenset({_LOCATIONS, 2})
_PAGE_OFFSET: Final = 1
_PAGE_KNOWN: Final = frozenset({_PAGE_OFFSET, 2, 3})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSource:
    """A committed segment that can be carried over.

    Attributes:
        body_end: where its tail begins.
    """

    committed: CommittedFile
    body_end: int
    rows_count: int
    row_groups_count: int


def read_join_source(root: Path, committed: CommittedFile) -> JoinSource:
    """Look at a segment that may be joined.

    Raises:
        MissingFileError, DigestError: it is gone, or was changed.

    Cost: memory for the file, which is read whole: pyarrow ends the process at some damaged
    footers, so it may only see bytes that were checked.
    """
    footer = pq.read_metadata(pa.BufferReader(read_checked(root, committed)))
    return JoinSource(
        committed=committed,
        body_end=_body_end(footer),
        rows_count=footer.num_rows,
        row_groups_count=footer.num_row_groups,
    )


def join_segments(
    sink: DurableWriter,
    root: Path,
    sources: Sequence[JoinSource],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Write the row groups of all sources as one Parquet file.

    Args:
        sink: where the bytes go, empty; the caller commits it.
        root: the data directory.
        sources: adjacent segments, in order.
        is_stopping: asked every MiB and every row group; the file is then left unfinished.

    Raises:
        MissingFileError, DigestError: a source is gone, or the bytes that were copied are not those
            that the manifest names.
        InputError: a layout that is not known here, sources that differ in more than their rows, or
            too many row groups.

    Cost: memory for the tails of all sources, about 17 kB for each row group, and the decoded
    footer of one, 400 kB for each of its row groups.
    """
    groups_count = sum(source.row_groups_count for source in sources)
    if groups_count > ROW_GROUPS_MAX:
        raise InputError(f"{groups_count} row groups, a file has at most {ROW_GROUPS_MAX}")
    moved: list[_Moved] = []
    sink.write(_MAGIC)
    for source in sources:
        shift = sink.tell() - len(_MAGIC)
        tail = _copy_body(sink, root, source, is_stopping)
        if tail is None:
            return
        moved.append(_Moved(source, shift, tail))
    try:
        _write_tail(sink, moved, is_stopping)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"a segment to be joined lacks a field of its footer: {error}") from error


def _write_tail(
    sink: DurableWriter, moved: Sequence[_Moved], is_stopping: Callable[[], bool]
) -> None:
    """Write the indexes of all sources and one footer."""
    head: Fields = {}
    groups: list[bytes] = []
    for part in moved:
        footer = part.read_footer()
        head = head or _head_of(footer)
        part.check_head(_head_of(footer), want=head)
        part.write_indexes(sink, footer)
        for group in footer[_GROUPS][1][1]:
            if is_stopping():
                return
            part.move_group(group, ordinal=len(groups))
            groups.append(encode_struct(group))
    rows_count = sum(part.source.rows_count for part in moved)
    head |= {_ROWS: (I64, rows_count), _GROUPS: (LIST, (STRUCT, groups))}
    data = encode_struct(dict(sorted(head.items())))
    sink.write(data + len(data).to_bytes(_LENGTH_BYTES, "little") + _MAGIC)


@dataclass(frozen=True, slots=True)
class _Moved:
    """A source whose body was copied and whose digest was checked.

    Attributes:
        shift: by how much its body moved.
        tail: what follows the body.
    """

    source: JoinSource
    shift: int
    tail: bytes

    def read_footer(self) -> Fields:
        """Decode the footer, which ends the tail."""
        end = len(self.tail) - _LENGTH_BYTES - len(_MAGIC)
        footer, got = decode_struct(self.tail, self._footer_start)
        if got != end:
            raise self._refusal(f"a footer of {end - got} bytes more than its fields")
        self._check_known("footer", footer, frozenset({_ROWS, _GROUPS, *_HEAD_NAMES}))
        for group in footer[_GROUPS][1][1]:
            self._check_known("row group", group, _GROUP_KNOWN)
            for chunk in _chunks(group):
                self._check_known("column chunk", chunk, _CHUNK_KNOWN)
                self._check_known("metadata of a column", chunk[_META][1], _META_KNOWN)
        return footer

    def check_head(self, got: Fields, *, want: Fields) -> None:
        """Raise unless schema, writer and whatever else stands once in a footer are the same."""
        differing = {number for number in want.keys() | got if want.get(number) != got.get(number)}
        if differing:
            names = ", ".join(_HEAD_NAMES.get(number, str(number)) for number in sorted(differing))
            raise self._refusal(f"another {names} than those before it")

    def write_indexes(self, sink: DurableWriter, footer: Fields) -> None:
        """Write column and offset indexes in the order of the source, and where they are now."""
        chunks = [chunk for group in footer[_GROUPS][1][1] for chunk in _chunks(group)]
        indexes = [
            (chunk[index][1], chunk[index + 1][1], index, chunk)
            for chunk in chunks
            for index in (_COLUMN_INDEX, _OFFSET_INDEX)
            if index in chunk
        ]
        position = 0
        for offset, length, index, chunk in sorted(indexes, key=lambda found: found[0]):
            if offset != self.source.body_end + position:
                raise self._refusal(f"an index at {offset}, where none was expected")
            data = self.tail[position : position + length]
            position += length
            if index == _OFFSET_INDEX:
                data = self._move_offset_index(data)
            chunk[index], chunk[index + 1] = (I64, sink.tell()), (I32, len(data))
            sink.write(data)
        if position != self._footer_start:
            raise self._refusal("bytes between its indexes and its footer")

    def move_group(self, group: Fields, *, ordinal: int) -> None:
        """Change what a row group says of where it is. Its indexes were moved before."""
        if _GROUP_OFFSET in group:
            self._move(group, _GROUP_OFFSET)
        if _ORDINAL in group:
            group[_ORDINAL] = I16, ordinal
        for chunk in _chunks(group):
            # Zero where the metadata of a column stand in the footer alone, as they do today.
            if chunk[_CHUNK_OFFSET][1]:
                self._move(chunk, _CHUNK_OFFSET)
            for number in _META_OFFSETS:
                if number in chunk[_META][1]:
                    self._move(chunk[_META][1], number)

    @property
    def _footer_start(self) -> int:
        """Where the footer begins in the tail."""
        lengths = len(self.tail) - _LENGTH_BYTES - len(_MAGIC)
        return lengths - int.from_bytes(self.tail[lengths:-4], "little")

    def _check_known(self, what: str, fields: Fields, known: frozenset[int]) -> None:
        if not fields.keys() <= known:
            raise self._refusal(f"a {what} with the fields {sorted(fields.keys() - known)}")

    def _move_offset_index(self, data: bytes) -> bytes:
        fields, _ = decode_struct(data)
        self._check_known("offset index", fields, _INDEX_KNOWN)
        for location in fields[_LOCATIONS][1][1]:
            self._check_known("page location", location, _PAGE_KNOWN)
            self._move(location, _PAGE_OFFSET)
        return encode_struct(fields)

    def _move(self, fields: Fields, number: int) -> None:
        kind, offset = fields[number]
        if not len(_MAGIC) <= offset < self.source.body_end:
            raise self._refusal(f"offset {offset} outside of the pages")
        fields[number] = kind, offset + self.shift

    def _refusal(self, what: str) -> InputError:
        path = self.source.committed.named.path
        return InputError(f"{path} has {what}", path=path)


def _copy_body(
    sink: DurableWriter, root: Path, source: JoinSource, is_stopping: Callable[[], bool]
) -> bytes | None:
    """Copy what stands behind the magic bytes, and check the whole file on the way.

    Returns:
        The tail; None when it was to stop.
    """
    digest = hashlib.sha256()
    with open_committed(root, source.committed) as file:
        digest.update(file.read(len(_MAGIC)))
        while left := source.body_end - file.tell():
            if is_stopping():
                return None
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                break
            digest.update(piece)
            sink.write(piece)
        tail = file.read()
    digest.update(tail)
    check_digest(source.committed, digest.digest())
    return tail


def _body_end(footer: pq.FileMetaData) -> int:
    """Where the last page or Bloom filter ends."""
    end = len(_MAGIC)
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for at in range(group.num_columns):
            chunk = group.column(at)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            end = max(end, start + chunk.total_compressed_size)
            if chunk.bloom_filter_offset is not None:
                end = max(end, chunk.bloom_filter_offset + chunk.bloom_filter_length)
    return end


def _head_of(footer: Fields) -> Fields:
    """The fields of a footer that do not speak of its rows."""
    return {number: field for number, field in footer.items() if number not in (_ROWS, _GROUPS)}


def _chunks(group: Fields) -> Iterator[Fields]:
    return iter(group[_CHUNKS][1][1])
