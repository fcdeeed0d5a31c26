"""Checkpoints: the signed statement of how large a log is and what its root hash is.

    <origin>
    <tree size>
    <base64 of the root hash>

A checkpoint is a signed note with these three lines as its text. The format allows extension
lines after them and advises against it, since nobody can audit what they say; this log never
writes one, and a checkpoint that has any is refused here. Must not judge whether two checkpoints
are consistent: ``meshtrail.merkle`` does.

Source: c2sp.org/tlog-checkpoint@v1.0.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from meshtrail.errors import KeyFileError, NoteSyntaxError, SignatureError
from meshtrail.note.encoding import decode_base64, encode_base64, format_decimal, parse_decimal
from meshtrail.note.signed_note import (
    Signer,
    Verifier,
    check_key_name,
    open_note,
    parse_note,
    sign_note,
)
from meshtrail.units import TreeSize

ROOT_HASH_BYTES = 32

_TEXT_LINES = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCheckpoint:
    """A tree head that no signature vouches for, yet."""

    origin: str
    tree_size: TreeSize
    root_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head that a trusted key signed; only ``open_checkpoint`` makes one."""

    origin: str
    tree_size: TreeSize
    root_hash: bytes


def check_origin(origin: str) -> None:
    """Return when ``origin`` can name a log: a key name without control characters.

    Raises:
        NoteSyntaxError: it cannot.
    """
    check_key_name(origin)
    if _CONTROL.search(origin):
        raise NoteSyntaxError(f"origin {origin[:80]!r} has a control character")


def format_checkpoint(checkpoint: UnverifiedCheckpoint | Checkpoint) -> str:
    """Return the note text of ``checkpoint``.

    Raises:
        NoteSyntaxError: ``checkpoint`` has no spelling: a bad origin, a size outside 0..2^63-1, a
            root hash of another length than 32 bytes.
    """
    check_origin(checkpoint.origin)
    if len(checkpoint.root_hash) != ROOT_HASH_BYTES:
        raise NoteSyntaxError(
            f"checkpoint of {checkpoint.origin} has a root hash of"
            f" {len(checkpoint.root_hash)} bytes, wanted {ROOT_HASH_BYTES}"
        )
    size = format_decimal(checkpoint.tree_size)
    return f"{checkpoint.origin}\n{size}\n{encode_base64(checkpoint.root_hash)}\n"


def parse_checkpoint(text: str) -> UnverifiedCheckpoint:
    """Return the checkpoint whose ``format_checkpoint`` is exactly ``text``.

    Raises:
        NoteSyntaxError: there is no such checkpoint; extension lines are refused too.
    """
    # Not splitlines: it would also split at U+2028 and its kind.
    lines = text.split("\n")
    if len(lines) != _TEXT_LINES + 1:
        raise NoteSyntaxError(
            f"checkpoint text has {len(lines) - 1} lines, wanted {_TEXT_LINES}: {text[:80]!r}"
        )
    checkpoint = UnverifiedCheckpoint(
        origin=lines[0],
        tree_size=TreeSize(parse_decimal(lines[1])),
        root_hash=decode_base64(lines[2]),
    )
    if format_checkpoint(checkpoint) != text:
        raise NoteSyntaxError(f"checkpoint is not in canonical form: {text[:80]!r}")
    return checkpoint


def open_checkpoint(note_data: bytes, verifier: Verifier, *, origin: str) -> Checkpoint:
    """Return the checkpoint in the signed note ``note_data``, verified.

    Args:
        note_data: the note, verbatim.
        verifier: the trusted key of the log.
        origin: the log that the checkpoint has to be of.

    Raises:
        NoteSyntaxError: ``note_data`` is not a canonical signed note of a checkpoint.
        SignatureError: it is not signed by ``verifier``, has a bad signature in its name, or is
            a checkpoint of another log.
    """
    note = open_note(parse_note(note_data), [verifier])
    unverified = parse_checkpoint(note.text)
    if unverified.origin != origin:
        raise SignatureError(
            f"checkpoint is of another log: wanted origin {origin!r}, got {unverified.origin!r}",
            want=origin,
            got=unverified.origin,
        )
    return Checkpoint(
        origin=unverified.origin,
        tree_size=unverified.tree_size,
        root_hash=unverified.root_hash,
    )


def sign_checkpoint(checkpoint: UnverifiedCheckpoint, signer: Signer) -> bytes:
    """Return the signed note of ``checkpoint``.

    The caller answers for what is signed: a log must never sign a checkpoint that is inconsistent
    with one it signed before.

    Raises:
        NoteSyntaxError: ``checkpoint`` has no spelling, see ``format_checkpoint``.
        KeyFileError: the key is of another name than the log.
    """
    if signer.name != checkpoint.origin:
        raise KeyFileError(
            f"key {signer.name!r} is not that of the log: wanted {checkpoint.origin!r}",
            want=checkpoint.origin,
            got=signer.name,
        )
    return sign_note(format_checkpoint(checkpoint), [signer])
