"""Every byte of every file of a log, changed in turn: which error that has to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import MeshtrailError, TamperError
from meshtrail.verify import KeySource, TrustedKey, audit, find_log_key
from tests.log_builder import EntryWriter, LogBuilder, http_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLIP_BITS: Final = 0x01
"""The bit that is changed: digits stay digits and letters letters, so that most changes can be read
and only a signature or a digest finds them."""

EXPECTED: Final = {
    "format.toml": frozenset({"LayoutError", "SignatureError"}),
    "published": frozenset({"SignatureError"}),
    "checkpoints": frozenset({"SignatureError"}),
    "manifest": frozenset({"SignatureError"}),
    "segments": frozenset({"DigestError"}),
    "tiles": frozenset({"DigestError"}),
    "blobs": frozenset({"DigestError"}),
}
"""The errors that a change may end in, by the first part of the file's path."""

READ_WHOLE: Final = frozenset({"segments", "tiles", "blobs"})
"""Files that are known by their digest: any change is found in the same way."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A byte to change."""

    name: str
    position: int


def build_log(root: Path) -> LogBuilder:
    """A log as small as one with every kind of file can be."""
    builder = LogBuilder(root)
    writer = EntryWriter()
    opened = writer.opened(11, identifier=b"who")
    builder.seal([opened, writer.record(11, http_record(1))], blobs=writer.blobs)
    builder.seal([writer.record(11, http_record(2)), writer.closed(11)])
    return builder


def flips(root: Path, *, stride: int) -> Iterator[Flip]:
    """Every byte of every file; of files that are known by a digest, every ``stride``-th."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            step = stride if folder_of(name) in READ_WHOLE else 1
            for position in range(0, path.stat().st_size, step):
                yield Flip(name, position)


def folder_of(name: str) -> str:
    """The first part of a path in DATA."""
    return name.partition("/")[0]


def audit_flipped(root: Path, flip: Flip, builder: LogBuilder) -> MeshtrailError | None:
    """What an audit says with one byte changed; the byte is put back."""
    path = root / flip.name
    good = path.read_bytes()
    data = bytearray(good)
    data[flip.position] ^= FLIP_BITS
    path.write_bytes(data)
    try:
        trusted = TrustedKey(verifier=builder.signer.verifier, source=KeySource.OPTION)
        audit(root, trusted=trusted, workers=1)
    except MeshtrailError as error:
        return error
    finally:
        path.write_bytes(good)
    return None


def names_file(error: MeshtrailError, flip: Flip) -> bool:
    """Whether an error says which file, or which byte of it, was changed."""
    if isinstance(error, TamperError):
        return str(error.subject).startswith(flip.name)
    return flip.name in error.message


__all__ = ["EXPECTED", "Flip", "audit_flipped", "build_log", "find_log_key", "flips", "names_file"]
