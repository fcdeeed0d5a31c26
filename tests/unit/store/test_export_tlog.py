from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import (
    ConfigError,
    DurabilityError,
    MissingFileError,
    NotFoundError,
    SignatureError,
)
from meshtrail.merkle import AuthenticTree, TileReader, check_bundle, decode_bundle
from meshtrail.merkle.tile import bundles_for_size, tiles_for_size
from meshtrail.note import open_checkpoint
from meshtrail.store.durable import Disk
from meshtrail.store.export_tlog import ExportReport, export_tlog
from meshtrail.units import LeafIndex
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.merkle import Tile


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def export(log: SmallLog, out: Path, disk: Disk | None = None) -> ExportReport:
    return export_tlog(
        disk or Disk(),
        log.layout,
        log.signer.verifier,
        origin=ORIGIN,
        out=out,
        progress=lambda *_: None,
    )


class Folder:
    """An export as any client reads it; a ``TileSource``."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def read_tile(self, tile: Tile) -> bytes:
        try:
            return (self.out / tile.path).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(tile.path) from None


def check_export(log: SmallLog, out: Path) -> None:
    """Read everything back, and hold it against the exported checkpoint."""
    note = (out / "checkpoint").read_bytes()
    checkpoint = open_checkpoint(note, log.signer.verifier, origin=ORIGIN)
    size = checkpoint.tree_size
    reader = TileReader(Folder(out), tree_size=size)
    tree = AuthenticTree(reader, tree_size=size, root_hash=checkpoint.root_hash)
    for tile in tiles_for_size(size):
        assert (out / tile.path).is_file()
    for bundle in bundles_for_size(size):
        entries = decode_bundle((out / bundle.path).read_bytes(), width=bundle.width)
        hashes = tree.read_hashes(0, bundle.start, bundle.end)
        check_bundle(entries, leaf_hashes=hashes, start_index=LeafIndex(bundle.start))


@pytest.mark.parametrize("sizes", [[1], [3, 2], [255, 1], [256], [200, 57], [300, 300]])
def test_an_export_holds_every_tile_and_entry_of_the_tree(
    log: SmallLog, tmp_path: Path, sizes: list[int]
) -> None:
    for size in sizes:
        log.add_segment([{}] * size)
    out = tmp_path / "a" / "out"
    report = export(log, out)
    assert (report.old_size, report.tree_size) == (0, sum(sizes))
    assert (out / "checkpoint").read_bytes() == log.layout.published.read_bytes()
    check_export(log, out)
    assert not list(out.rglob("*.tmp"))


def test_an_export_is_brought_up_to_date_without_writing_full_tiles_again(
    log: SmallLog, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    log.add_segment([{}] * 300)
    export(log, out)
    full = {out / "tile/0/000", out / "tile/entries/000"}
    before = {path: path.stat().st_ino for path in full}
    log.add_segment([{}] * 300)
    report = export(log, out)
    assert (report.old_size, report.tree_size) == (300, 600)
    assert {path: path.stat().st_ino for path in full} == before
    check_export(log, out)
    assert export(log, out).files_count == 0


def test_an_export_cut_short_keeps_the_old_checkpoint_and_is_finished_by_the_next(
    log: SmallLog, tmp_path: Path
) -> None:
    class Failing(Disk):
        left = 3

        def rename(self, old: Path, new: Path) -> None:
            if self.left == 0:
                raise OSError(5, "pulled out")
            self.left -= 1
            super().rename(old, new)

    out = tmp_path / "out"
    log.add_segment([{}] * 300)
    export(log, out)
    old = (out / "checkpoint").read_bytes()
    log.add_segment([{}] * 300)
    with pytest.raises(DurabilityError, match="pulled out"):
        export(log, out, Failing())
    assert (out / "checkpoint").read_bytes() == old
    check_export(log, out)
    export(log, out)
    check_export(log, out)


def test_nothing_is_exported_before_the_first_checkpoint(log: SmallLog, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        export(log, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_of_another_log_or_a_larger_tree_is_left_alone(
    log: SmallLog, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    log.add_segment([{}] * 2)
    export(log, out)
    other = make_log(tmp_path / "other")
    other.add_segment([{}] * 5)
    with pytest.raises(SignatureError):
        export(other, out)
    smaller = make_log(tmp_path / "smaller", log.signer)
    smaller.add_segment([{}])
    with pytest.raises(ConfigError, match="rolled back"):
        export(smaller, out)
    check_export(log, out)


def test_a_segment_that_is_gone_is_named(log: SmallLog, tmp_path: Path) -> None:
    path = log.add_segment([{}] * 2)
    path.unlink()
    with pytest.raises(MissingFileError, match=path.name):
        export(log, tmp_path / "out")
