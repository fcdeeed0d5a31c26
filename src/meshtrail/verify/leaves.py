"""The entries of one piece of a segment: their leaf hashes, headers and header columns.

Runs in a worker. Everything is whole columns but for the hash of each entry. The hashes go back to
the one process that rebuilds the tree; here nothing is compared with tiles or checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meshtrail.errors import ClockError, EventError
from meshtrail.merkle import hash_leaves
from meshtrail.model.entry import (
    ENTRY_VERSION,
    HEADER_BYTES,
    HEADER_DTYPE,
    EntryFlags,
    EntryType,
    PayloadFormat,
)
from meshtrail.verify.blob_references import BlobReference, find_references
from meshtrail.verify.findings import Finding, PieceFindings, tampered
from meshtrail.verify.streams import StreamRuns, find_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

HEADER_COLUMNS: Final = ("log", "log_index", "received_time", "stream", "seq", "payload_format")
"""Event columns that only repeat the header, its place and the log's name."""

FORMAT_NAMES: Final = {int(code): code.name.lower().replace("_", "-") for code in PayloadFormat}
"""What the ``payload_format`` column calls each code."""

BATCH_ROWS: Final = 16_384
"""Rows decoded at a time, unless they are too long: as many as a full row group has."""

BATCH_BYTES: Final = 32 << 20
"""Bytes decoded at a time, as far as the file tells before, so that memory stays small."""

