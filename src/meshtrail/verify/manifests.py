"""The manifest chain, read without trust: signatures, succession, live files, journal positions.

Does not use the folding of the writer's start: each rule of docs/formats/manifest.md is checked
here on bytes. A manifest whose signature is bad is reported and then still read as a claim, so
that the entries can be held against the signed checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from meshtrail.errors import (
    InputError,
    ManifestError,
    ManifestSyntaxError,
    MissingFileError,
    SignatureError,
    TamperError,
)
from meshtrail.note import parse_note
from meshtrail.store.manifest import (
    MANIFEST_BYTES_MAX,
    SNAPSHOT_EVERY,
    CommittedFile,
    LiveFiles,
    Manifest,
    manifest_digest,
    open_manifest,
    parse_manifest,
)
from meshtrail.store.tiles import tiles_bytes
from meshtrail.verify.findings import Finding, noted, short, tampered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshtrail.note import VerifierKey

SNAPSHOTS_KEPT_MIN: Final = 2
"""The sealer removes a manifest only when this many snapshots follow it."""


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """A manifest as it was found.

    Attributes:
        is_signed: whether the trusted key signed it; otherwise it is a claim.
    """

    number: int
    manifest: Manifest
    digest: bytes
    is_signed: bool

    @property
    def name(self) -> str:
        """Its path in DATA."""
        return manifest_name(self.number)


@dataclass(slots=True)
class Chain:
    """What the manifests of a directory say together.

    Attributes:
        manifests: those that could be read, ascending.
        live: the live files at the newest; None when they cannot be told.
        is_holed: whether a manifest is missing since the newest snapshot.
    """

    manifests: list[ReadManifest] = field(default_factory=list)
    live: LiveFiles | None = None
    is_holed: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def newest(self) -> ReadManifest | None:
        """The last manifest that could be read."""
        return self.manifests[-1] if self.manifests else None

    @property
    def tree_size(self) -> int:
        """Size of the tree that the newest names; 0 when there is none."""
        return self.manifests[-1].manifest.tree_size if self.manifests else 0

    def blame(self, error: TamperError, number: int) -> None:
        """Report what is wrong with a manifest."""
        self.findings.append(tampered(error, manifest_name(number)))


def manifest_name(number: int) -> str:
    """Path of a manifest in DATA."""
    return f"manifest/{number:012}"


def read_chain(raw: Sequence[tuple[int, bytes | None]], verifier: VerifierKey) -> Chain:
    """Read every manifest and check what follows from what.

    Args:
        raw: (number, bytes) as a ``Snapshot`` holds them.
        verifier: the trusted key.
    """
    chain = Chain()
    extend_chain(chain, raw, verifier)
    _check_beginning(chain, [number for number, _ in raw])
    return chain


def extend_chain(
    chain: Chain, raw: Sequence[tuple[int, bytes | None]], verifier: VerifierKey
) -> None:
    """Go on with manifests that were written since; they are checked as all others."""
    for number, data in raw:
        read = _read(chain, number, data, verifier)
        _check_succession(chain, number, read)
        if read is not None:
            _check_alone(chain, read)
            _fold(chain, read)
            chain.manifests.append(read)
        else:
            chain.is_holed = True


def _read(
    chain: Chain, number: int, data: bytes | None, verifier: VerifierKey
) -> ReadManifest | None:
    """One manifest; None when not even its claim can be read."""
    name = manifest_name(number)
    if data is None:
        chain.blame(MissingFileError(f"{name} is no regular file", path=name), number)
        return None
    try:
        manifest = open_manifest(data, verifier, origin=verifier.name, number=number)
        return ReadManifest(number, manifest, manifest_digest(data), is_signed=True)
    except ManifestError as error:
        chain.blame(error, number)
        return None
    except (InputError, SignatureError) as error:
        chain.blame(
            SignatureError(
                f"{name} is not what {verifier.name} signed: {error.message}", number=number
            ),
            number,
        )
    try:
        claim = parse_manifest(parse_note(data, bytes_max=MANIFEST_BYTES_MAX).text)
    except InputError:
        return None
    return ReadManifest(number, claim, manifest_digest(data), is_signed=False)


def _check_succession(chain: Chain, number: int, read: ReadManifest | None) -> None:
    """Numbers, digests, sizes and journal positions against the manifest before."""
    if not chain.manifests:
        return
    before = chain.manifests[-1]
    chain.is_holed = chain.is_holed or before.number != number - 1
    for gone in range(before.number + 1, number)[:SNAPSHOT_EVERY]:
        if not any(finding.subject == manifest_name(gone) for finding in chain.findings):
            chain.blame(MissingFileError(f"{manifest_name(gone)} is gone", number=gone), gone)
    # What follows a manifest that is not the signed one differs from it: that is no second fault.
    if read is None or not (read.is_signed and before.is_signed) or before.number != number - 1:
        return
    now, then = read.manifest, before.manifest
    if now.previous != before.digest:
        chain.blame(
            ManifestError(
                f"{read.name} follows a manifest with digest {short(now.previous)}, "
                f"{before.name} has {short(before.digest)}",
                number=number,
                want=before.digest,
                got=now.previous,
            ),
            number,
        )
    if now.tree_size < then.tree_size or now.time_ns < then.time_ns:
        chain.blame(
            ManifestError(
                f"{read.name} goes back: tree size {then.tree_size} to {now.tree_size}, "
                f"time {then.time_ns} to {now.time_ns}",
                number=number,
            ),
            number,
        )
    reached = {at.writer: at for at in now.journals}
    for at in then.journals:
        if at.writer not in reached or reached[at.writer] < at:
            chain.blame(
                ManifestError(
                    f"{read.name}: the position of journal {at.writer} goes back from "
                    f"file {at.file_number} offset {at.offset}",
                    number=number,
                    writer=at.writer,
                ),
                number,
            )


def _check_alone(chain: Chain, read: ReadManifest) -> None:
    """What a single manifest has to keep by itself."""
    manifest, number = read.manifest, read.number
    if number % SNAPSHOT_EVERY == 0 and not manifest.is_snapshot:
        chain.blame(ManifestError(f"{read.name} has to be a snapshot", number=number), number)
    if (manifest.previous is None) != (number == 0):
        chain.blame(
            ManifestError(f"{read.name} names no manifest before it", number=number), number
        )
    for file in manifest.files:
        want = tiles_bytes(file.named.start, file.named.end)
        if file.named.folder == "tiles" and file.bytes_count != want:
            chain.blame(
                ManifestError(
                    f"{read.name} says {file.named.path} has {file.bytes_count} bytes, "
                    f"its range makes {want}",
                    number=number,
                ),
                number,
            )


def _fold(chain: Chain, read: ReadManifest) -> None:
    """Go on to the live files of a manifest, and check that they cover its tree."""
    manifest = read.manifest
    if manifest.is_snapshot and (chain.live is None or chain.is_holed):
        chain.live, chain.is_holed = LiveFiles(), False
    if chain.live is None:
        return
    if chain.is_holed:
        chain.live = _fold_over_hole(chain.live, manifest)
        return
    try:
        chain.live.apply(manifest)
        chain.live.check_cover(manifest.tree_size, number=read.number)
        _check_pairs(chain.live, read)
    except ManifestError as error:
        chain.blame(error, read.number)
        chain.live = LiveFiles(manifest.files) if manifest.is_snapshot else None


def _fold_over_hole(live: LiveFiles, manifest: Manifest) -> LiveFiles:
    """Go on as well as can be where a manifest is missing: the entries may all be there still."""
    kept = {file.named: file for file in live.by_name.values()}
    for named in manifest.dropped:
        kept.pop(named, None)
    kept.update((file.named, file) for file in manifest.files)
    return LiveFiles(kept.values())


def _check_pairs(live: LiveFiles, read: ReadManifest) -> None:
    """Every segment has a tiles file of the same range."""
    segments = _ranges(live.folder("segments"))
    tiles = _ranges(live.folder("tiles"))
    for segment, tile in zip(segments, tiles, strict=False):
        if segment != tile:
            raise ManifestError(
                f"{read.name}: segment {segment} has no tiles of its range, tiles are {tile}",
                number=read.number,
            )


def _ranges(files: Iterable[CommittedFile]) -> list[tuple[int, int]]:
    return [(file.named.start, file.named.end) for file in files]


def _check_beginning(chain: Chain, numbers: Sequence[int]) -> None:
    """Manifests may be gone from the front, while enough snapshots remain."""
    if not numbers or numbers[0] == 0:
        return
    snapshots = sum(read.manifest.is_snapshot for read in chain.manifests)
    if snapshots < SNAPSHOTS_KEPT_MIN:
        chain.blame(
            MissingFileError(
                f"{manifest_name(numbers[0] - 1)} is gone: the sealer keeps {SNAPSHOTS_KEPT_MIN} "
                f"snapshots, {snapshots} are left",
                number=numbers[0] - 1,
            ),
            numbers[0] - 1,
        )
    else:
        chain.findings.append(
            noted(
                "removed-manifests",
                manifest_name(numbers[0]),
                f"manifests before {numbers[0]} were removed, as the format allows",
                number=numbers[0],
            )
        )


__all__ = ["Chain", "ManifestSyntaxError", "ReadManifest", "manifest_name", "read_chain"]
