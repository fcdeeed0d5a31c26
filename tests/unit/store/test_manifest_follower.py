from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import ManifestError, RollbackError, SignatureError
from meshtrail.note import generate_signer
from meshtrail.store import manifest_follower
from meshtrail.store.manifest_files import (
    manifest_numbers,
    manifest_path,
    read_manifests,
    read_newest,
)
from meshtrail.store.manifest_follower import ManifestFollower
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


@pytest.fixture
def follower(log: SmallLog) -> ManifestFollower:
    return ManifestFollower(log.layout, log.signer.verifier, origin=ORIGIN)


def test_follower_says_what_a_fresh_reading_says_at_every_step(
    log: SmallLog, follower: ManifestFollower
) -> None:
    assert follower.read() is None
    for count in range(1, 6):
        log.add_segment([{}] * count)
        pinned = follower.read()
        fresh = read_newest(log.layout, log.signer.verifier, origin=ORIGIN)
        assert pinned is not None
        assert fresh is not None
        assert (pinned.manifest, pinned.digest) == (fresh.manifest, fresh.digest)
        assert pinned.live.by_name == fresh.live.by_name


def test_follower_reads_only_what_is_new(
    log: SmallLog, follower: ManifestFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        log.add_segment([{}])
    follower.read()
    log.add_segment([{}])
    read: list[list[int]] = []
    genuine = read_manifests

    def counting(*arguments: object, numbers: list[int], **named: object) -> Iterator[object]:
        read.append(numbers)
        return genuine(*arguments, numbers=numbers, **named)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(manifest_follower, "read_manifests", counting)
    follower.read()
    follower.read()
    assert read == [[3, 4]]


def test_what_was_handed_out_does_not_change_afterwards(
    log: SmallLog, follower: ManifestFollower
) -> None:
    log.add_segment([{}])
    pinned = follower.read()
    assert pinned is not None
    before = dict(pinned.live.by_name)
    log.add_segment([{}])
    follower.read()
    assert pinned.live.by_name == before


def test_follower_goes_on_when_its_manifest_was_removed_behind_newer_snapshots(
    log: SmallLog, follower: ManifestFollower
) -> None:
    log.add_segment([{}])
    follower.read()
    for _ in range(3):
        log.add_segment([{}])
    # As though manifest 3 were a snapshot, and those before it gone.
    shutil.copytree(log.layout.manifests, log.layout.root / "kept")
    manifest_path(log.layout, 0).unlink()
    with pytest.raises(ManifestError):
        follower.read()
    shutil.copy(log.layout.root / "kept" / f"{0:012}", manifest_path(log.layout, 0))
    pinned = follower.read()
    assert pinned is not None
    assert pinned.manifest.number == 3


def test_a_manifest_that_goes_while_it_is_read_on_from_is_no_tampering(
    log: SmallLog, follower: ManifestFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add_segment([{}])
    follower.read()
    log.add_segment([{}])
    # Between two looks at the folder.
    monkeypatch.setattr(manifest_follower, "manifest_numbers", lambda _: [1])
    pinned = follower.read()
    assert pinned is not None
    assert pinned.manifest.number == 1
    assert manifest_numbers(log.layout) == [0, 1]


def test_another_manifest_in_the_place_of_a_known_one_is_a_rollback(
    log: SmallLog, follower: ManifestFollower
) -> None:
    log.add_segment([{}])
    before, previous = manifest_path(log.layout, 0).read_bytes(), log.previous
    log.add_segment([{}])
    follower.read()
    manifest_path(log.layout, 1).unlink()
    log.previous, log.manifests_count = previous, 1
    log.add_segment([{}] * 2)
    assert manifest_path(log.layout, 0).read_bytes() == before
    with pytest.raises(RollbackError):
        follower.read()


def test_a_directory_that_became_older_is_a_rollback(
    log: SmallLog, follower: ManifestFollower
) -> None:
    log.add_segment([{}])
    log.add_segment([{}])
    follower.read()
    manifest_path(log.layout, 1).unlink()
    with pytest.raises(RollbackError):
        follower.read()


def test_a_manifest_that_another_key_signed_is_refused(
    log: SmallLog, follower: ManifestFollower
) -> None:
    log.add_segment([{}])
    follower.read()
    log.signer = generate_signer(ORIGIN)
    log.add_segment([{}])
    with pytest.raises(SignatureError):
        follower.read()
