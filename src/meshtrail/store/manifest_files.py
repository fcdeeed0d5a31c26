"""Manifests on disk: find, read and write them, and fold them into the live set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import ManifestError, MissingFileError
from meshtrail.store.durable import replace_file
from meshtrail.store.manifest import (
    LiveFiles,
    Manifest,
    manifest_digest,
    open_manifest,
    sign_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.note import Signer, Verifier
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout

_NAME = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class PinnedManifest:
    """A manifest, its digest, and the files that are live at it."""

    manifest: Manifest
    digest: bytes
    live: LiveFiles


def manifest_path(layout: Layout, number: int) -> Path:
    """Where manifest ``number`` lies."""
    return layout.manifests / f"{number:012}"


def manifest_numbers(layout: Layout) -> list[int]:
    """The numbers of the manifests that are there, ascending; temporary files do not count."""
    return sorted(
        int(path.name) for path in layout.manifests.iterdir() if _NAME.fullmatch(path.name)
    )


def read_manifests(
    layout: Layout, verifier: Verifier, *, origin: str, numbers: list[int]
) -> Iterator[tuple[Manifest, bytes]]:
    """Read manifests in order, each checked against its signature and the one before it.

    Returns:
        (manifest, digest of its bytes).

    Raises:
        SignatureError, ManifestSyntaxError, ManifestError: a manifest is not what the log signed,
            or does not follow from the one before it.
        MissingFileError: one is gone.
    """
    before: tuple[int, int, bytes] | None = None
    for number in numbers:
        data = _read(layout, number)
        manifest = open_manifest(data, verifier, origin=origin, number=number)
        if before is not None:
            _check_follows(manifest, before)
        digest = manifest_digest(data)
        before = (number, manifest.tree_size, digest)
        yield manifest, digest


def read_newest(layout: Layout, verifier: Verifier, *, origin: str) -> PinnedManifest | None:
    """The newest manifest with its live files; None when there is none yet.

    Cost: reads back to the newest snapshot, at most 256 manifests.
    """
    numbers = manifest_numbers(layout)
    if not numbers:
        return None
    wanted = _since_snapshot(layout, verifier, origin=origin, numbers=numbers)
    live = LiveFiles()
    pinned: PinnedManifest | None = None
    for manifest, digest in read_manifests(layout, verifier, origin=origin, numbers=wanted):
        live.apply(manifest)
        pinned = PinnedManifest(manifest, digest, live)
    return pinned


def write_manifest(disk: Disk, layout: Layout, manifest: Manifest, signer: Signer) -> bytes:
    """Write a manifest so that it exists whole or not at all.

    Returns:
        The digest that the next one calls ``previous``.
    """
    data = sign_manifest(manifest, signer)
    replace_file(disk, manifest_path(layout, manifest.number), data)
    return manifest_digest(data)


def _since_snapshot(
    layout: Layout, verifier: Verifier, *, origin: str, numbers: list[int]
) -> list[int]:
    """The numbers from the newest snapshot on."""
    for at in range(len(numbers) - 1, -1, -1):
        data = _read(layout, numbers[at])
        if open_manifest(data, verifier, origin=origin, number=numbers[at]).is_snapshot:
            return numbers[at:]
    raise ManifestError("no manifest is a snapshot: the older ones are gone", number=numbers[0])


def _read(layout: Layout, number: int) -> bytes:
    try:
        return manifest_path(layout, number).read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingFileError(f"manifest/{number:012} is gone", number=number) from error


def _check_follows(manifest: Manifest, before: tuple[int, int, bytes]) -> None:
    number, tree_size, digest = before
    if manifest.number != number + 1:
        raise MissingFileError(
            f"manifest/{number + 1:012} is gone: the next there is {manifest.number}",
            number=number + 1,
        )
    if manifest.previous != digest:
        got = manifest.previous.hex()[:16] if manifest.previous else "none"
        raise ManifestError(
            f"manifest {manifest.number} follows a manifest {number} with digest {got}, "
            f"the one there has {digest.hex()[:16]}",
            number=manifest.number,
            want=digest,
            got=manifest.previous,
        )
    if manifest.tree_size < tree_size:
        raise ManifestError(
            f"manifest {manifest.number} has tree size {manifest.tree_size}, "
            f"smaller than {tree_size} before it",
            number=manifest.number,
        )
