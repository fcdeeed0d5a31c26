from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.errors import ManifestError, ManifestSyntaxError, MissingFileError, SignatureError
from meshtrail.note import generate_signer
from meshtrail.store.durable import Disk
from meshtrail.store.layout import Layout, segment_file, tiles_file
from meshtrail.store.manifest import CommittedFile, LiveFiles, Manifest
from meshtrail.store.manifest_files import (
    manifest_numbers,
    manifest_path,
    read_manifests,
    read_newest,
    write_manifest,
)
from meshtrail.units import TreeSize, UnixNanos
from tests.faults.fake_disk import TracingDisk

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "mesh/one/1f2e3d4c"
SIGNER = generate_signer(ORIGIN)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "manifest").mkdir()
    return Layout(tmp_path)


def write_chain(layout: Layout, count: int, *, snapshots: tuple[int, ...] = (0,)) -> LiveFiles:
    """Manifest n adds the files of entry n - 1; a snapshot changes nothing."""
    previous = None
    live = LiveFiles()
    for number in range(count):
        manifest = manifest_of(number, previous)
        if number in snapshots:
            files = tuple(live.by_name.values())
            manifest = manifest_of(number, previous, is_snapshot=True, files=files)
        live.apply(manifest)
        previous = write_manifest(Disk(), layout, manifest, SIGNER)
    return live


def manifest_of(number: int, previous: bytes | None, **changes: Any) -> Manifest:
    start, end = number - 1, number
    facts: dict[str, Any] = {
        "origin": ORIGIN,
        "number": number,
        "previous": previous,
        "time_ns": UnixNanos(number),
        "tree_size": TreeSize(number),
        "root_hash": bytes(32),
        "reasons": ("tick",),
        "is_snapshot": False,
        "journals": (),
        "dropped": (),
        "files": (
            CommittedFile(segment_file(start, end), 1, bytes(32)),
            CommittedFile(tiles_file(start, end), 32, bytes(32)),
        ),
    }
    return Manifest(**{**facts, **changes})


def numbers_read(layout: Layout, numbers: list[int]) -> list[int]:
    read = read_manifests(layout, SIGNER.verifier, origin=ORIGIN, numbers=numbers)
    return [manifest.number for manifest, _ in read]


def test_manifest_exists_whole_or_not_at_all(layout: Layout) -> None:
    disk = TracingDisk(layout.root)
    write_manifest(disk, layout, manifest_of(3, bytes(32)), SIGNER)
    assert disk.calls == [
        "write manifest/000000000003.tmp",
        "fsync manifest/000000000003.tmp",
        "rename manifest/000000000003",
        "fsync manifest",
    ]


def test_numbers_are_those_of_manifests_alone(layout: Layout) -> None:
    write_chain(layout, 3)
    for name in ("000000000007.tmp", "3", "README", "000000000009 "):
        (layout.manifests / name).write_bytes(b"")
    assert manifest_numbers(layout) == [0, 1, 2]


def test_newest_manifest_comes_with_the_live_files_folded_from_the_snapshot(
    layout: Layout,
) -> None:
    live = write_chain(layout, 7, snapshots=(0, 3))
    for number in (0, 1, 2):
        manifest_path(layout, number).unlink()
    pinned = read_newest(layout, SIGNER.verifier, origin=ORIGIN)
    assert pinned is not None
    assert pinned.manifest.number == 6
    assert pinned.live.by_name == live.by_name
    assert len(pinned.live.by_name) == 2 * 5


def test_newest_of_no_manifests_is_none(layout: Layout) -> None:
    assert read_newest(layout, SIGNER.verifier, origin=ORIGIN) is None


def test_newest_without_a_snapshot_is_refused(layout: Layout) -> None:
    write_chain(layout, 4)
    manifest_path(layout, 0).unlink()
    with pytest.raises(ManifestError, match="no manifest is a snapshot"):
        read_newest(layout, SIGNER.verifier, origin=ORIGIN)


def test_chain_reads_back_in_order_with_digests(layout: Layout) -> None:
    write_chain(layout, 4)
    read = list(read_manifests(layout, SIGNER.verifier, origin=ORIGIN, numbers=[0, 1, 2, 3]))
    assert [manifest.previous for manifest, _ in read[1:]] == [digest for _, digest in read[:-1]]


def test_manifest_that_is_gone_is_named(layout: Layout) -> None:
    write_chain(layout, 4)
    manifest_path(layout, 2).unlink()
    with pytest.raises(MissingFileError, match="manifest/000000000002 is gone"):
        numbers_read(layout, [0, 1, 2, 3])
    with pytest.raises(MissingFileError, match="manifest/000000000002 is gone"):
        read_newest(layout, SIGNER.verifier, origin=ORIGIN)


def test_manifest_that_is_a_directory_is_named(layout: Layout) -> None:
    write_chain(layout, 2)
    manifest_path(layout, 2).mkdir()
    with pytest.raises(MissingFileError, match="manifest/000000000002 is gone"):
        read_newest(layout, SIGNER.verifier, origin=ORIGIN)


def test_manifest_that_follows_another_history_is_refused(layout: Layout) -> None:
    write_chain(layout, 3)
    write_manifest(Disk(), layout, manifest_of(3, b"x" * 32), SIGNER)
    with pytest.raises(ManifestError, match="manifest 3 follows a manifest 2 with digest 7878"):
        numbers_read(layout, [0, 1, 2, 3])


def test_manifest_without_previous_is_refused_behind_another(layout: Layout) -> None:
    write_chain(layout, 3)
    write_manifest(Disk(), layout, manifest_of(3, None), SIGNER)
    with pytest.raises(ManifestError, match="with digest none"):
        numbers_read(layout, [2, 3])


def test_manifest_of_a_smaller_tree_is_refused(layout: Layout) -> None:
    write_chain(layout, 2)
    (_, digest) = list(read_manifests(layout, SIGNER.verifier, origin=ORIGIN, numbers=[0, 1]))[1]
    write_manifest(Disk(), layout, manifest_of(2, digest, tree_size=TreeSize(0)), SIGNER)
    with pytest.raises(ManifestError, match="tree size 0, smaller than 1"):
        numbers_read(layout, [0, 1, 2])


def test_every_flipped_byte_of_a_manifest_is_refused(layout: Layout) -> None:
    write_chain(layout, 3)
    path = manifest_path(layout, 2)
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises((SignatureError, ManifestSyntaxError)):
            read_newest(layout, SIGNER.verifier, origin=ORIGIN)
    path.write_bytes(good)
    assert read_newest(layout, SIGNER.verifier, origin=ORIGIN) is not None
