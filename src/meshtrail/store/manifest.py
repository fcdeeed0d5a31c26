"""Manifests: signed notes that say which files make up the log and how far journals are sealed.

Specified in docs/formats/manifest.md. Parsing and formatting are pure; ``manifest_files`` reads
them from the disk.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import ManifestError, ManifestSyntaxError, NoteSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES
from meshtrail.note import (
    check_origin,
    decode_base64,
    encode_base64,
    format_decimal,
    open_note,
    parse_decimal,
    parse_note,
    sign_note,
)
from meshtrail.store.layout import RangeFile, parse_range_file
from meshtrail.units import TreeSize, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshtrail.note import Signer, Verifier

MAGIC: Final = "meshtrail/manifest/v1"
MANIFEST_BYTES_MAX: Final = 16_000_000
"""Notes from strangers end at 1 MB. A snapshot lists every live file of a log that has grown for
weeks: this is enough for 75,000 pairs of files, which are 8e10 entries."""

SNAPSHOT_EVERY: Final = 256
"""A manifest whose number is a multiple of this is a snapshot, so readers fold few deltas."""

_WRITER = re.compile(r"[a-z][a-z0-9-]{0,30}")
_REASONS: Final = frozenset({"tick", "merge", "start", "snapshot"})


@dataclass(frozen=True, slots=True, order=True)
class CommittedFile:
    """A file of the log, as the manifest names it."""

    named: RangeFile
    bytes_count: int
    sha256: bytes

    def format(self) -> str:
        """Its line."""
        length, digest = format_decimal(self.bytes_count), encode_base64(self.sha256)
        return f"file {self.named.path} {length} {digest}\n"


@dataclass(frozen=True, slots=True, order=True)
class JournalPosition:
    """How far a journal is sealed: everything before ``offset`` of file ``file_number``."""

    writer: str
    file_number: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One manifest, whoever signed it.

    Attributes:
        number: counts from 0 without holes.
        previous: SHA-256 of the bytes of manifest ``number - 1``; None for the first.
        time_ns: ``received_ns`` of the last entry, 0 for an empty log.
        reasons: why it was written: tick, merge, start, snapshot.
        is_snapshot: whether ``files`` is the whole live set rather than what was added.
        dropped: files that are not live any more; empty in a snapshot.
    """

    origin: str
    number: int
    previous: bytes | None
    time_ns: UnixNanos
    tree_size: TreeSize
    root_hash: bytes
    reasons: tuple[str, ...]
    is_snapshot: bool
    journals: tuple[JournalPosition, ...]
    dropped: tuple[RangeFile, ...]
    files: tuple[CommittedFile, ...]


def is_writer_name(name: str) -> bool:
    """Whether a journal of this name can stand in a manifest."""
    return _WRITER.fullmatch(name) is not None


def format_manifest(manifest: Manifest) -> str:
    """The note text of a manifest.

    Raises:
        ManifestSyntaxError, NoteSyntaxError: it has no spelling.
    """
    check_origin(manifest.origin)
    if not _is_sane(manifest):
        raise ManifestSyntaxError(
            f"manifest {manifest.number} says what no manifest can", number=manifest.number
        )
    previous = encode_base64(manifest.previous) if manifest.previous is not None else "none"
    lines = [
        f"{MAGIC}\n",
        f"origin {manifest.origin}\n",
        f"number {format_decimal(manifest.number)}\n",
        f"previous {previous}\n",
        f"time {format_decimal(manifest.time_ns)}\n",
        f"size {format_decimal(manifest.tree_size)}\n",
        f"root {encode_base64(manifest.root_hash)}\n",
        f"reason {' '.join(manifest.reasons)}\n",
        f"kind {'snapshot' if manifest.is_snapshot else 'delta'}\n",
    ]
    lines += [
        f"journal {at.writer} {format_decimal(at.file_number)} {format_decimal(at.offset)}\n"
        for at in sorted(manifest.journals)
    ]
    lines += [f"drop {named.path}\n" for named in sorted(manifest.dropped)]
    lines += [file.format() for file in sorted(manifest.files)]
    return "".join(lines)


def parse_manifest(text: str) -> Manifest:
    """Read a manifest's text.

    Raises:
        ManifestSyntaxError: not exactly what ``format_manifest`` writes.
    """
    try:
        manifest = _parse_lines(text.split("\n"))
        canonical = format_manifest(manifest)
    except (NoteSyntaxError, ValueError, IndexError) as error:
        raise ManifestSyntaxError(f"not a manifest: {error}") from error
    if canonical != text:
        raise ManifestSyntaxError(
            f"manifest {manifest.number} is not in its canonical form", number=manifest.number
        )
    return manifest


def open_manifest(data: bytes, verifier: Verifier, *, origin: str, number: int) -> Manifest:
    """The manifest in a note that the log's key signed.

    Raises:
        ManifestSyntaxError: not a canonical manifest.
        SignatureError: not signed by ``verifier``.
        ManifestError: signed, but of another log or number than its place says.
    """
    try:
        note = open_note(parse_note(data, bytes_max=MANIFEST_BYTES_MAX), [verifier])
    except NoteSyntaxError as error:
        raise ManifestSyntaxError(f"manifest {number}: {error}", number=number) from error
    manifest = parse_manifest(note.text)
    if (manifest.origin, manifest.number) != (origin, number):
        raise ManifestError(
            f"manifest/{number:012} says it is number {manifest.number} of {manifest.origin}, "
            f"want number {number} of {origin}",
            number=number,
            want=(origin, number),
            got=(manifest.origin, manifest.number),
        )
    return manifest


