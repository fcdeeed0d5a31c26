"""The committed files: that each is there and is, byte for byte, what the manifest names.

Nothing is parsed here. A fifth of single-byte changes in a Parquet file are invisible to its
readers, and a changed Bloom filter hides rows, so the digest comes before any parsing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtrail.errors import DigestError, EventError, ManifestSyntaxError, MissingFileError
from meshtrail.store.durable import TEMPORARY_SUFFIX
from meshtrail.store.layout import parse_range_file
from meshtrail.verify.findings import Finding, explained, noted, short, tampered
from meshtrail.verify.untrusted import digest_file, list_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meshtrail.store.layout import Layout, RangeFile
    from meshtrail.store.manifest import CommittedFile
    from meshtrail.verify.blob_references import BlobReference
    from meshtrail.verify.workers import Workers

_BLOB_NAME: Final = re.compile(r"[0-9a-f]{64}")
_TOP: Final = frozenset(
    {
        "format.toml",
        "lock",
        "published",
        "checkpoints",
        "manifest",
        "segments",
        "tiles",
        "blobs",
        "journal",
        # Figures of running processes, never evidence.
        "run",
    }
)


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to hash in a worker."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a file is: its length and SHA-256, or None for both when it is not there."""

    bytes_count: int | None
    sha256: bytes | None


def hash_file(task: FileTask) -> FileDigest:
    """Hash one file; the work of one worker."""
    try:
        return FileDigest(*digest_file(Path(task.path), name=task.name))
    except MissingFileError:
        return FileDigest(None, None)


class CommittedFiles:
    """Which of the live files are what the manifest names, so far as they were looked at."""

    def __init__(self, root: Path, workers: Workers) -> None:
        self._root = root
        self._workers = workers
        self._good: dict[CommittedFile, bool] = {}
        self.gone: set[CommittedFile] = set()
        self.count = 0

    def is_good(self, file: CommittedFile) -> bool:
        """Whether a file was hashed and is what its manifest names."""
        return self._good.get(file, False)

    def check(
        self,
        committed: Iterable[CommittedFile],
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Finding]:
        """Hash every file that was not hashed before."""
        files = [file for file in sorted(committed) if file not in self._good]
        total = sum(file.bytes_count for file in files)
        done = 0
        tasks = (
            (file, FileTask(str(self._root / file.named.path), file.named.path)) for file in files
        )
        for file, got in self._workers.map_beside(hash_file, tasks):
            done += file.bytes_count
            if progress:
                progress(done, total)
            if got.sha256 is None:
                self.gone.add(file)
                continue
            self.count += 1
            self._good[file] = (got.bytes_count, got.sha256) == (file.bytes_count, file.sha256)
            if not self._good[file]:
                yield _changed(file, got)


def missing_file(file: CommittedFile) -> Finding:
    """A live file that is not there."""
    path = file.named.path
    return tampered(MissingFileError(f"{path} is gone", path=path), path)


def _changed(file: CommittedFile, got: FileDigest) -> Finding:
    path = file.named.path
    return tampered(
        DigestError(
            f"{path} has {got.bytes_count} bytes and SHA-256 {short(got.sha256)}, the manifest "
            f"names {file.bytes_count} bytes and {short(file.sha256)}",
            path=path,
            want=file.sha256,
            got=got.sha256,
        ),
        path,
    )


class Blobs:
    """The blobs that are there, and which of them entries name.

    A blob is written before the entry that names it, so a crash can leave one that is torn or that
    no entry names; only what an entry names has to be there and be right.
    """

    def __init__(self, layout: Layout, workers: Workers) -> None:
        self._layout = layout
        self._workers = workers
        self._digests: dict[str, FileDigest] = {}
        self._strangers: list[str] = []
        self._named: set[str] = set()
        self._count = 0

    @property
    def count(self) -> int:
        """Blob files."""
        return len(self._digests)

    def read(self) -> None:
        """Hash every blob file."""
        names = list_folder(self._layout.blobs)
        self._strangers = [f"blobs/{name}" for name in names if not _BLOB_NAME.fullmatch(name)]
        tasks = (
            (name, FileTask(str(self._layout.blobs / name), f"blobs/{name}"))
            for name in names
            if _BLOB_NAME.fullmatch(name)
        )
        self._digests.update(self._workers.map_beside(hash_file, tasks))

    def check(self, references: Iterable[BlobReference]) -> Iterator[Finding]:
        """Check the blobs that entries name; each blob is reported once."""
        for reference in references:
            name = reference.sha256.hex()
            if name in self._named:
                continue
            self._named.add(name)
            path = f"blobs/{name}"
            got = self._find(name)
            if got.sha256 is None:
                error: DigestError | MissingFileError = MissingFileError(
                    f"{path}, which entry {reference.leaf_index} names, is gone",
                    path=path,
                    leaf_index=reference.leaf_index,
                )
                yield tampered(error, path)
            elif got.sha256 != reference.sha256:
                error = DigestError(
                    f"{path}, which entry {reference.leaf_index} names, has SHA-256 "
                    f"{short(got.sha256)}",
                    path=path,
                    leaf_index=reference.leaf_index,
                    want=reference.sha256,
                    got=got.sha256,
                )
                yield tampered(error, path)
            elif reference.bytes_count not in (None, got.bytes_count):
                wrong = EventError(
                    f"entry {reference.leaf_index} says {path} has {reference.bytes_count} bytes, "
                    f"it has {got.bytes_count}",
                    leaf_index=reference.leaf_index,
                    want=got.bytes_count,
                    got=reference.bytes_count,
                )
                yield tampered(wrong, f"entry {reference.leaf_index}")

    def finish(self, *, is_whole: bool) -> Iterator[Finding]:
        """Say what lies there besides.

        Args:
            is_whole: whether every entry was asked for its blobs.
        """
        for path in self._strangers:
            yield stranger(path)
        for name, got in self._digests.items():
            if not is_whole or name in self._named:
                continue
            path = f"blobs/{name}"
            if got.sha256 is not None and got.sha256.hex() == name:
                yield explained("unnamed-file", path, f"{path} is named by no entry")
            else:
                message = f"{path} is not what its name says and named by no entry: torn by a crash"
                yield explained("torn-blob", path, message)

    def _find(self, name: str) -> FileDigest:
        """What a blob is; one that came after the folder was listed is hashed now."""
        if name not in self._digests:
            self._digests[name] = hash_file(
                FileTask(str(self._layout.blobs / name), f"blobs/{name}")
            )
        return self._digests[name]


def unnamed_files(layout: Layout, live: Iterable[RangeFile]) -> Iterator[Finding]:
    """Files in DATA that the newest manifest does not name."""
    known = {named.path for named in live}
    for folder in (layout.segments, layout.tiles):
        for name in list_folder(folder):
            path = f"{folder.name}/{name}"
            if path in known:
                continue
            try:
                parse_range_file(path)
            except ManifestSyntaxError:
                yield stranger(path)
            else:
                message = f"{path} is named by no manifest: superseded, or left by a crash"
                yield explained("unnamed-file", path, message)
    for name in list_folder(layout.root):
        if name not in _TOP:
            yield stranger(name)


def stranger(path: str) -> Finding:
    """A file that is no part of the layout; nothing reads it."""
    if path.endswith(TEMPORARY_SUFFIX):
        return explained("temporary-file", path, f"{path} was left by a crash; a start removes it")
    return noted("unknown-file", path, f"{path} is no part of the layout and was not read")