_KNOWN_TYPES: Final = np.array([int(code) for code in EntryType])
_KNOWN_FORMATS: Final = np.array(sorted(FORMAT_NAMES))
_UNKNOWN_FLAGS: Final = 0xFFFF & ~sum(int(flag) for flag in EntryFlags)
_FOLLOWED: Final = (EntryType.STREAM_OPENED, EntryType.STREAM_CLOSED, EntryType.CLOCK)
"""What the derivation of later entries needs to know of."""
_READ_ERRORS: Final = (pa.ArrowException, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive rows of one segment, to be examined in one go.

    Attributes:
        path: where the segment lies; ``name`` is its path in DATA.
        start: leaf index of the first row, ``end`` that after the last.
        row_groups: the row groups that hold these rows; none when they cannot be read.
        skip: rows of the first row group that come before ``start``.
        is_deep: whether the entries that open and close streams are wanted back.
    """

    path: str
    name: str
    start: int
    end: int
    row_groups: tuple[int, ...]
    skip: int
    origin: str
    is_deep: bool


@dataclass(slots=True)
class Examined:
    """What is known of a piece once its entries were read.

    Attributes:
        leaf_hashes: uint8[n * 32]; None when the entries cannot be read.
        runs: the streams in it, see ``streams``.
        received_first, received_last: of its first and last entry.
        openings: the entries that open or close a stream, or state a clock, in order; only for a
            deep audit.
    """

    start: int
    end: int
    leaf_hashes: bytes | None = None
    is_gone: bool = False
    runs: StreamRuns | None = None
    received_first: int = 0
    received_last: int = 0
    references: list[BlobReference] = field(default_factory=list)
    openings: list[bytes] = field(default_factory=list)
    found: PieceFindings = field(default_factory=PieceFindings)


def examine(piece: Piece) -> Examined:
    """Read and check the entries of a piece; the work of one worker."""
    done = Examined(piece.start, piece.end)
    if not piece.row_groups:
        return done
    hashes: list[bytes] = []
    headers: list[npt.NDArray[np.void]] = []
    position = piece.start
    try:
        for table in read_rows(piece, ["entry", *HEADER_COLUMNS], ["log", "payload_format"]):
            entries = table.column("entry").chunk(0)
            hashes.append(hash_leaves(entry_slices(entries)))
            header = _read_headers(entries, position, done)
            _check_columns(table, header, position, piece, done)
            _collect(entries, header, position, piece, done)
            headers.append(header)
            position += table.num_rows
    except FileNotFoundError:
        done.is_gone = True
        return done
    except _READ_ERRORS as error:
        done.found.kept.append(_unreadable(piece, position, str(error)))
        return done
    if position != piece.end:
        done.found.kept.append(_unreadable(piece, position, "it ends early"))
        return done
    done.leaf_hashes = b"".join(hashes)
    _check_headers(np.concatenate(headers), piece.start, done)
    return done


def read_rows(piece: Piece, columns: list[str], dictionaries: list[str]) -> Iterator[pa.Table]:
    """The rows of a piece, at most a full row group's at a time; every column in one chunk.

    Args:
        piece: which rows.
        columns: what to read of them.
        dictionaries: string columns to be read as dictionary arrays.
    """
    skip, left = piece.skip, piece.end - piece.start
    stat = Path(piece.path).stat()
    footer = _read_footer(piece.path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    with pq.ParquetFile(piece.path, metadata=footer, read_dictionary=dictionaries) as file:
        batches = file.iter_batches(
            batch_size=_batch_rows(footer, piece, columns),
            row_groups=list(piece.row_groups),
            columns=columns,
            use_threads=False,
        )
        for batch in batches:
            chosen = batch.slice(skip, left)
            skip = max(skip - batch.num_rows, 0)
            if chosen.num_rows:
                left -= chosen.num_rows
                yield pa.Table.from_batches([chosen])


@lru_cache(maxsize=2)
def _read_footer(path: str, _identity: tuple[int, int, int]) -> pq.FileMetaData:
    """The footer of a segment, kept for its next piece: one of 1.2 MB takes 16 ms to read."""
    return pq.read_metadata(path)


def _batch_rows(footer: pq.FileMetaData, piece: Piece, columns: list[str]) -> int:
    """How many rows to decode at a time; the longest row group decides for all."""
    places = [at for at, name in enumerate(footer.schema.names) if name in columns]
    row_bytes = 1
    for number in piece.row_groups:
        # A file that was put there since may have fewer; that it cannot be read is told later.
        if number < footer.num_row_groups:
            group = footer.row_group(number)
            length = sum(group.column(at).total_uncompressed_size for at in places)
            row_bytes = max(row_bytes, length // max(group.num_rows, 1))
    return max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))


def entry_slices(entries: pa.Array) -> Iterator[memoryview]:
    """The bytes of each entry, without a copy.

    Args:
        entries: binary[n] without nulls.
    """
    offsets = _offsets(entries).tolist()
    data = memoryview(entries.buffers()[2] or b"")
    return (data[start:end] for start, end in pairwise(offsets))


def _offsets(entries: pa.Array) -> npt.NDArray[np.int32]:
    """Where each entry begins in the data buffer, and where the last one ends."""
    offsets = np.frombuffer(entries.buffers()[1], dtype=np.int32)
    return offsets[entries.offset : entries.offset + len(entries) + 1]


def _read_headers(entries: pa.Array, start: int, done: Examined) -> npt.NDArray[np.void]:
    """The header of each entry; zeros, and a finding, where there is none."""
    offsets = _offsets(entries)
    lengths = np.diff(offsets)
    too_short = np.flatnonzero(lengths < HEADER_BYTES)
    if not len(too_short):
        cut = pc.binary_slice(entries, 0, HEADER_BYTES)
        return np.frombuffer(cut.buffers()[2] or b"", HEADER_DTYPE, len(cut))
    done.found.add_rows(
        too_short.tolist(), lambda row: _not_an_entry(start + row, f"it has {lengths[row]} bytes")
    )
    headers = np.zeros(len(entries), dtype=HEADER_DTYPE)
    for row in np.flatnonzero(lengths >= HEADER_BYTES):
        headers[row] = np.frombuffer(entries[int(row)].as_py(), HEADER_DTYPE, count=1)[0]
    return headers


def _check_headers(headers: npt.NDArray[np.void], start: int, done: Examined) -> None:
    """Headers are of version 1, time never decreases, streams count without holes."""
    kinds = headers["entry_type"].astype(np.int64)
    streams = headers["stream"].astype(np.int64)
    seqs = headers["seq"].astype(np.int64)
    bad = (
        (headers["version"] != ENTRY_VERSION)
        | (headers["reserved"] != 0)
        | ((headers["flags"] & _UNKNOWN_FLAGS) != 0)
        | ~np.isin(kinds, _KNOWN_TYPES)
        | ~np.isin(headers["payload_format"], _KNOWN_FORMATS)
        | (streams < 1)
        | (seqs < 0)
    )
    done.found.add_rows(
        np.flatnonzero(bad).tolist(),
        lambda row: _not_an_entry(start + row, f"its header is {headers[row].tobytes().hex()}"),
    )
    received = headers["received_ns"].astype(np.int64)
    done.found.add_rows(
        (np.flatnonzero(received[1:] < received[:-1]) + 1).tolist(),
        lambda row: clock_finding(start + row, int(received[row - 1]), int(received[row])),
    )
    done.received_first, done.received_last = int(received[0]), int(received[-1])
    done.runs = find_runs(streams, seqs, kinds, start=start, found=done.found)


def clock_finding(leaf_index: int, before: int, got: int) -> Finding:
    """An entry that was received before the one in front of it."""
    return tampered(
        ClockError(
            f"entry {leaf_index} was received at {got} ns, the one before it at {before} ns",
            leaf_index=leaf_index,
            want=before,
            got=got,
        ),
        f"entry {leaf_index}",
    )


def event_finding(leaf_index: int, column: str, want: object, got: object) -> Finding:
    """An event column that says something else than its entry."""
    return tampered(
        EventError(
            f"the event of entry {leaf_index} has {column} {got!r:.80}, "
            f"its entry makes {want!r:.80}",
            leaf_index=leaf_index,
            column=column,
            want=want,
            got=got,
        ),
        f"entry {leaf_index}",
    )


def _check_columns(
    table: pa.Table, headers: npt.NDArray[np.void], start: int, piece: Piece, done: Examined
) -> None:
    """The columns that repeat the header do so."""
    numbers = {
        "log_index": np.arange(start, start + len(headers), dtype=np.int64),
        "received_time": headers["received_ns"].astype(np.int64),
        "stream": headers["stream"].astype(np.int64),
        "seq": headers["seq"].astype(np.int64),
    }
    for name, want in numbers.items():
        column = table.column(name).chunk(0)
        if not column.equals(pa.array(want, column.type)):
            differs = pc.fill_null(pc.not_equal(column, pa.array(want)), fill_value=True)
            rows = np.flatnonzero(differs.to_numpy(zero_copy_only=False))
            _blame_column(done, rows, name=name, want=want.tolist(), column=column, start=start)
    formats = headers["payload_format"].astype(np.int64)
    names = {
        "payload_format": (formats, FORMAT_NAMES),
        "log": (np.zeros(len(headers), dtype=np.int64), {0: piece.origin}),
    }
    for name, (codes, texts) in names.items():
        column = table.column(name).chunk(0)
        rows = np.flatnonzero(_codes_of(column, texts) != codes)
        if len(rows):
            said = [texts.get(int(code)) for code in codes]
            _blame_column(done, rows, name=name, want=said, column=column, start=start)


def _codes_of(column: pa.DictionaryArray, texts: dict[int, str]) -> npt.NDArray[np.int64]:
    """The code that each value of a string column names; -1 for a null or an unknown one."""
    by_text = {text: code for code, text in texts.items()}
    values = [by_text.get(value, -1) for value in column.dictionary.to_pylist()]
    indices = column.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    codes: npt.NDArray[np.int64] = np.array([*values, -1], dtype=np.int64)[indices]
    return codes


def _blame_column(
    done: Examined,
    rows: npt.NDArray[np.int64],
    *,
    name: str,
    want: list[Any],
    column: pa.Array,
    start: int,
) -> None:
    done.found.add_rows(
        rows.tolist(),
        lambda row: event_finding(start + row, name, want[row], column[row].as_py()),
    )


def _collect(
    entries: pa.Array, headers: npt.NDArray[np.void], start: int, piece: Piece, done: Examined
) -> None:
    """What other checks need of these entries: blobs that they name, streams that they open."""
    done.references += find_references(entries, headers, start)
    if piece.is_deep:
        kinds = headers["entry_type"]
        is_stream = np.isin(kinds, _FOLLOWED)
        done.openings += [entries[int(row)].as_py() for row in np.flatnonzero(is_stream)]


def _not_an_entry(leaf_index: int, why: str) -> Finding:
    return tampered(
        EventError(
            f"entry {leaf_index} is no entry of version {ENTRY_VERSION}: {why}",
            leaf_index=leaf_index,
        ),
        f"entry {leaf_index}",
    )


def _unreadable(piece: Piece, position: int, why: str) -> Finding:
    return tampered(
        EventError(
            f"{piece.name} cannot be read from entry {position} on, although it is the file that "
            f"the manifest names: {why[:200]}",
            path=piece.name,
            leaf_index=position,
        ),
        piece.name,
    )