def sign_manifest(manifest: Manifest, signer: Signer) -> bytes:
    """The signed note of a manifest."""
    return sign_note(format_manifest(manifest), [signer], bytes_max=MANIFEST_BYTES_MAX)


def manifest_digest(data: bytes) -> bytes:
    """What the next manifest calls ``previous``."""
    return hashlib.sha256(data).digest()


class LiveFiles:
    """The set of live files, folded from a snapshot and the deltas after it."""

    def __init__(self, files: Iterable[CommittedFile] = ()) -> None:
        self._files: dict[RangeFile, CommittedFile] = {file.named: file for file in files}

    @property
    def by_name(self) -> Mapping[RangeFile, CommittedFile]:
        """The live files; not a copy."""
        return self._files

    def folder(self, folder: str) -> list[CommittedFile]:
        """The live files of ``segments`` or ``tiles``, by range."""
        return sorted(file for file in self._files.values() if file.named.folder == folder)

    def apply(self, manifest: Manifest) -> None:
        """Go on to the next manifest.

        Raises:
            ManifestError: it drops what is not live, adds what is, or is a snapshot of another set.
        """
        added = {file.named: file for file in manifest.files}
        if manifest.is_snapshot:
            if self._files and added != self._files:
                raise ManifestError(
                    f"manifest {manifest.number} is a snapshot of another set of files than the "
                    f"manifests before it give: {_difference(self._files, added)}",
                    number=manifest.number,
                )
            self._files = added
            return
        for named in manifest.dropped:
            if self._files.pop(named, None) is None:
                raise ManifestError(
                    f"manifest {manifest.number} drops {named.path}, which was not live",
                    number=manifest.number,
                )
        for named, file in added.items():
            if named in self._files:
                raise ManifestError(
                    f"manifest {manifest.number} adds {named.path}, which was live already",
                    number=manifest.number,
                )
            self._files[named] = file

    def check_cover(self, tree_size: int, *, number: int) -> None:
        """Return when segments and tiles each cover [0, tree size) without hole or overlap.

        Raises:
            ManifestError: they do not; names the first range that is wrong.
        """
        for folder in ("segments", "tiles"):
            position = 0
            for file in self.folder(folder):
                if file.named.start != position:
                    raise ManifestError(
                        f"the live {folder} of manifest {number} go on at {file.named.start}, "
                        f"want {position}",
                        number=number,
                        want=position,
                        got=file.named.start,
                    )
                position = file.named.end
            if position != tree_size:
                raise ManifestError(
                    f"the live {folder} of manifest {number} end at {position}, "
                    f"the tree has {tree_size} leaves",
                    number=number,
                    want=tree_size,
                    got=position,
                )


def _parse_lines(lines: list[str]) -> Manifest:
    fields = [line.split(" ") for line in lines]
    head = fields[:9]
    words = ("origin", "number", "previous", "time", "size", "root", "reason", "kind")
    if lines[0] != MAGIC or tuple(field[0] for field in head[1:]) != words:
        raise ManifestSyntaxError("not a manifest: its first lines are not the head of version 1")
    journals, dropped, files = [], [], []
    for field in fields[9:-1]:
        word, *rest = field
        if word == "journal":
            writer, number, offset = rest
            journals.append(JournalPosition(writer, parse_decimal(number), parse_decimal(offset)))
        elif word == "drop":
            dropped.append(parse_range_file(rest[0]))
        elif word == "file":
            path, length, digest = rest
            files.append(
                CommittedFile(parse_range_file(path), parse_decimal(length), decode_base64(digest))
            )
        else:
            raise ManifestSyntaxError(f"not a manifest: unknown line {word[:20]!r}")
    return Manifest(
        origin=head[1][1],
        number=parse_decimal(head[2][1]),
        previous=None if head[3][1] == "none" else decode_base64(head[3][1]),
        time_ns=UnixNanos(parse_decimal(head[4][1])),
        tree_size=TreeSize(parse_decimal(head[5][1])),
        root_hash=decode_base64(head[6][1]),
        reasons=tuple(head[7][1:]),
        is_snapshot=head[8][1] == "snapshot",
        journals=tuple(journals),
        dropped=tuple(dropped),
        files=tuple(files),
    )


def _is_sane(manifest: Manifest) -> bool:
    """Whether the parts of a manifest go together, each line being well formed."""
    digests = [manifest.root_hash, *(file.sha256 for file in manifest.files)]
    if manifest.previous is not None:
        digests.append(manifest.previous)
    writers = [at.writer for at in manifest.journals]
    named = [file.named for file in manifest.files]
    return (
        all(len(digest) == HASH_BYTES for digest in digests)
        and all(is_writer_name(writer) for writer in writers)
        and len(set(writers)) == len(writers)
        and len(set(named)) == len(named)
        and len(set(manifest.dropped)) == len(manifest.dropped)
        and not (manifest.is_snapshot and manifest.dropped)
        and bool(manifest.reasons)
        and set(manifest.reasons) <= _REASONS
    )


def _difference(
    want: Mapping[RangeFile, CommittedFile], got: Mapping[RangeFile, CommittedFile]
) -> str:
    """The first file in which two sets differ."""
    for named in sorted({*want, *got}):
        if want.get(named) != got.get(named):
            how = "differs" if named in want and named in got else "is only in one"
            return f"{named.path} {how}"
    return "nothing"
