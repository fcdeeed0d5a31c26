"""Files to chunks that hold whole records, read through once and with bounded memory."""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from meshtrail.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES: Final = 4 << 20
LINE_BYTES_MAX: Final = 16 << 20
"""A longer line is refused: nothing that is imported writes one."""
DOCUMENT_BYTES_MAX: Final = 512 << 20
"""A file that is one JSON document, and has to be held as a whole."""

STANDARD_INPUT: Final = "-"
_GZIP: Final = b"\x1f\x8b"


@contextmanager
def open_records(path: Path) -> Iterator[BinaryIO]:
    """A file to read, or standard input for ``-``; what is packed with gzip is unpacked.

    Raises:
        InputError: the file cannot be opened.
    """
    if str(path) == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", path=path) from error
    with file:
        is_packed = file.peek(len(_GZIP)).startswith(_GZIP)
        yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if is_packed else file


def read_line_chunks(file: BinaryIO, *, name: str, start: bytes = b"") -> Iterator[bytes]:
    """Chunks that end with a line feed; the last one wherever the file ends.

    The same file gives the same chunks each time.

    Args:
        file: read from where it stands.
        name: for messages.
        start: what was read of it before.

    Raises:
        InputError: a line is over ``LINE_BYTES_MAX``, or the file does not read back.
    """
    rest = start
    while block := _read(file, CHUNK_BYTES, name):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
        if len(rest) > LINE_BYTES_MAX:
            raise InputError(
                f"{name}: a line of over {LINE_BYTES_MAX} bytes was refused; is this the format?",
                path=name,
            )
    if rest:
        yield rest


def read_document(file: BinaryIO, *, name: str) -> bytes:
    """All of a file that is one document.

    Raises:
        InputError: it has over ``DOCUMENT_BYTES_MAX``, or does not read back.
    """
    document = _read(file, DOCUMENT_BYTES_MAX + 1, name)
    if len(document) > DOCUMENT_BYTES_MAX:
        raise InputError(
            f"{name}: a document of over {DOCUMENT_BYTES_MAX} bytes; give it in parts", path=name
        )
    return document


def _read(file: BinaryIO, size: int, name: str) -> bytes:
    try:
        return file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name} does not read back: {error}", path=name) from error
