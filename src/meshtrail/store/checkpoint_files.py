"""Checkpoints on disk: the published one, every one ever signed, and the lock record.

The day files and the lock record hold signed notes verbatim, one behind the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from meshtrail.store.durable import append_file, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout
    from meshtrail.units import UnixNanos

_SIGNATURE = b"\xe2\x80\x94 "
_NANOS = 1_000_000_000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TAIL_BYTES: Final = 1 << 16
"""How much of a run is read to find its last note: a lock record grows by 50 MB a day."""


@dataclass(frozen=True, slots=True)
class NoteRun:
    """Notes that stand one behind the other in a file.

    Attributes:
        notes: the bytes of each whole note.
        whole_bytes: length of the file up to the end of the last whole note; what follows was torn
            by a crash.
    """

    notes: list[bytes]
    whole_bytes: int


def split_notes(data: bytes) -> NoteRun:
    """Cut a run of signed notes apart; it does not look into them.

    A note ends with the last of the signature lines behind a blank line, so the next text must
    not begin with an em dash; an origin never does for us.
    """
    notes: list[bytes] = []
    start = position = 0
    while position < len(data):
        blank = data.find(b"\n\n", position)
        if blank < 0:
            break
        position = blank + 2
        while data.startswith(_SIGNATURE, position):
            line_end = data.find(b"\n", position)
            if line_end < 0:
                return NoteRun(notes, start)
            position = line_end + 1
        if position == blank + 2:
            break
        notes.append(data[start:position])
        start = position
    return NoteRun(notes, start)


def checkpoint_days(layout: Layout) -> list[Path]:
    """The day files, oldest first."""
    return sorted(path for path in layout.checkpoints.iterdir() if _DAY.fullmatch(path.name))


def append_checkpoint(disk: Disk, layout: Layout, note: bytes, *, signed_ns: UnixNanos) -> None:
    """Add a signed checkpoint to the file of its day, durably."""
    day = datetime.fromtimestamp(signed_ns // _NANOS, tz=UTC).strftime("%Y-%m-%d")
    days = checkpoint_days(layout)
    # A wall clock that stepped back must not put a checkpoint before older ones.
    name = max(day, days[-1].name) if days else day
    append_file(disk, layout.checkpoints / name, note)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a file of notes ends.

    Attributes:
        path: the file.
        last: its last whole note; None when it holds none.
        whole_bytes: its length up to the end of that note.
        rest: what follows; what a crash tore, if that is all that happened to the file.
    """

    path: Path
    last: bytes | None
    whole_bytes: int
    rest: bytes


def read_end(path: Path, *, origin: str) -> RunEnd:
    """Read how a file of notes ends; changes nothing.

    Args:
        path: a day file or a lock record; one that is not there is an empty one.
        origin: the first line of each note.

    Cost: reads 64 KiB.
    """
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            start = file.seek(max(0, length - _TAIL_BYTES))
            data = file.read()
    except FileNotFoundError:
        return RunEnd(path, None, 0, b"")
    if start:
        # Somewhere within a note: the first one that begins in here is the first to look at.
        skipped = data.find(b"\n%b\n" % origin.encode()) + 1
        start, data = start + skipped, data[skipped:]
    run = split_notes(data)
    last = run.notes[-1] if run.notes else None
    return RunEnd(path, last, start + run.whole_bytes, data[run.whole_bytes :])


def read_checkpoints_end(layout: Layout, *, origin: str) -> list[RunEnd]:
    """How the newest day files end, newest first, back to the first that holds a checkpoint."""
    ends = []
    for path in reversed(checkpoint_days(layout)):
        ends.append(read_end(path, origin=origin))
        if ends[-1].last is not None:
            break
    return ends


def publish_checkpoint(disk: Disk, layout: Layout, note: bytes) -> None:
    """Put a signed checkpoint where readers look."""
    replace_file(disk, layout.published, note)


def read_published(layout: Layout) -> bytes | None:
    """The published checkpoint; None before the first."""
    try:
        return layout.published.read_bytes()
    except FileNotFoundError:
        return None
