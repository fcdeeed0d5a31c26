"""Which files are open, and what comes of them: found, read in turn, rotated away, ended.

Knows nothing of streams and journals: it yields what has to be journaled together, and the position
that holds behind it. Clock and pace are its caller's.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.collect.tail.found_files import FoundFile, find_files, is_named_by
from meshtrail.collect.tail.parts import Ended, Gap, Opened, TailCause
from meshtrail.collect.tail.remembered import Remembered, is_long_start, starts_as
from meshtrail.collect.tail.siblings import Family, Siblings
from meshtrail.collect.tail.steps import Problem, Step
from meshtrail.collect.tail.tailed_file import TailedFile
from meshtrail.journal import FileState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshtrail.collect.tail.options import TailOptions
    from meshtrail.collect.tail.parts import Part
    from meshtrail.journal import FileIdentity, FilePosition
    from meshtrail.journal.file_positions import Told

AWAY_NS: Final = 30_000_000_000
"""Whoever wrote to a file that was rotated away may do so until it is told to open it again."""

MISSING_NS: Final = 5_000_000_000
"""Between renaming the old and making the new, a file is missing; for longer it is an alarm."""

REMEMBERED_EACH: Final = 4
"""Files that lie beside each that may be open."""

REFUSED_EVENT: Final = "tail_file_refused"
MISSING_EVENT: Final = "tail_file_missing"
OVERFLOW_EVENT: Final = "tail_files_overflowed"


class FileWatch:
    """Finds, opens, reads and ends files. Not safe for threads: one at a time uses it.

    Args:
        tails: which files; of two that name the same, the first counts.
        left: how far files were taken before.
        files_max: open at once; of files that are only remembered, ``REMEMBERED_EACH`` times that.
        line_bytes_max: of a longer line only the beginning is taken.

    Attributes:
        problems: why files are not read, as of the last look.
    """

    def __init__(
        self,
        tails: Sequence[TailOptions],
        *,
        left: Sequence[FilePosition],
        files_max: int,
        line_bytes_max: int,
    ) -> None:
        self.problems: set[Problem] = set()
        self._tails = tails
        self._files_max = files_max
        self._line_bytes_max = line_bytes_max
        self._open: dict[FileIdentity, TailedFile] = {}
        self._due: deque[TailedFile] = deque()
        self._remembered = Remembered(left)
        self._siblings = Siblings(self, self._remembered, left)
        self._missing_since: dict[str, int] = {}

    @property
    def open_files(self) -> tuple[TailedFile, ...]:
        """The files that are open."""
        return tuple(self._open.values())

    @property
    def has_room(self) -> bool:
        """Whether another file may be opened."""
        return len(self._open) < self._files_max

    @property
    def remembers_more(self) -> bool:
        """Whether another file may be remembered."""
        return len(self._remembered) < REMEMBERED_EACH * self._files_max

    def is_open(self, identity: FileIdentity) -> bool:
        """Whether a file is open."""
        return identity in self._open

    def tail_of(self, path: str) -> TailOptions | None:
        """What names a path."""
        return next((tail for tail in self._tails if is_named_by(tail, path)), None)

    def is_exact(self, path: str) -> bool:
        """Whether a path is named as it is, by no pattern."""
        return any(path == os.fspath(tail.path) for tail in self._tails)

    def look(self, now_ns: int) -> Iterator[Step]:
        """Find what is new, what has gone and what has ended; each file may be read again."""
        self.problems = set()
        found = self._find(now_ns)
        for file in self._open.values():
            if file.identity in found:
                file.away_ns = None
            elif file.away_ns is None:
                file.away_ns = now_ns
        for one, tail in found.values():
            if one.identity not in self._open:
                yield from self._open_found(one, tail, now_ns)
        families = [
            Family(one.path, one.target, one.identity, tail) for one, tail in found.values()
        ]
        yield from self._siblings.look(families, now_ns)
        for file in self.open_files:
            if file.away_ns is not None and now_ns - max(file.away_ns, file.touched_ns) >= AWAY_NS:
                yield from self._end(file, now_ns)
        self._due = deque(self._open.values())

    def read(self, now_ns: int) -> Step | None:
        """Take the next piece, of each file in turn; None when there is nothing until a look."""
        while self._due:
            file = self._due.popleft()
            step = self._read(file, now_ns)
            if step is not None:
                self._due.append(file)
                return step
        return None

    def open_away(
        self, found: FoundFile, position: FilePosition | None, family: Family, now_ns: int
    ) -> Iterator[Step]:
        """Read a file that lies beside the path under which it was, or should have been, found."""
        file = self._open_file(found, family.tail, path=family.path, target=family.target)
        if file is not None:
            is_read = position is not None and position.offset == found.size
            # Nothing came since it was left: it need not be waited for anew after each restart.
            file.away_ns = position.seen_ns if position is not None and is_read else now_ns
            yield from self._begin(file, found, position, now_ns)

    def refuse(self, path: str, error: OSError) -> None:
        """Note that a file or directory may not be looked at."""
        self._report(REFUSED_EVENT, path, error.strerror or repr(error))

    def overflow(self, path: str) -> None:
        """Note that there are more files than can be kept in mind."""
        reason = f"{len(self._open)} files are open and {len(self._remembered)} lie beside them"
        self._report(OVERFLOW_EVENT, path, reason)

    def close(self) -> None:
        """Close every file."""
        for file in self._open.values():
            file.close()
        self._open.clear()
        self._due.clear()

    def _find(self, now_ns: int) -> dict[FileIdentity, tuple[FoundFile, TailOptions]]:
        """The files that paths and patterns lead to, by identity: two names may lead to one."""
        found: dict[FileIdentity, tuple[FoundFile, TailOptions]] = {}
        for tail in self._tails:
            path = os.fspath(tail.path)
            is_missing = False
            for one in find_files(tail):
                if isinstance(one, FoundFile):
                    found.setdefault(one.identity, (one, tail))
                elif isinstance(one, FileNotFoundError):
                    is_missing = True
                else:
                    self.refuse(str(one.filename), one)
            if not is_missing:
                self._missing_since.pop(path, None)
            elif now_ns - self._missing_since.setdefault(path, now_ns) >= MISSING_NS:
                self._report(MISSING_EVENT, path, "there is no such file")
        return found

    def _open_found(self, found: FoundFile, tail: TailOptions, now_ns: int) -> Iterator[Step]:
        file = self._open_file(found, tail, path=found.path, target=found.target)
        if file is not None:
            yield from self._begin(file, found, self._remembered.recall(found), now_ns)

    def _open_file(
        self, found: FoundFile, tail: TailOptions, *, path: str, target: str
    ) -> TailedFile | None:
        """Open a file that is not open; None when it cannot be, or is gone by now."""
        if not self.has_room:
            self.overflow(path)
            return None
        try:
            # What became a pipe meanwhile must not keep anybody waiting.
            fd = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.refuse(found.path, error)
            return None
        try:
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            file = TailedFile(
                fd, tail=tail, path=path, target=target, line_bytes_max=self._line_bytes_max
            )
        except OSError as error:
            # A file server may have lost it since it was opened.
            os.close(fd)
            self.refuse(found.path, error)
            return None
        # Another one may have taken its name since: it is found at the next look.
        if not is_file or file.identity != found.identity:
            file.close()
            return None
        return file

    def _begin(
        self, file: TailedFile, found: FoundFile, position: FilePosition | None, now_ns: int
    ) -> Iterator[Step]:
        """Begin to read a file, where it was left if it was read before."""
        told: list[Told] = []
        lost: list[Part] = []
        if position is not None:
            if position.identity != file.identity:
                told.append(position.identity)
            try:
                is_same = position.state is FileState.LEFT_OUT or file.resume(position)
            except OSError as error:
                self.refuse(found.path, error)
                file.close()
                return
            if not is_same and position.state is FileState.OPEN:
                lost.append(_lost_while_away(position))
                told += self._siblings.note_copies(
                    position.path,
                    position.target,
                    is_copy=partial(starts_as, position),
                    now_ns=now_ns,
                )
            if not is_same or not position.fingerprint_bytes:
                self._siblings.doubt(position)
            self._remembered.take(position.identity)
        self._open[file.identity] = file
        seen_ns = now_ns if lost or position is None else position.seen_ns
        told.append(file.position(FileState.OPEN, seen_ns=seen_ns))
        yield Step(file, [Opened(_describe(file, found)), *lost], told)

    def _read(self, file: TailedFile, now_ns: int) -> Step | None:
        head = file.head
        try:
            parts = file.read(now_ns)
        except OSError as error:
            self.refuse(file.path, error)
            return None
        if parts is None:
            return None
        told: list[Told] = []
        if any(isinstance(part, Gap) and part.cause is TailCause.TRUNCATED for part in parts):
            told += self._siblings.note_copies(
                file.path, file.target, is_copy=partial(is_long_start, head), now_ns=now_ns
            )
        told.append(file.position(FileState.OPEN, seen_ns=now_ns))
        return Step(file, parts, told)

    def _end(self, file: TailedFile, now_ns: int) -> Iterator[Step]:
        """End a file that was rotated away; unless something came at last."""
        step = self._read(file, now_ns)
        if step is not None:
            yield step
            return
        try:
            is_named = file.is_named
            if is_named and not self.remembers_more:
                # Not remembered it would be found beside its path, and be taken again.
                self.overflow(file.path)
                return
            parts = file.finish()
        except OSError as error:
            self.refuse(file.path, error)
            return
        position = file.position(FileState.ENDED, seen_ns=now_ns)
        told: Told = position.identity
        if is_named:
            self._remembered.add(position)
            told = position
        del self._open[file.identity]
        file.close()
        ended = Ended(f"rotated away and read to its end, {file.offset} bytes")
        yield Step(file, [*parts, ended], [told])

    def _report(self, event: str, path: str, reason: str) -> None:
        self.problems.add(Problem(event, path, reason))


def _lost_while_away(position: FilePosition) -> Gap:
    """What is said of a file that is no longer what it was when it was left."""
    return Gap(
        TailCause.TRUNCATED,
        position.path,
        since_ns=position.seen_ns,
        bytes_min=0,
        bytes_max=None,
        records_max=None,
        detail=f"it begins anew, {position.offset} bytes of it had been taken",
    )


def _describe(file: TailedFile, found: FoundFile) -> str:
    device, inode = file.identity
    text = f"from byte {file.offset} of inode {inode} on device {device}"
    return text if found.target == file.path else f"{text}, which is {found.target}"
