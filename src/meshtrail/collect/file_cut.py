"""A file of records to the pieces that are journaled, in chunks of bounded size: framing only.

Most files are lines, and are read through. Some are one document, and have to be held as a whole: a
list in JSON, a git log, an export of OTLP that goes over several lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from meshtrail.collect.element_cut import cut_elements, holds_lines
from meshtrail.collect.export import CutPart, StreamKind
from meshtrail.collect.file_chunks import CHUNK_BYTES, read_document, read_line_chunks
from meshtrail.collect.http_claims import decode_claims
from meshtrail.collect.opening import Claims
from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.collect.record_cut import cut_lines, cut_records, keep_whole
from meshtrail.errors import InputError
from meshtrail.model.record_formats import GIT_LOG, LISTED_FORMATS, OTLP_JSON, RECORD_FORMATS
from meshtrail.sources.otlp_frame import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from meshtrail.collect.pieces import Piece
    from meshtrail.model.entry import PayloadFormat

ELEMENTS_COUNT_MAX: Final = 1 << 20

FILE_CLAIMS: Final = Claims(decode=decode_claims, none_said="nobody says whose file it is")


class FileChunk(NamedTuple):
    """What is journaled together.

    Attributes:
        kind: of its streams.
        parts: the pieces, by whose they are.
    """

    kind: StreamKind
    parts: list[CutPart]

    @property
    def pieces(self) -> list[Piece]:
        """All of them, in order."""
        return [piece for part in self.parts for piece in part.pieces]


def read_file(name: str, file: BinaryIO, *, path: str, claims: bytes) -> Iterator[FileChunk]:
    """Cut a file; the same one gives the same chunks each time.

    Args:
        name: of the format, one of ``RECORD_FORMATS`` or ``OTLP_JSON``.
        file: read through.
        path: of it, for messages.
        claims: whose it is.

    Raises:
        InputError: it is not of this format, or does not read back; what came before stays.
    """
    if name == OTLP_JSON:
        yield from _read_exports(file, path, claims)
        return
    kind = StreamKind(name, "", FILE_CLAIMS)
    for pieces in _read_pieces(name, file, path):
        yield FileChunk(kind, [CutPart(claims, pieces)])


def _read_pieces(name: str, file: BinaryIO, path: str) -> Iterator[list[Piece]]:
    payload_format = RECORD_FORMATS[name]
    if name == GIT_LOG:
        yield from _in_chunks(cut_records(name, read_document(file, name=path)))
    elif name not in LISTED_FORMATS:
        for chunk in read_line_chunks(file, name=path):
            yield cut_lines(chunk, payload_format)
    else:
        for body, is_lines in _read_json(file, path):
            if is_lines:
                yield cut_lines(body, payload_format)
            else:
                yield from _in_chunks(_cut_document(body, payload_format))


def _cut_document(body: bytes, payload_format: PayloadFormat) -> list[Piece]:
    try:
        return cut_elements(body, payload_format, elements_count_max=ELEMENTS_COUNT_MAX)
    except InputError:
        # The first line of a file that was rotated may be the end of one.
        if holds_lines(body.partition(b"\n")[2]):
            return cut_lines(body, payload_format)
        raise


def _read_exports(file: BinaryIO, path: str, claims: bytes) -> Iterator[FileChunk]:
    """Exports of OTLP, one to a line or one to the file; a line that is none is kept as it is."""
    for data, is_lines in _read_json(file, path):
        if not is_lines:
            yield _cut_export(data, path)
            continue
        # Many lines are journaled together: each alone would wait for the disk.
        parts: dict[StreamKind, list[CutPart]] = {}
        for body in data.split(b"\n"):
            if body.strip():
                try:
                    chunk = _cut_export(body, path)
                except InputError:
                    kind = StreamKind(OTLP_JSON, "", FILE_CLAIMS)
                    chunk = FileChunk(kind, [CutPart(claims, [keep_whole(body)])])
                parts.setdefault(chunk.kind, []).extend(chunk.parts)
        for kind, cut in parts.items():
            yield FileChunk(kind, cut)


def _cut_export(body: bytes, path: str) -> FileChunk:
    """One export.

    Raises:
        InputError: it is none.
    """
    export = OtlpExport(body=body, signal=_signal_of(body, path), is_json=True)
    cut = export.cut()
    if cut.refusal is not None:
        raise InputError(f"{path}: {cut.refusal.message}", path=path) from cut.refusal
    return FileChunk(export.kind, cut.parts)


def _read_json(file: BinaryIO, path: str) -> Iterator[tuple[bytes, bool]]:
    """Chunks of lines, and that they are; or all of a file that is one document."""
    start = file.read(CHUNK_BYTES)
    if holds_lines(start):
        for chunk in read_line_chunks(file, name=path, start=start):
            yield chunk, True
    elif start.strip():
        yield start + read_document(file, name=path), False


def _in_chunks(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Pieces, a chunk's worth at a time."""
    chunk: list[Piece] = []
    chunk_bytes = 0
    for piece in pieces:
        if chunk_bytes > CHUNK_BYTES:
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(piece)
        chunk_bytes += len(piece.data)
    if chunk:
        yield chunk


def _signal_of(body: bytes, path: str) -> Signal:
    """What an export is of, by the one list that all exports have.

    Raises:
        InputError: it is none.
    """
    try:
        members: dict[str, Any] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no export of OTLP in JSON: {error}", path=path) from error
    for signal in Signal:
        if signal.resources_name in members or _snake(signal.resources_name) in members:
            return signal
    names = ", ".join(signal.resources_name for signal in Signal)
    raise InputError(f"{path}: no export of OTLP: it has none of {names}", path=path)


def _snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name)
