"""The header of a journal file.

Specified in docs/formats/journal.md.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from zlib_ng.zlib_ng import crc32

from meshtrail.errors import InputError
from meshtrail.journal.file_positions import FilePosition, parse_position
from meshtrail.journal.recent_exports import EXPORT_DIGEST_BYTES
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FILE_MAGIC = b"MTJOURN1"
EXPORTS_MAGIC = b"MTJOURN2"
"""Of a header with digests of exports behind its JSON."""

_MAGIC_BYTES = len(FILE_MAGIC)
_LENGTHS = struct.Struct(">II")
_LENGTHS_WITH_EXPORTS = struct.Struct(">III")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStream:
    """A stream that was opened and not closed, as far as the journal holds it.

    Attributes:
        next_seq: ``seq`` of its next entry.
        frames_count: frames of records.
        records_count: records in them.
    """

    next_seq: int
    frames_count: int
    records_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousFile:
    """The file before, and its final length."""

    file_number: int
    file_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """What the head of a journal file says.

    Attributes:
        writer: name of the journal.
        file_number: the file's own number.
        created_ns: on the writer's wall clock.
        previous: None when the journal was started anew.
        open_streams: by stream, as of the end of the file before.
        recent_exports: digests of the last exports joined, oldest first, as of the same.
        positions: how far files were taken, by device and inode, as of the same.
    """

    writer: str
    file_number: int
    created_ns: UnixNanos
    previous: PreviousFile | None
    open_streams: Mapping[int, OpenStream]
    recent_exports: bytes = b""
    positions: tuple[FilePosition, ...] = ()

    def encode(self) -> bytes:
        """The header's bytes."""
        before = self.previous
        previous = before and {"bytes": before.file_bytes, "file": before.file_number}
        text = json.dumps(
            {
                "created_ns": self.created_ns,
                "file": self.file_number,
                "open_streams": [
                    [stream, state.next_seq, state.frames_count, state.records_count]
                    for stream, state in sorted(self.open_streams.items())
                ],
                "previous": previous,
                "writer": self.writer,
                **self._positions_json(),
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        exports = self.recent_exports
        crc = crc32(exports, crc32(text))
        if not exports:
            return FILE_MAGIC + _LENGTHS.pack(len(text), crc) + text
        head = _LENGTHS_WITH_EXPORTS.pack(len(text), crc, len(exports) // EXPORT_DIGEST_BYTES)
        return EXPORTS_MAGIC + head + text + exports

    def _positions_json(self) -> dict[str, list[dict[str, Any]]]:
        """Of a journal that follows no file the header is what it was before there were any."""
        in_order = sorted(self.positions, key=lambda position: position.identity)
        positions = [position.as_json() for position in in_order]
        return {"positions": positions} if positions else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHeader:
    """A header as it was read.

    Attributes:
        header: what it says.
        header_bytes: its length; the first batch stands behind it.
        seed: CRC-32 of all its bytes, with which the CRC of each batch of the file begins.
    """

    header: FileHeader
    header_bytes: int
    seed: int


def header_seed(encoded: bytes) -> int:
    """The CRC-32 of a header, with which the CRC of each batch of its file begins."""
    return crc32(encoded)


class _Head(NamedTuple):
    """What stands before the JSON."""

    crc: int
    json_start: int
    json_end: int
    end: int


def header_bytes_declared(beginning: bytes) -> int | None:
    """How long the header at the beginning of a file says it is; None when there is none."""
    head = _read_head(beginning)
    return head and head.end


def _read_head(beginning: bytes) -> _Head | None:
    magic = beginning[:_MAGIC_BYTES]
    if magic not in {FILE_MAGIC, EXPORTS_MAGIC}:
        return None
    lengths = _LENGTHS_WITH_EXPORTS if magic == EXPORTS_MAGIC else _LENGTHS
    json_start = _MAGIC_BYTES + lengths.size
    if len(beginning) < json_start:
        return None
    json_bytes, crc, *exports = lengths.unpack_from(beginning, _MAGIC_BYTES)
    json_end = json_start + json_bytes
    return _Head(crc, json_start, json_end, json_end + EXPORT_DIGEST_BYTES * sum(exports))


def decode_header(beginning: bytes) -> ReadHeader:
    """Read the header at the beginning of a file.

    Raises:
        InputError: it is short, fails its CRC or is not what ``FileHeader.encode`` writes.
    """
    head = _read_head(beginning)
    if head is None or len(beginning) < head.end:
        raise InputError(f"not a journal file header: {beginning[:16].hex()}")
    encoded = beginning[: head.end]
    if crc32(encoded[head.json_start :]) != head.crc:
        raise InputError(f"journal file header fails its CRC {head.crc:08x}", crc=head.crc)
    try:
        header = _parse_json(encoded[head.json_start : head.json_end], encoded[head.json_end :])
        is_canonical = header.encode() == encoded
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"journal file header without what it must say: {error!r}") from error
    if not is_canonical:
        raise InputError("journal file header is not in its canonical form")
    return ReadHeader(header=header, header_bytes=head.end, seed=header_seed(encoded))


def _parse_json(text: bytes, recent_exports: bytes) -> FileHeader:
    fields = json.loads(text)
    previous = fields["previous"]
    return FileHeader(
        writer=fields["writer"],
        file_number=fields["file"],
        created_ns=UnixNanos(fields["created_ns"]),
        previous=None
        if previous is None
        else PreviousFile(file_number=previous["file"], file_bytes=previous["bytes"]),
        open_streams={
            stream: OpenStream(
                next_seq=next_seq, frames_count=frames_count, records_count=records_count
            )
            for stream, next_seq, frames_count, records_count in fields["open_streams"]
        },
        recent_exports=recent_exports,
        positions=tuple(_parse_positions(fields.get("positions", ()))),
    )


def _parse_positions(plain: Sequence[object]) -> Iterator[FilePosition]:
    for one in plain:
        told = parse_position(one)
        if not isinstance(told, FilePosition):
            raise ValueError("a header tells of a file that is forgotten")  # noqa: TRY004 - one kind of error
        yield told
