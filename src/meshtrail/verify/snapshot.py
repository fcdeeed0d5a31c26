"""What a data directory says at one moment, read so that a sealer at work does not matter.

The commit order is manifest, lock record, checkpoints, published. When ``published/checkpoint`` is
the same before and after the others were read, no commit ended in between, so at most one was under
way: what is seen is a state that a crash could have left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import MissingFileError, UnavailableError
from meshtrail.note.signed_note import NOTE_BYTES_MAX
from meshtrail.store.manifest import MANIFEST_BYTES_MAX
from meshtrail.verify.untrusted import list_folder, read_beginning

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.store.layout import Layout

TRIES_MAX: Final = 50
"""A commit takes tens of milliseconds, four times a second; reading the snapshot takes fewer."""

# A file of one note is read so far: of a longer one, more than a parser takes.
_CHECKPOINT_BYTES_READ: Final = NOTE_BYTES_MAX + 1
_MANIFEST_BYTES_READ: Final = MANIFEST_BYTES_MAX + 1

_MANIFEST_NAME: Final = re.compile(r"[0-9]{12}")
_DAY_NAME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesFile:
    """A file of signed notes, cut at the length that it had at the moment.

    Attributes:
        name: what messages call it.
        length: bytes of it that belong to the snapshot.
    """

    path: Path
    name: str
    length: int

    def read(self) -> bytes:
        """Its bytes; fewer than ``length`` when it was cut since."""
        return read_beginning(self.path, name=self.name, length=self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything in DATA that is signed, as bytes that nobody has checked.

    Attributes:
        published: None when there is no published checkpoint.
        days: the files of checkpoints/, oldest first.
        lock_record: None when none was asked for, or it does not exist.
        manifests: (number, bytes), ascending; bytes are None where the file cannot be read.
        strangers: names in checkpoints/ and manifest/ that belong to neither.
    """

    published: bytes | None
    days: tuple[NotesFile, ...]
    lock_record: NotesFile | None
    manifests: tuple[tuple[int, bytes | None], ...]
    strangers: tuple[str, ...]


def take_snapshot(layout: Layout, *, lock_record: Path | None) -> Snapshot:
    """Read what is signed, at one moment.

    Raises:
        UnavailableError: commits end faster than the directory can be read, or it cannot be read.
    """
    before = _read_published(layout)
    for _ in range(TRIES_MAX):
        snapshot = Snapshot(
            published=before,
            days=_list_days(layout),
            lock_record=_list_record(lock_record),
            manifests=read_manifests_after(layout, -1),
            strangers=_strangers(layout),
        )
        after = _read_published(layout)
        if after == before:
            return snapshot
        before = after
    raise UnavailableError(
        f"{layout.root} changed {TRIES_MAX} times while it was read: audit a copy of it",
        path=layout.root,
    )


def _read_published(layout: Layout) -> bytes | None:
    try:
        return read_beginning(
            layout.published, name="published/checkpoint", length=_CHECKPOINT_BYTES_READ
        )
    except MissingFileError:
        return None


def _list_days(layout: Layout) -> tuple[NotesFile, ...]:
    return tuple(
        NotesFile(path=path, name=f"checkpoints/{name}", length=path.stat().st_size)
        for name in list_folder(layout.checkpoints)
        if _DAY_NAME.fullmatch(name) and (path := layout.checkpoints / name).is_file()
    )


def _list_record(path: Path | None) -> NotesFile | None:
    if path is None or not path.is_file():
        return None
    return NotesFile(path=path, name=f"the lock record {path}", length=path.stat().st_size)


def read_manifests_after(layout: Layout, number: int) -> tuple[tuple[int, bytes | None], ...]:
    """Every manifest with a higher number; (number, bytes), ascending.

    The sealer removes old ones meanwhile, never a newer before an older.
    """
    manifests: list[tuple[int, bytes | None]] = []
    for name in list_folder(layout.manifests):
        if not _MANIFEST_NAME.fullmatch(name) or int(name) <= number:
            continue
        try:
            data = read_beginning(
                layout.manifests / name, name=f"manifest/{name}", length=_MANIFEST_BYTES_READ
            )
        except MissingFileError:
            if not manifests and not (layout.manifests / name).exists():
                continue
            manifests.append((int(name), None))
        else:
            manifests.append((int(name), data))
    return tuple(manifests)


def _strangers(layout: Layout) -> tuple[str, ...]:
    days = (name for name in list_folder(layout.checkpoints) if not _DAY_NAME.fullmatch(name))
    manifests = (
        name for name in list_folder(layout.manifests) if not _MANIFEST_NAME.fullmatch(name)
    )
    published = (name for name in list_folder(layout.published.parent) if name != "checkpoint")
    return (
        *(f"checkpoints/{name}" for name in days),
        *(f"manifest/{name}" for name in manifests),
        *(f"published/{name}" for name in published),
    )
