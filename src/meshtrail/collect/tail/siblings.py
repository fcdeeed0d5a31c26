"""Files that lie beside those that are read: what rotation made of them while nobody looked.

A file that is found under another name goes on where it was left. One that is not known can be one
that came and went between two looks: it is read when the path leads to another file than at the
last look; else it is older than the tail, or a copy, and is only remembered.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from meshtrail.collect.tail.found_files import is_rotated_name, list_directory, stat_file
from meshtrail.collect.tail.parts import Gap, TailCause
from meshtrail.collect.tail.remembered import holds, is_unread, read_head
from meshtrail.collect.tail.steps import Step
from meshtrail.journal import FINGERPRINT_BYTES_MAX, FilePosition, FileState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from meshtrail.collect.tail.found_files import FoundFile
    from meshtrail.collect.tail.options import TailOptions
    from meshtrail.collect.tail.parts import Part
    from meshtrail.collect.tail.remembered import Remembered
    from meshtrail.collect.tail.tailed_file import TailedFile
    from meshtrail.journal import FileIdentity
    from meshtrail.journal.file_positions import Told

SWEEP_NS: Final = 10_000_000_000
"""How often every directory is looked through."""

VANISHED_NS: Final = 60_000_000_000
"""A directory may be mounted late: only what is not found for so long is gone."""


class Family(NamedTuple):
    """A path, the file that it leads to, and so what may lie beside that.

    Attributes:
        target: where the path leads, or led when it last did.
        identity: of that file; None when there is none.
    """

    path: str
    target: str
    identity: FileIdentity | None
    tail: TailOptions


@dataclass(slots=True)
class _Led:
    """Where a path led: to one of some files, or to none."""

    target: str
    files: set[FileIdentity] = field(default_factory=set)

    def differs(self, family: Family) -> bool:
        """Whether the path leads elsewhere now."""
        return bool(self.files) if family.identity is None else family.identity not in self.files


@dataclass(slots=True)
class _Round:
    """One look through a directory.

    Attributes:
        families: the paths that lead into it.
        current: those of them that still lead where they did.
        unread: those of which a file could not be opened; they are looked at again.
        there: files that are remembered, and there.
    """

    families: list[Family]
    current: set[str]
    now_ns: int
    unread: set[str] = field(default_factory=set)
    there: set[FileIdentity] = field(default_factory=set)


class Opener(Protocol):
    """What opens files: ``FileWatch``."""

    @property
    def open_files(self) -> tuple[TailedFile, ...]:
        """The files that are open."""
        ...

    @property
    def remembers_more(self) -> bool:
        """Whether another file may be remembered."""
        ...

    def is_open(self, identity: FileIdentity) -> bool:
        """Whether a file is open."""
        ...

    def tail_of(self, path: str) -> TailOptions | None:
        """What names a path."""
        ...

    def is_exact(self, path: str) -> bool:
        """Whether a path is named as it is, by no pattern."""
        ...

    def open_away(
        self, found: FoundFile, position: FilePosition | None, family: Family, now_ns: int
    ) -> Iterator[Step]:
        """Read a file that lies beside the path under which it was, or should have been, found."""
        ...

    def refuse(self, path: str, error: OSError) -> None:
        """Note that a file or directory may not be looked at."""
        ...

    def overflow(self, path: str) -> None:
        """Note that there are more files than can be kept in mind."""
        ...


class Siblings:
    """Looks through the directories of files that are read.

    Args:
        opener: opens what is found.
        remembered: files that are not open.
        left: how far files were taken before.
    """

    def __init__(
        self, opener: Opener, remembered: Remembered, left: Sequence[FilePosition]
    ) -> None:
        self._opener = opener
        self._remembered = remembered
        # Where each path led when its directory was last looked through.
        self._led_to: dict[str, _Led] = {}
        for position in left:
            led = self._led_to.setdefault(position.path, _Led(position.target))
            if position.state is FileState.OPEN:
                led.files.add(position.identity)
        self._swept_ns: int | None = None
        self._lost_since: dict[FileIdentity, int] = {}

    def look(self, families: Sequence[Family], now_ns: int) -> Iterator[Step]:
        """Look where a path leads to another file than before; now and then everywhere."""
        is_sweep = self._swept_ns is None or now_ns - self._swept_ns >= SWEEP_NS
        by_directory: dict[str, list[Family]] = defaultdict(list)
        due: set[str] = set()
        if is_sweep:
            self._forget_paths({family.path for family in families})
        for family in [*families, *self._gone(families)]:
            directory = os.path.dirname(family.target)  # noqa: PTH120 - names that are no UTF-8 stay what they are
            by_directory[directory].append(family)
            led = self._led_to.get(family.path)
            if is_sweep or led is None or led.differs(family):
                due.add(directory)
        if is_sweep:
            self._swept_ns = now_ns
            due |= {os.path.dirname(position.target) for position in self._remembered}  # noqa: PTH120 - as above
        named = {family.identity for family in families if family.identity is not None}
        for directory in sorted(due):
            yield from self._look_through(directory, by_directory[directory], named, now_ns)

    def doubt(self, position: FilePosition) -> None:
        """Take a path to have led elsewhere: nothing shows that its file is what it was.

        Its inode may be reused. While a file is open its inode is its own; this is for what
        happened while none was.
        """
        led = self._led_to.get(position.path)
        if led is not None:
            led.files.discard(position.identity)

    def _gone(self, families: Sequence[Family]) -> Iterator[Family]:
        """The paths that led to a file once, and do not now."""
        there = {family.path for family in families}
        for path, led in self._led_to.items():
            tail = self._opener.tail_of(path)
            if path not in there and tail is not None:
                yield Family(path, led.target, None, tail)

    def note_copies(
        self, path: str, target: str, *, is_copy: Callable[[bytes], bool], now_ns: int
    ) -> list[Told]:
        """Remember the copies that were made of a file before it was truncated.

        Args:
            path: of the file that begins anew.
            target: where that led.
            is_copy: whether a file that begins so is one.
            now_ns: of the look.
        """
        try:
            beside = list_directory(os.path.dirname(target))  # noqa: PTH120 - as above
        except OSError:
            return []
        return [
            self._remember(one, path, target, now_ns)
            for one in beside
            if is_rotated_name(one.path, target)
            and not self._opener.is_open(one.identity)
            and is_copy(read_head(one.path))
            and not self._is_known(one)
        ]

    def _look_through(
        self, directory: str, families: list[Family], named: set[FileIdentity], now_ns: int
    ) -> Iterator[Step]:
        try:
            beside = list_directory(directory)
        except OSError as error:
            self._opener.refuse(directory, error)
            return
        current = {family.path for family in families if _leads_still(family)}
        round_ = _Round(families, current, now_ns)
        others = [
            one
            for one in beside
            if one.identity not in named and not self._opener.is_open(one.identity)
        ]
        # First: by what is remembered of a file its copies are told, too.
        yield from self._remember_copies(directory, others, round_)
        for one in others:
            yield from self._look_at(one, round_)
        for family in families:
            if family.path not in round_.unread:
                files = set() if family.identity is None else {family.identity}
                self._led_to[family.path] = _Led(family.target, files)
        yield from self._lose_gone(directory, round_.there | named, now_ns)

    def _look_at(self, found: FoundFile, round_: _Round) -> Iterator[Step]:
        """A file that no path leads to, and that is not open."""
        now_ns = round_.now_ns
        position = self._remembered.recall(found)
        if position is not None and holds(found, position):
            round_.there.add(position.identity)
            yield from self._go_on(found, position, now_ns)
            return
        if position is not None:
            if position.state is FileState.OPEN and is_rotated_name(found.path, position.target):
                # Truncated, and then rotated away.
                yield from self._go_on(found, position, now_ns)
                return
            # Its inode is another file's now.
            yield self._lose(position)
        rotated = [each for each in round_.families if is_rotated_name(found.path, each.target)]
        if not rotated:
            return
        family = rotated[0]
        if not self._opener.remembers_more:
            # Taken now it could not be remembered, and would be taken again.
            self._opener.overflow(family.path)
            round_.unread.add(family.path)
        elif self._came_between(family):
            yield from self._opener.open_away(found, None, family, now_ns)
            if not self._opener.is_open(found.identity):
                round_.unread.add(family.path)
        elif family.path in round_.current:
            yield Step(None, [], [self._remember(found, family.path, family.target, now_ns)])

    def _remember_copies(
        self, directory: str, others: list[FoundFile], round_: _Round
    ) -> Iterator[Step]:
        """Remember the files that begin as another does that was read; they are not read again."""
        open_files = [file for file in self._opener.open_files if _lies_in(directory, file.target)]
        left = [one for one in self._remembered if _lies_in(directory, one.target)]
        places = {(one.path, one.target) for one in round_.families}
        places |= {(one.path, one.target) for one in open_files}
        places |= {(one.path, one.target) for one in left}
        for found in others:
            if self._is_known(found):
                continue
            for path, target in sorted(places):
                heads = [file.head for file in open_files if file.path == path]
                if is_rotated_name(found.path, target) and self._remembered.is_copy(
                    found, path=path, heads=heads
                ):
                    told = self._remember(found, path, target, round_.now_ns)
                    yield Step(None, [], [told])
                    break

    def _is_known(self, found: FoundFile) -> bool:
        """Whether something was taken of a file, and it is that file: an inode may be reused."""
        position = self._remembered.recall(found)
        return position is not None and position.fingerprint_bytes > 0 and holds(found, position)

    def _go_on(self, found: FoundFile, position: FilePosition, now_ns: int) -> Iterator[Step]:
        """Open what was left unfinished, or was written to after its end."""
        tail = self._opener.tail_of(position.path)
        if tail is None or not is_unread(found, position):
            return
        family = Family(position.path, position.target, found.identity, tail)
        yield from self._opener.open_away(found, position, family, now_ns)

    def _came_between(self, family: Family) -> bool:
        """Whether an unknown file can have been the path's between two looks."""
        led = self._led_to.get(family.path)
        return led is not None and (family.identity is None or led.differs(family))

    def _remember(self, found: FoundFile, path: str, target: str, now_ns: int) -> FilePosition:
        head = read_head(found.path)[: min(found.size, FINGERPRINT_BYTES_MAX)]
        position = FilePosition(
            device=found.identity.device,
            inode=found.identity.inode,
            path=path,
            target=target,
            offset=0,
            line_start=None,
            fingerprint=hashlib.sha256(head).digest(),
            fingerprint_bytes=len(head),
            state=FileState.LEFT_OUT,
            seen_ns=now_ns,
        )
        self._remembered.add(position)
        return position

    def _lose_gone(self, directory: str, there: set[FileIdentity], now_ns: int) -> Iterator[Step]:
        """Forget the files of a directory that are no longer in it."""
        for position in self._remembered:
            identity = position.identity
            if identity in there:
                self._lost_since.pop(identity, None)
            elif not _lies_in(directory, position.target):
                continue
            elif now_ns - self._lost_since.setdefault(identity, now_ns) >= VANISHED_NS:
                yield self._lose(position)

    def _lose(self, position: FilePosition) -> Step:
        """Forget a file; a gap when it may not have been read to its end."""
        self._remembered.take(position.identity)
        self._lost_since.pop(position.identity, None)
        parts: list[Part] = []
        if position.state is FileState.OPEN and self._opener.tail_of(position.path) is not None:
            gap = Gap(
                TailCause.VANISHED,
                position.path,
                since_ns=position.seen_ns,
                bytes_min=0,
                bytes_max=None,
                records_max=None,
                detail=f"{position.offset} bytes of inode {position.inode} had been taken",
            )
            parts.append(gap)
        return Step(None, parts, [position.identity])

    def _forget_paths(self, named: set[str]) -> None:
        """Keep nothing of paths that are gone with all that was read of them."""
        known = named | {position.path for position in self._remembered}
        known |= {file.path for file in self._opener.open_files}
        for path in self._led_to.keys() - known:
            if not self._opener.is_exact(path):
                del self._led_to[path]


def _lies_in(directory: str, path: str) -> bool:
    return os.path.dirname(path) == directory  # noqa: PTH120 - as above


def _leads_still(family: Family) -> bool:
    """Whether a path leads where it did, after its directory was listed: else look again."""
    try:
        found = stat_file(family.path)
    except OSError:
        return False
    return found is not None and found.identity == family.identity
