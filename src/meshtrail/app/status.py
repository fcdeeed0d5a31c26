"""What a data directory says of itself: recorded, sealed, published, and whether it goes on.

Keeps no lock and changes no file.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal

from meshtrail.app.journal_lag import read_oldest_unsealed
from meshtrail.journal.header import header_bytes_declared
from meshtrail.note import open_checkpoint
from meshtrail.store.checkpoint_files import read_published
from meshtrail.store.manifest_files import read_newest

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.note import Verifier
    from meshtrail.store.layout import Layout
    from meshtrail.store.manifest import JournalPosition
    from meshtrail.store.manifest_files import PinnedManifest

_FILE_NAME = re.compile(r"[0-9]{12}")
_HEADER_HEAD_BYTES: Final = 32
"""More than what stands before the JSON of a journal file's header, and says how long that is."""

Sealer = Literal["running", "not running", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatus:
    """How far the sealer is behind a journal.

    Attributes:
        unsealed_bytes: written and not yet sealed; what a crash has torn counts too.
        files_count: files of the journal that are there.
        oldest_unsealed_ns: when the first entry arrived that is durable and not yet sealed; None
            when all are.
    """

    writer: str
    unsealed_bytes: int
    files_count: int
    oldest_unsealed_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One look at a data directory.

    Attributes:
        tree_size: entries that the published checkpoint covers.
        sealed_size: entries that the newest manifest names.
        last_received_ns: arrival of the last sealed entry; None for an empty log.
        segments_count: live segments.
        stored_bytes: segments and tiles that are live.
        sealer: whether ``meshtrail up`` seals here now; unknown where the lock cannot be asked.
    """

    origin: str
    tree_size: int
    root_hash: str | None
    sealed_size: int
    manifest_number: int | None
    last_received_ns: int | None
    segments_count: int
    stored_bytes: int
    sealer: Sealer
    journals: tuple[JournalStatus, ...]

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return asdict(self)


def read_status(layout: Layout, verifier: Verifier, *, origin: str) -> Status:
    """Look at a log.

    Raises:
        SignatureError, ManifestError, NoteSyntaxError: what it says of itself does not hold.
    """
    pinned = read_newest(layout, verifier, origin=origin)
    return make_status(layout, verifier, pinned, origin=origin)


def make_status(
    layout: Layout, verifier: Verifier, pinned: PinnedManifest | None, *, origin: str
) -> Status:
    """Look at a log whose newest manifest was read already.

    Raises:
        SignatureError, NoteSyntaxError: the published checkpoint does not hold.
    """
    note = read_published(layout)
    checkpoint = open_checkpoint(note, verifier, origin=origin) if note is not None else None
    manifest = pinned.manifest if pinned is not None else None
    live = pinned.live.by_name.values() if pinned is not None else ()
    positions = {at.writer: at for at in manifest.journals} if manifest is not None else {}
    return Status(
        origin=origin,
        tree_size=checkpoint.tree_size if checkpoint is not None else 0,
        root_hash=checkpoint.root_hash.hex() if checkpoint is not None else None,
        sealed_size=manifest.tree_size if manifest is not None else 0,
        manifest_number=manifest.number if manifest is not None else None,
        last_received_ns=(manifest.time_ns or None) if manifest is not None else None,
        segments_count=sum(file.named.folder == "segments" for file in live),
        stored_bytes=sum(file.bytes_count for file in live),
        sealer=_ask_for_sealer(layout),
        journals=tuple(
            _journal_status(folder, positions.get(folder.name))
            for folder in sorted(layout.journals.iterdir())
            if folder.is_dir()
        ),
    )


def _ask_for_sealer(layout: Layout) -> Sealer:
    """Whether a sealer holds its lock; asks for a share of it, which nobody else then notices.

    A sealer that starts in these microseconds tries again, see ``DataLock``.
    """
    try:
        # Not made when it is not there; what is no file must not keep anybody waiting.
        descriptor = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return "not running"
    except OSError:
        return "unknown"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "running"
    except OSError:
        return "unknown"
    finally:
        os.close(descriptor)
    return "not running"


def _journal_status(folder: Path, position: JournalPosition | None) -> JournalStatus:
    unsealed_bytes = files_count = 0
    for path in sorted(folder.iterdir()):
        if not _FILE_NAME.fullmatch(path.name):
            continue
        try:
            file_bytes, header_bytes = _measure(path)
        except FileNotFoundError:
            # Sealed and removed between the two looks.
            continue
        files_count += 1
        number = int(path.name)
        if position is None or number > position.file_number:
            unsealed_bytes += max(file_bytes - header_bytes, 0)
        elif number == position.file_number:
            unsealed_bytes += max(file_bytes - max(position.offset, header_bytes), 0)
    return JournalStatus(
        writer=folder.name,
        unsealed_bytes=unsealed_bytes,
        files_count=files_count,
        oldest_unsealed_ns=read_oldest_unsealed(folder, position) if unsealed_bytes else None,
    )


def _measure(path: Path) -> tuple[int, int]:
    """Length of a journal file, and how much of it is its header."""
    with path.open("rb") as file:
        head = file.read(_HEADER_HEAD_BYTES)
    file_bytes = path.stat().st_size
    declared = header_bytes_declared(head)
    return file_bytes, file_bytes if declared is None else min(declared, file_bytes)
