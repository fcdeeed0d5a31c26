"""How far files were taken that are read as they grow: durable with the lines themselves.

Carried from file to file in their headers, as open streams are, so that a restarted collector knows
where to go on although the sealer has removed older files. Specified in docs/formats/journal.md.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from meshtrail.errors import InputError
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

FINGERPRINT_BYTES_MAX: Final = 1_024

_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_COUNTS: Final = ("device", "fingerprint_bytes", "inode", "offset", "seen_ns")


class FileState(StrEnum):
    """What is done with a file."""

    OPEN = "open"
    """It is read as it grows."""
    ENDED = "ended"
    """It was read to its end, and is remembered so that it is not read again."""
    LEFT_OUT = "left-out"
    """It is older than the tail, or a copy, and is not read."""


class FileIdentity(NamedTuple):
    """What a file is on its machine, whatever it is called."""

    device: int
    inode: int


class FilePosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a file was taken.

    Attributes:
        device: of the file.
        inode: of the file.
        path: under which it was found.
        target: where that led when it was opened: the same, but for symbolic links.
        offset: everything before it was taken.
        line_start: where a line begins that is longer than is taken, while ``offset`` lies in it;
            None otherwise.
        fingerprint: SHA-256 of the first ``fingerprint_bytes``.
        fingerprint_bytes: the first of those that were taken, at most ``FINGERPRINT_BYTES_MAX``.
        state: what is done with it.
        seen_ns: when it was so, on the collector's clock.
    """

    device: int
    inode: int
    path: str
    target: str
    offset: int
    line_start: int | None
    fingerprint: bytes
    fingerprint_bytes: int
    state: FileState
    seen_ns: int

    @property
    def identity(self) -> FileIdentity:
        """Which file."""
        return FileIdentity(self.device, self.inode)

    def as_json(self) -> dict[str, Any]:
        """Plain values, of which there is one spelling."""
        return {
            "device": self.device,
            "fingerprint": self.fingerprint.hex(),
            "fingerprint_bytes": self.fingerprint_bytes,
            "inode": self.inode,
            "line_start": self.line_start,
            "offset": self.offset,
            "path": self.path,
            "seen_ns": self.seen_ns,
            "state": self.state.value,
            "target": self.target,
        }


Told = FilePosition | FileIdentity
"""What one frame tells: how far a file was taken, or that it is forgotten."""


def encode_position(told: Told) -> bytes:
    """The bytes of a frame: JSON in ASCII, keys sorted, no spaces."""
    plain = told._asdict() if isinstance(told, FileIdentity) else told.as_json()
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def decode_position(data: bytes) -> Told:
    """What a frame tells.

    Raises:
        InputError: it is not what ``encode_position`` writes.
    """
    try:
        told = parse_position(json.loads(data))
        is_canonical = encode_position(told) == data
    except (ValueError, RecursionError) as error:
        raise InputError(f"not the position of a file: {data[:80]!r}") from error
    if not is_canonical:
        raise InputError(f"the position of a file is not in its canonical form: {data[:80]!r}")
    return told


def parse_position(plain: object) -> Told:
    """A position from plain values.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(plain, dict):
        raise ValueError("a position is a JSON object")  # noqa: TRY004 - one kind of error
    try:
        if len(plain) == len(FileIdentity._fields):
            return FileIdentity(_count(plain["device"]), _count(plain["inode"]))
        digest = bytes.fromhex(plain["fingerprint"])
        line_start = plain["line_start"]
        found = FilePosition(
            **{name: _count(plain[name]) for name in _COUNTS},
            path=_text(plain["path"]),
            target=_text(plain["target"]),
            line_start=None if line_start is None else _count(line_start),
            fingerprint=digest,
            state=FileState(plain["state"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a position without what it must say: {error!r}") from error
    if len(digest) != _DIGEST_BYTES or found.fingerprint_bytes > FINGERPRINT_BYTES_MAX:
        raise ValueError("a position without a fingerprint")
    return found


def _count(value: object) -> int:
    # A device may be any 64 bits; JSON takes them all, and True for a number.
    if type(value) is not int or not 0 <= value <= 2 * INT64_MAX + 1:
        raise ValueError(f"{value!r} counts nothing")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no path")  # noqa: TRY004 - one kind of error
    return value


class FilePositions:
    """The last position of each file, as the frames of a journal tell them in their order.

    As many as the collector lets there be.
    """

    def __init__(self, before: Iterable[FilePosition] = ()) -> None:
        self._by_identity = {position.identity: position for position in before}

    def apply(self, told: Told) -> None:
        """Take what one frame tells."""
        if isinstance(told, FileIdentity):
            self._by_identity.pop(told, None)
        else:
            self._by_identity[told.identity] = told

    def snapshot(self) -> tuple[FilePosition, ...]:
        """All of them, by device and inode."""
        return tuple(position for _, position in sorted(self._by_identity.items()))
