"""One open file that is read as it grows: whole lines, from where the last one ended.

Reads only; a file is never changed. That it is still what was read of it is seen by its length and
by its first bytes: both are looked at before and after each read.
"""

from __future__ import annotations

import hashlib
import os
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from meshtrail.collect.record_cut import FRAME_BYTES_MAX
from meshtrail.collect.tail.parts import Beginning, Gap, Lines, TailCause
from meshtrail.journal import FINGERPRINT_BYTES_MAX, FileIdentity, FilePosition
from meshtrail.sources.line_slices import count_lines

if TYPE_CHECKING:
    from meshtrail.collect.tail.options import TailOptions
    from meshtrail.collect.tail.parts import Part
    from meshtrail.journal import FileState

FRAME_LINES_MAX: Final = 16_384
"""Lines in a frame: an empty record costs its entry all the same."""

_LINE_FEED: Final = b"\n"


class TailedFile:
    """A regular file, open for reading. Not safe for threads: one at a time uses it.

    Args:
        fd: of the file; closed by ``close``.
        tail: what is said of it.
        path: under which it was found.
        target: where that led.
        line_bytes_max: of a longer line only the beginning is taken.

    Attributes:
        tail: the same.
        path: the same; another one once it is found there.
        target: the same.
        identity: of the file.
        offset: everything before it was taken.
        is_due: whether it has to be looked at: a look may find something.
        away_ns: since when it is found under no path that is read; None while it is.
        touched_ns: when it was last seen to have another length.
    """

    def __init__(
        self, fd: int, *, tail: TailOptions, path: str, target: str, line_bytes_max: int
    ) -> None:
        found = os.fstat(fd)
        self.tail = tail
        self.path = path
        self.target = target
        self.identity = FileIdentity(found.st_dev, found.st_ino)
        self.offset = 0
        self.is_due = True
        self.away_ns: int | None = None
        self.touched_ns = 0
        self._fd = fd
        self._line_bytes_max = line_bytes_max
        self._line_start: int | None = None
        self._head = b""
        # Behind the offset, without a line feed: they need not be looked at again.
        self._scanned_bytes = 0
        self._seen_bytes = found.st_size

    @property
    def head(self) -> bytes:
        """The first bytes, of those that were taken: what tells this file from others."""
        return self._head

    @property
    def behind_bytes(self) -> int:
        """What was there at the last look and is not taken yet."""
        return max(self._seen_bytes - self.offset, 0)

    @property
    def is_named(self) -> bool:
        """Whether it still has a name somewhere."""
        return os.fstat(self._fd).st_nlink > 0

    def resume(self, position: FilePosition) -> bool:
        """Go on where it was left; False when it no longer holds what was read of it.

        Raises:
            OSError: the file cannot be read.
        """
        head = os.pread(self._fd, position.fingerprint_bytes, 0)
        is_same = (
            self._seen_bytes >= position.offset
            and len(head) == position.fingerprint_bytes
            and hashlib.sha256(head).digest() == position.fingerprint
        )
        if is_same:
            self.offset = position.offset
            self._line_start = position.line_start
            self._head = head
        return is_same

    def position(self, state: FileState, *, seen_ns: int) -> FilePosition:
        """How far it was taken."""
        return FilePosition(
            device=self.identity.device,
            inode=self.identity.inode,
            path=self.path,
            target=self.target,
            offset=self.offset,
            line_start=self._line_start,
            fingerprint=hashlib.sha256(self._head).digest(),
            fingerprint_bytes=len(self._head),
            state=state,
            seen_ns=seen_ns,
        )

    def read(self, now_ns: int) -> list[Part] | None:
        """Take what comes next; None when there is nothing, until the next look.

        Returns:
            What was taken, in order; an empty list when only the position has moved.

        Raises:
            OSError: the file cannot be read.
        """
        gap = self._find_change(now_ns)
        if gap is not None:
            return [gap]
        data = self._fetch()
        # What was read of a file that begins anew meanwhile may be a piece of either.
        gap = self._find_change(now_ns)
        if gap is not None:
            return [gap]
        parts = self._take(data)
        self.is_due = parts is not None and self.offset < self._seen_bytes
        return parts

    def finish(self) -> list[Part]:
        """Take what stands behind the last line feed: whoever wrote it is gone.

        Raises:
            OSError: the file cannot be read.
        """
        if self._line_start is not None:
            return [self._end_long(self._line_start, self.offset)]
        data = os.pread(self._fd, self._scanned_bytes, self.offset)
        self._advance(data)
        return [Lines(data, 1)] if data else []

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _find_change(self, now_ns: int) -> Gap | None:
        """A gap when the file became shorter, or begins with something else than it did."""
        size = os.fstat(self._fd).st_size
        if size != self._seen_bytes:
            self.touched_ns = now_ns
        if size < self.offset or not self._begins_with_head():
            gap = self._truncated(self._seen_bytes - self.offset, "it begins anew")
            self.offset, self._head, self._line_start = 0, b"", None
        elif size < self._seen_bytes:
            gap = self._truncated(self._seen_bytes - size, f"it was cut to {size} bytes")
        else:
            self._seen_bytes = size
            return None
        self._scanned_bytes, self._seen_bytes = 0, size
        return gap

    def _begins_with_head(self) -> bool:
        return os.pread(self._fd, len(self._head), 0) == self._head

    def _truncated(self, lost_bytes: int, how: str) -> Gap:
        return Gap(
            TailCause.TRUNCATED,
            self.path,
            since_ns=None,
            bytes_min=lost_bytes,
            bytes_max=None,
            records_max=None,
            detail=f"{how}, {self.offset} bytes of it had been taken",
        )

    def _fetch(self) -> bytes:
        """The bytes at the offset: lines up to a line feed, or too much of one that has none yet.

        None of a line that is not complete: it waits for the rest, and is not read twice for it.
        """
        chunk = self._fetch_chunk()
        if self._line_start is not None:
            return chunk
        while chunk and _LINE_FEED not in chunk and self._scanned_bytes <= self._line_bytes_max:
            self._scanned_bytes += len(chunk)
            chunk = self._fetch_chunk()
        if _LINE_FEED in chunk:
            end = chunk.rindex(_LINE_FEED) + 1
            if not self._scanned_bytes:
                return chunk[:end]
            return os.pread(self._fd, self._scanned_bytes + end, self.offset)
        if self._scanned_bytes > self._line_bytes_max:
            return os.pread(self._fd, self._line_bytes_max, self.offset)
        return b""

    def _fetch_chunk(self) -> bytes:
        start = self.offset + self._scanned_bytes
        return os.pread(self._fd, max(min(FRAME_BYTES_MAX, self._seen_bytes - start), 0), start)

    def _take(self, data: bytes) -> list[Part] | None:
        if not data:
            return None
        if self._line_start is not None:
            return self._skip(data, self._line_start)
        complete = data[: data.rfind(_LINE_FEED) + 1]
        lines = complete.split(_LINE_FEED)[:-1]
        if len(lines) > FRAME_LINES_MAX or max(map(len, lines), default=0) > self._line_bytes_max:
            complete = self._fitting(lines)
        if complete:
            self._advance(complete)
            count = count_lines(complete)
            return [Lines(complete, count)] if count else []
        if len(data) < self._line_bytes_max:
            # Somebody writes over what stands there: it is looked at again from its beginning.
            self._scanned_bytes = 0
            return None
        self._line_start = self.offset
        beginning = data[: self._line_bytes_max]
        self._advance(beginning)
        return [Beginning(beginning)]

    def _fitting(self, lines: list[bytes]) -> bytes:
        """The first lines that may stand in one frame."""
        fitting = list(
            takewhile(lambda line: len(line) <= self._line_bytes_max, lines[:FRAME_LINES_MAX])
        )
        return b"".join([line + _LINE_FEED for line in fitting])

    def _skip(self, chunk: bytes, line_start: int) -> list[Part]:
        """Leave out what is too much of a line, up to its line feed."""
        end = chunk.find(_LINE_FEED) + 1
        self._advance(chunk[:end] if end else chunk)
        return [self._end_long(line_start, self.offset - 1)] if end else []

    def _end_long(self, line_start: int, line_end: int) -> Gap:
        self._line_start = None
        line_bytes = line_end - line_start
        lost_bytes = max(line_bytes - self._line_bytes_max, 0)
        return Gap(
            TailCause.LINE_TOO_LONG,
            self.path,
            since_ns=None,
            bytes_min=lost_bytes,
            bytes_max=lost_bytes,
            records_max=0,
            detail=f"the line at byte {line_start} has {line_bytes} bytes, "
            f"the first {self._line_bytes_max} are sealed",
        )

    def _advance(self, data: bytes) -> None:
        self._head = (self._head + data[:FINGERPRINT_BYTES_MAX])[:FINGERPRINT_BYTES_MAX]
        self.offset += len(data)
        self._scanned_bytes = 0
