"""The start of the sealer, which is also what recovers from a crash.

The newest manifest is the truth: its tree is rebuilt from the live tiles and must give its root.
Everything that was ever signed must be consistent with it; a larger or different signed tree means
that this directory is an older one or another history, and the sealer refuses. Only when all of
that holds is anything changed: what a crash left half-made is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import (
    ConsistencyError,
    InputError,
    ManifestSyntaxError,
    MissingFileError,
    RollbackError,
    SignatureError,
)
from meshtrail.merkle import AuthenticTree, Frontier
from meshtrail.note import UnverifiedCheckpoint, open_checkpoint, sign_checkpoint
from meshtrail.store.checkpoint_files import read_checkpoints_end, read_end, read_published
from meshtrail.store.durable import (
    TEMPORARY_SUFFIX,
    remove_file,
    sync_directory,
    sync_file,
    truncate_file,
)
from meshtrail.store.layout import parse_range_file
from meshtrail.store.manifest_files import read_newest
from meshtrail.store.tiles import TilesReader
from meshtrail.units import TreeSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from meshtrail.note import Checkpoint, SignerKey
    from meshtrail.store.checkpoint_files import RunEnd
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout, RangeFile
    from meshtrail.store.manifest_files import PinnedManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Where the log goes on.

    Attributes:
        pinned: the newest manifest; None for a log that has none yet.
        frontier: its tree, to append to.
        last_checkpoint: the note that was signed last; None before the first.
        last_recorded: the note that the lock record ends with; None when it holds none.
        superseded: files within the log that the manifest does not name; readers may hold them.
    """

    pinned: PinnedManifest | None
    frontier: Frontier
    last_checkpoint: bytes | None
    last_recorded: bytes | None
    superseded: tuple[RangeFile, ...]


@dataclass(frozen=True, slots=True)
class _Signed:
    """What was signed, as it lies on the disk.

    Attributes:
        days: ends of the newest day files, newest first.
        record: end of the lock record.
    """

    days: list[RunEnd]
    record: RunEnd | None
    published: bytes | None

    @property
    def last_checkpoint(self) -> bytes | None:
        return self.days[-1].last if self.days else None

    def ends(self) -> list[RunEnd]:
        return [*self.days, self.record] if self.record else self.days

    def heads(self) -> Iterator[tuple[str, bytes]]:
        """The signed heads that a start must be able to reach, with where each was found."""
        for end in self.ends():
            if end.last is not None:
                yield str(end.path), end.last
        if self.published is not None:
            yield "published/checkpoint", self.published


def recover(
    disk: Disk, layout: Layout, signer: SignerKey, *, lock_record: Path | None
) -> Recovered:
    """Find the last durable state, check everything signed against it, clean up.

    Raises:
        RollbackError: something that was signed is larger than the log in this directory.
        ConsistencyError: something that was signed is another history.
        InclusionError, ManifestError, MissingFileError, SignatureError: what is stored is not what
            was signed. Nothing was changed.
        DurabilityError: the disk refuses.
    """
    pinned = _read_newest(layout, signer)
    signed = _Signed(
        days=read_checkpoints_end(layout, origin=signer.name),
        record=read_end(lock_record, origin=signer.name) if lock_record else None,
        published=read_published(layout),
    )
    uncommitted: list[Path] = []
    superseded: list[RangeFile] = []
    if pinned is None:
        _check_untouched(layout, signed)
        frontier = Frontier()
    else:
        tree = _open_tree(layout, pinned)
        for where, note in signed.heads():
            _check_head(_open_head(note, signer, where), tree, where)
        uncommitted, superseded = _find_unnamed(layout, pinned)
        frontier = tree.frontier()
    _check_rests(signed, pinned, signer)
    _sync(disk, layout, signed)
    _clean(disk, layout, uncommitted)
    return Recovered(
        pinned=pinned,
        frontier=frontier,
        last_checkpoint=signed.last_checkpoint,
        last_recorded=signed.record.last if signed.record else None,
        superseded=tuple(superseded),
    )


def _read_newest(layout: Layout, signer: SignerKey) -> PinnedManifest | None:
    try:
        pinned = read_newest(layout, signer.verifier, origin=signer.name)
    except ManifestSyntaxError as error:
        raise SignatureError(
            f"not a manifest that {signer.name} signed: {error.message}", **error.facts
        ) from error
    if pinned is not None:
        pinned.live.check_cover(pinned.manifest.tree_size, number=pinned.manifest.number)
    return pinned


def _check_untouched(layout: Layout, signed: _Signed) -> None:
    """Return when a directory without a manifest is one in which nothing was ever sealed.

    The first manifest is durable before the first checkpoint is signed and the first segment is
    written, so no crash leaves one of those alone. Without this, a start would take the segments
    for half-made ones and remove them.
    """
    for where, _ in signed.heads():
        raise RollbackError(
            f"{where} has a signed tree, the log in {layout.root} has no manifest: it is older "
            "than what was signed. Restore the newer directory",
            where=where,
        )
    for folder in (layout.segments, layout.tiles):
        for path, _ in _range_files(folder):
            raise MissingFileError(
                f"{folder.name}/{path.name} is there, and every manifest is gone", path=path
            )


