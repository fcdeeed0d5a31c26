from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.api import published_log
from meshtrail.api.entry_reader import EntryReader
from meshtrail.api.published_log import PublishedLog
from meshtrail.errors import (
    ConsistencyError,
    ManifestError,
    NotFoundError,
    RollbackError,
    SignatureError,
)
from meshtrail.merkle import EntryBundle, Tile, decode_bundle, hash_leaves
from meshtrail.note import UnverifiedCheckpoint, generate_signer, sign_checkpoint
from meshtrail.store.durable import Disk
from meshtrail.store.layout import segment_file, tiles_file
from meshtrail.store.manifest import CommittedFile, Manifest
from meshtrail.store.manifest_files import write_manifest
from meshtrail.store.manifest_follower import ManifestFollower
from meshtrail.units import TreeSize, UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def published(log: SmallLog) -> PublishedLog:
    verifier = log.signer.verifier
    manifests = ManifestFollower(log.layout, verifier, origin=ORIGIN)
    return PublishedLog(
        log.layout, verifier, manifests, EntryReader(log.layout.root), origin=ORIGIN
    )


def test_nothing_published_is_not_found(log: SmallLog) -> None:
    reading = published(log)
    with pytest.raises(NotFoundError):
        reading.read_head()
    with pytest.raises(NotFoundError):
        reading.read_tile(Tile(0, 0, 1))


def test_the_head_is_what_stands_there_once_its_signature_was_checked(log: SmallLog) -> None:
    log.add_segment([{}] * 3)
    reading = published(log)
    head = reading.read_head()
    assert head.note == log.layout.published.read_bytes()
    assert head.checkpoint.tree_size == 3
    log.layout.published.write_bytes(head.note.replace(b"\n3\n", b"\n4\n"))
    with pytest.raises(SignatureError):
        reading.read_head()


def test_a_head_that_became_smaller_or_another_is_tampering(log: SmallLog) -> None:
    log.add_segment([{}])
    before = log.layout.published.read_bytes()
    log.add_segment([{}])
    reading = published(log)
    reading.read_head()
    log.layout.published.write_bytes(before)
    with pytest.raises(RollbackError):
        reading.read_head()
    fork = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(2), root_hash=bytes(32))
    log.layout.published.write_bytes(sign_checkpoint(fork, log.signer))
    with pytest.raises(ConsistencyError):
        reading.read_head()


def test_another_logs_key_is_not_believed(log: SmallLog) -> None:
    log.add_segment([{}])
    log.signer = generate_signer(ORIGIN)
    with pytest.raises(SignatureError):
        published(log).read_head()


def test_only_what_is_published_is_given_out(log: SmallLog) -> None:
    log.add_segment([{}] * 3)
    log.add_segment([{}] * 2, is_published=False)
    reading = published(log)
    for width in (1, 2, 3):
        hashes = reading.read_tile(Tile(0, 0, width))
        entries = decode_bundle(reading.read_bundle(EntryBundle(0, width)), width=width)
        assert hash_leaves(entries) == hashes
    with pytest.raises(NotFoundError, match=r"published tree of 3 entries has no tile/0/000\.p/4"):
        reading.read_tile(Tile(0, 0, 4))
    with pytest.raises(NotFoundError):
        reading.read_bundle(EntryBundle(0, 5))
    log.publish()
    assert len(reading.read_tile(Tile(0, 0, 5))) == 5 * 32


def test_a_tile_of_a_level_that_is_not_complete_does_not_exist(log: SmallLog) -> None:
    log.add_segment([{}] * 255)
    reading = published(log)
    with pytest.raises(NotFoundError):
        reading.read_tile(Tile(1, 0, 1))
    log.add_segment([{}])
    assert len(reading.read_tile(Tile(1, 0, 1))) == 32


def merge_all(log: SmallLog, parts: list[tuple[int, int]]) -> None:
    """One pair in place of several, as a merge commits it; the old files go at once."""
    end = parts[-1][1]
    files = []
    for make in (segment_file, tiles_file):
        named = make(0, end)
        source = make(*parts[0])
        # What a merged pair holds is not looked at here, only where it is looked for.
        data = (log.layout.root / source.path).read_bytes()
        (log.layout.root / named.path).write_bytes(data)
        files.append(CommittedFile(named, len(data), bytes(32)))
    dropped = tuple(make(*part) for part in parts for make in (segment_file, tiles_file))
    manifest = Manifest(
        origin=ORIGIN,
        number=log.manifests_count,
        previous=log.previous,
        time_ns=UnixNanos(FIRST_NS),
        tree_size=TreeSize(end),
        root_hash=log.frontier.root(),
        reasons=("merge",),
        is_snapshot=False,
        journals=(),
        dropped=dropped,
        files=tuple(files),
    )
    log.previous = write_manifest(Disk(), log.layout, manifest, log.signer)
    log.manifests_count += 1
    for named in dropped:
        (log.layout.root / named.path).unlink()


def test_a_file_that_was_merged_away_is_looked_for_in_the_newest_manifest(log: SmallLog) -> None:
    log.add_segment([{}] * 4)
    log.add_segment([{}] * 2)
    reading = published(log)
    before = reading.read_tile(Tile(0, 0, 3))
    merge_all(log, [(0, 4), (4, 6)])
    assert reading.read_tile(Tile(0, 0, 3)) == before


def test_manifests_that_end_before_the_checkpoint_are_tampering(log: SmallLog) -> None:
    log.add_segment([{}])
    log.add_segment([{}])
    (log.layout.manifests / f"{1:012}").unlink()
    with pytest.raises(ManifestError, match="newest manifest has tree size 1"):
        published(log).read_tile(Tile(0, 0, 2))


def test_the_pinned_files_are_looked_up_anew_after_a_while(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add_segment([{}] * 4)
    reading = published(log)
    reading.read_tile(Tile(0, 0, 1))
    first = reading._view
    reading.read_tile(Tile(0, 0, 1))
    assert reading._view is first
    monkeypatch.setattr(published_log, "PINNED_SECONDS_MAX", -1.0)
    reading.read_tile(Tile(0, 0, 1))
    assert reading._view is not first
