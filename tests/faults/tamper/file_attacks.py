"""Attacks on committed files and manifests.

The docstring of each attack is its line in docs/tamper-catalogue.md.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from meshtrail.store.manifest import JournalPosition
from meshtrail.units import UnixNanos
from tests.faults.tamper.attack import CATALOGUE, FIRST, FIRST_TILES, SECOND, SECOND_TILES, Power
from tests.faults.tamper.forgery import (
    change_byte,
    cut_end,
    live_files,
    remanifest,
    swap_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.store.manifest import Manifest
    from tests.faults.tamper.scene import Scene


tampered, explained = CATALOGUE.tampered, CATALOGUE.explained
refused, unnoticed = CATALOGUE.refused, CATALOGUE.unnoticed


CATALOGUE.group("Committed files")


@tampered("DigestError", FIRST)
def change_a_segment(scene: Scene) -> None:
    """One byte of a segment is changed."""
    change_byte(scene.root / FIRST, 9_000)


@tampered("DigestError", SECOND)
def cut_a_segment(scene: Scene) -> None:
    """A segment is cut short."""
    cut_end(scene.root / SECOND, 1)


@tampered("DigestError", FIRST)
def swap_segments(scene: Scene) -> None:
    """Two segments change places."""
    swap_files(*live_files(scene, "segments")[:2])


@tampered("MissingFileError", SECOND)
def remove_a_segment(scene: Scene) -> None:
    """A segment is removed."""
    (scene.root / SECOND).unlink()


@tampered("MissingFileError", SECOND)
def replace_a_segment_by_a_pipe(scene: Scene) -> None:
    """A named pipe stands where a segment was, so that a reader would wait forever."""
    (scene.root / SECOND).unlink()
    os.mkfifo(scene.root / SECOND)


@tampered("DigestError", FIRST_TILES)
def change_a_tiles_file(scene: Scene) -> None:
    """One byte of a tiles file is changed."""
    change_byte(scene.root / FIRST_TILES, 33)


@tampered("DigestError", SECOND_TILES)
def cut_a_tiles_file(scene: Scene) -> None:
    """A tiles file is cut short."""
    cut_end(scene.root / SECOND_TILES, 32)


@tampered("DigestError", FIRST_TILES)
def swap_tiles(scene: Scene) -> None:
    """Two tiles files change places."""
    swap_files(*live_files(scene, "tiles")[:2])


@tampered("MissingFileError", FIRST_TILES)
def remove_tiles(scene: Scene) -> None:
    """A tiles file is removed."""
    (scene.root / FIRST_TILES).unlink()


@tampered("DigestError", "blobs/71206d6d47d796878d85b83d0c2b18ca7d0d2bb277b69fa20e19a7b84c7e2b46")
def change_a_blob(scene: Scene) -> None:
    """The stored identifier of a stream is changed."""
    change_byte(min(scene.layout.blobs.iterdir()), 3)


@tampered(
    "MissingFileError", "blobs/ffc12fec8ca1099d73267107960bbc2a9ed2dc9e848f0c6b2ce9e2add6a98f3d"
)
def remove_a_blob(scene: Scene) -> None:
    """The stored whole of a large record is removed."""
    max(scene.layout.blobs.iterdir()).unlink()


@refused("LayoutError")
def remove_format(scene: Scene) -> None:
    """format.toml is removed."""
    scene.layout.format_file.unlink()


@refused("LayoutError")
def raise_the_layout(scene: Scene) -> None:
    """format.toml says a newer layout."""
    text = scene.layout.format_file.read_text()
    scene.layout.format_file.write_text(text.replace("layout = 2", "layout = 3"))


CATALOGUE.group("Manifests")


@tampered("SignatureError", "manifest/000000000003")
def change_a_manifest(scene: Scene) -> None:
    """One byte of a manifest is changed."""
    change_byte(scene.layout.manifests / "000000000003", 200)


@tampered("MissingFileError", "manifest/000000000002")
def remove_a_manifest(scene: Scene) -> None:
    """A manifest is removed from the middle."""
    (scene.layout.manifests / "000000000002").unlink()


@tampered("MissingFileError", "manifest/000000000001")
def remove_the_oldest_manifests(scene: Scene) -> None:
    """The oldest manifests are removed, although no two snapshots follow them."""
    for number in range(2):
        (scene.layout.manifests / f"{number:012}").unlink()


@tampered("RollbackError", "checkpoint 16")
def remove_the_newest_manifest(scene: Scene) -> None:
    """The newest manifest is removed."""
    (scene.layout.manifests / "000000000005").unlink()


@tampered("RollbackError", "checkpoint 16")
def remove_all_manifests(scene: Scene) -> None:
    """All manifests are removed."""
    for path in scene.layout.manifests.iterdir():
        path.unlink()


@tampered("ManifestError", "manifest/000000000002")
def swap_manifests(scene: Scene) -> None:
    """Two manifests change places."""
    swap_files(scene.layout.manifests / "000000000002", scene.layout.manifests / "000000000004")


@tampered("ManifestError", "manifest/000000000005", power=Power.KEY)
def break_the_chain(scene: Scene) -> None:
    """A manifest is signed that follows from another one than is there."""
    remanifest_last(scene, lambda manifest: replace(manifest, previous=bytes(32)))


@tampered("ManifestError", "manifest/000000000005", power=Power.KEY)
def take_a_journal_back(scene: Scene) -> None:
    """A manifest is signed whose journal position lies before that of an earlier one."""
    at = (JournalPosition("collect", 1, 1),)
    remanifest_last(scene, lambda manifest: replace(manifest, journals=at))


@tampered("ManifestError", "manifest/000000000005", power=Power.KEY)
def leave_a_hole_in_the_live_files(scene: Scene) -> None:
    """A manifest is signed that does not name the newest segment."""
    remanifest_last(scene, lambda manifest: replace(manifest, files=manifest.files[1:]))


@tampered("ManifestError", "manifest/000000000005", power=Power.KEY)
def shift_the_time_of_a_manifest(scene: Scene) -> None:
    """A manifest is signed with another time than that of its last entry."""
    remanifest_last(
        scene, lambda manifest: replace(manifest, time_ns=UnixNanos(manifest.time_ns + 1))
    )


def remanifest_last(scene: Scene, change: Callable[[Manifest], Manifest]) -> None:
    """Sign the newest manifest again, changed."""

    def change_last(manifest: Manifest) -> Manifest:
        return change(manifest) if manifest.number == 5 else manifest

    remanifest(scene, signer=scene.signer, change=change_last)