def _open_tree(layout: Layout, pinned: PinnedManifest) -> AuthenticTree:
    manifest = pinned.manifest
    files = [file.named for file in pinned.live.folder("tiles")]
    return AuthenticTree(
        TilesReader(layout.root, files),
        tree_size=manifest.tree_size,
        root_hash=manifest.root_hash,
    )


def _open_head(note: bytes, signer: SignerKey, where: str) -> Checkpoint:
    try:
        return open_checkpoint(note, signer.verifier, origin=signer.name)
    except InputError as error:
        raise SignatureError(
            f"{where}: not a checkpoint that {signer.name} signed: {error.message}", where=where
        ) from error


def _check_head(head: Checkpoint, tree: AuthenticTree, where: str) -> None:
    """Return when a signed head is a state of this tree, now or earlier."""
    if head.tree_size > tree.size:
        raise RollbackError(
            f"{where} has a signed tree of size {head.tree_size}, the log in this directory has "
            f"{tree.size}: it is older than what was signed. Restore the newer directory",
            where=where,
            want=head.tree_size,
            got=tree.size,
        )
    got = tree.root(head.tree_size)
    if got != head.root_hash:
        raise ConsistencyError(
            f"{where} has a signed root {head.root_hash.hex()[:16]} at size {head.tree_size}, "
            f"the log in this directory has {got.hex()[:16]}: the log forked",
            where=where,
            tree_size=TreeSize(head.tree_size),
            want=head.root_hash,
            got=got,
        )


def _check_rests(signed: _Signed, pinned: PinnedManifest | None, signer: SignerKey) -> None:
    """Return when what follows the last whole notes is what a crash can have left.

    That is the beginning of the note that the newest manifest leads to, perhaps with zeros where
    the file grew and the bytes were not written. Anything else was changed, and cutting it off
    would destroy what was signed after it.
    """
    # Without any, the manifest may be of a commit whose last fsync is missing: what it leads to is
    # not signed before that is made good. Such bytes are only ever written after it.
    if not any(end.rest for end in signed.ends()):
        return
    note = b""
    if pinned is not None:
        head = UnverifiedCheckpoint(
            origin=signer.name,
            tree_size=pinned.manifest.tree_size,
            root_hash=pinned.manifest.root_hash,
        )
        note = sign_checkpoint(head, signer)
    for end in signed.ends():
        if len(end.rest) > len(note) or not note.startswith(end.rest.rstrip(b"\0")):
            raise SignatureError(
                f"{end.path} at byte {end.whole_bytes}: bytes that are no signed checkpoint",
                path=end.path,
                offset=end.whole_bytes,
            )


def _sync(disk: Disk, layout: Layout, signed: _Signed) -> None:
    """Make durable what this start goes on from, and cut off torn notes.

    An earlier process may have been killed between a write and its fsync, or between a rename and
    the fsync of the directory: what it left can be read, and could still be lost.
    """
    for end in signed.ends():
        if end.rest:
            truncate_file(disk, end.path, end.whole_bytes)
        elif end.last is not None:
            sync_file(disk, end.path)
    for folder in layout.folders():
        sync_directory(disk, folder)
    if signed.record is not None and signed.record.last is not None:
        sync_directory(disk, signed.record.path.parent)


def _find_unnamed(layout: Layout, pinned: PinnedManifest) -> tuple[list[Path], list[RangeFile]]:
    """Files that the newest manifest does not name.

    Returns:
        Those of a commit that a crash ended; and those within the log, which a merge replaced or
        made. Nobody knows since when the latter are superseded.

    Raises:
        RollbackError: there is a file of a later commit than the one after the newest manifest.
    """
    uncommitted, superseded = [], []
    tree_size = pinned.manifest.tree_size
    for folder in (layout.segments, layout.tiles):
        for path, named in _range_files(folder):
            if named.end <= tree_size:
                if named not in pinned.live.by_name:
                    superseded.append(named)
            elif named.start == tree_size:
                uncommitted.append(path)
            else:
                raise RollbackError(
                    f"{named.path} is there, the newest manifest ends at {tree_size}: manifests "
                    "after it are gone. Restore the newer directory",
                    path=path,
                    want=named.end,
                    got=tree_size,
                )
    return uncommitted, superseded


def _clean(disk: Disk, layout: Layout, uncommitted: Iterable[Path]) -> None:
    """Remove what a crash left half-made."""
    for folder in layout.folders():
        for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
            remove_file(disk, path)
    for path in uncommitted:
        remove_file(disk, path)


def _range_files(folder: Path) -> Iterator[tuple[Path, RangeFile]]:
    """The segments or tiles files of a folder; files with other names are not ours."""
    for path in sorted(folder.iterdir()):
        try:
            yield path, parse_range_file(f"{folder.name}/{path.name}")
        except ManifestSyntaxError:
            continue
