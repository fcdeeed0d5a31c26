"""Writes a log's published tree as static tlog-tiles files, for anyone's tools.

    <out>/checkpoint                       the published checkpoint, verbatim; written last
    <out>/tile/<level>/<index>[.p/<width>]
    <out>/tile/entries/<index>[.p/<width>]

An export can be brought up to date in place: full tiles that are there already are left as they
are. What is written is what is stored; ``verify`` says whether that is what was signed, and so does
any tlog client.

Source: C2SP tlog-tiles v0.1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from meshtrail.errors import (
    ConfigError,
    DigestError,
    DurabilityError,
    ManifestError,
    MissingFileError,
    NotFoundError,
)
from meshtrail.merkle import TILE_WIDTH, bundles_between, encode_bundle, tiles_between
from meshtrail.note import open_checkpoint
from meshtrail.store.checkpoint_files import read_published
from meshtrail.store.durable import TEMPORARY_SUFFIX, replace_file, sync_directory, write_file
from meshtrail.store.manifest_files import read_newest
from meshtrail.store.segment import iterate_segment
from meshtrail.store.tiles import TilesReader
from meshtrail.units import TreeSize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from meshtrail.note import Checkpoint, Verifier
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout, RangeFile

_READ_ROWS: Final = 16 * TILE_WIDTH
_NEW_SIZE: Final = TreeSize(0)


class Progress(Protocol):
    """Hears how far an export is."""

    def __call__(self, done: int, total: int, phase: str, /) -> object:
        """Take entries or tiles written, how many there are in all, and which of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        old_size: tree size of the export that was there before; 0 for a new one.
        tree_size: tree size now.
        files_count: tiles and entry bundles written.
    """

    origin: str
    old_size: int
    tree_size: int
    files_count: int


def export_tlog(
    disk: Disk, layout: Layout, verifier: Verifier, *, origin: str, out: Path, progress: Progress
) -> ExportReport:
    """Write the published tree to ``out``, or bring an export of it up to date.

    Args:
        disk: writes the export; the log is only read.
        layout: of the data directory.
        verifier: the log's key.
        origin: of the log.
        out: the folder, made if need be.
        progress: called now and then.

    Raises:
        NotFoundError: nothing was published yet.
        ConfigError: ``out`` holds an export of another log, or of a larger tree.
        TamperError: a file of the log is gone or does not read back.
        DurabilityError: ``out`` cannot be written.
    """
    pinned = read_newest(layout, verifier, origin=origin)
    note = read_published(layout)
    if pinned is None or note is None:
        raise NotFoundError(f"{layout.root} has no published checkpoint yet: nothing is sealed")
    checkpoint = open_checkpoint(note, verifier, origin=origin)
    if pinned.manifest.tree_size < checkpoint.tree_size:
        raise ManifestError(
            f"the newest manifest has tree size {pinned.manifest.tree_size}, the published "
            f"checkpoint {checkpoint.tree_size}",
            want=checkpoint.tree_size,
            got=pinned.manifest.tree_size,
        )
    old_size = _old_size(out, verifier, checkpoint)
    export = _Export(disk, out, old_size, checkpoint.tree_size, progress)
    export.write_tiles(
        TilesReader(layout.root, [file.named for file in pinned.live.folder("tiles")])
    )
    segments = [file.named for file in pinned.live.folder("segments")]
    export.write_bundles(layout.root, segments)
    export.finish(note)
    return ExportReport(
        origin=origin,
        old_size=old_size,
        tree_size=checkpoint.tree_size,
        files_count=export.files_count,
    )


class _Export:
    """One run: what is new between two tree sizes."""

    def __init__(
        self, disk: Disk, out: Path, old_size: TreeSize, tree_size: TreeSize, progress: Progress
    ) -> None:
        self.files_count = 0
        self._disk = disk
        self._out = out
        self._old_size = old_size
        self._tree_size = tree_size
        self._progress = progress
        self._folders: set[Path] = set()

    def write_tiles(self, reader: TilesReader) -> None:
        tiles = list(tiles_between(old_size=self._old_size, new_size=self._tree_size))
        for done, tile in enumerate(tiles):
            self._write(tile.path, reader.read_hashes(tile.level, tile.start, tile.end))
            self._progress(done + 1, len(tiles), "tiles")

    def write_bundles(self, root: Path, segments: Sequence[RangeFile]) -> None:
        first = self._old_size - self._old_size % TILE_WIDTH
        entries = _read_entries(root, segments, first)
        waiting: list[bytes] = []
        for bundle in bundles_between(old_size=self._old_size, new_size=self._tree_size):
            while len(waiting) < bundle.width:
                waiting += next(entries)
            self._write(bundle.path, encode_bundle(waiting[: bundle.width]))
            del waiting[: bundle.width]
            self._progress(bundle.end, self._tree_size, "entries")

    def finish(self, note: bytes) -> None:
        """Make the names durable, deepest first, and only then say that the tree is there."""
        for folder in sorted(self._folders, reverse=True):
            sync_directory(self._disk, folder)
        self._out.mkdir(parents=True, exist_ok=True)
        replace_file(self._disk, self._out / "checkpoint", note)

    def _write(self, name: str, data: bytes) -> None:
        path = self._out / name
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        try:
            if path.parent not in self._folders:
                path.parent.mkdir(parents=True, exist_ok=True)
                within = path.relative_to(self._out).parents
                self._folders.update(self._out / folder for folder in within)
            write_file(self._disk, temporary, data)
            self._disk.rename(temporary, path)
        except OSError as error:
            raise DurabilityError(f"write {path}: {error.strerror}", path=path) from error
        self.files_count += 1


def _old_size(out: Path, verifier: Verifier, now: Checkpoint) -> TreeSize:
    """How much of the tree is in ``out`` already."""
    try:
        note = (out / "checkpoint").read_bytes()
    except FileNotFoundError:
        return _NEW_SIZE
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}", path=out) from error
    old = open_checkpoint(note, verifier, origin=now.origin)
    if old.tree_size > now.tree_size:
        raise ConfigError(
            f"{out} holds an export of {old.tree_size} entries, the log has {now.tree_size}: "
            "`meshtrail verify` says whether the log was rolled back",
            path=out,
        )
    return old.tree_size


def _read_entries(root: Path, segments: Sequence[RangeFile], first: int) -> Iterator[list[bytes]]:
    """The entries from index ``first`` on, some at a time."""
    for named in segments:
        if named.end <= first:
            continue
        start = named.start
        try:
            for table in iterate_segment(root / named.path, ["entry"], rows_max=_READ_ROWS):
                entries = table.column("entry").slice(max(first - start, 0)).to_pylist()
                start += table.num_rows
                yield entries
        except FileNotFoundError as error:
            raise MissingFileError(f"{named.path} is gone", path=named.path) from error
        except (pa.ArrowException, OSError) as error:
            raise DigestError(
                f"{named.path} does not read back: {error}", path=named.path
            ) from error
    raise ManifestError("the live segments end before the tree does")
