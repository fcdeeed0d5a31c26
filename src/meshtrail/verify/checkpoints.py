"""Signed checkpoints as bytes: every note of the day files, the published one, the lock record.

Opens each note with the trusted key, and tells a note that a crash tore from one that was
changed. Which heads follow from which is judged in ``history``, whether they are true in ``tree``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import InputError, RollbackError, SignatureError, TamperError
from meshtrail.note import (
    UnverifiedCheckpoint,
    VerifierKey,
    encode_base64,
    format_checkpoint,
    open_checkpoint,
)
from meshtrail.store.checkpoint_files import split_notes
from meshtrail.units import TreeSize
from meshtrail.verify.findings import Finding, tampered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.note import Checkpoint
    from meshtrail.verify.heads import SignedHeads
    from meshtrail.verify.workers import Workers

NOTES_PER_TASK: Final = 2048

_ED25519_LINE_BYTES: Final = 68
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=]*")


@dataclass(frozen=True, slots=True)
class RawNote:
    """One note of a run.

    Attributes:
        place: the file and where it begins in it.
    """

    place: str
    data: bytes


@dataclass(frozen=True, slots=True)
class RawRun:
    """The notes of one file.

    Attributes:
        rest: what follows the last whole note.
        damaged: places where bytes stand that are no note, other than ``rest``.
    """

    notes: list[RawNote]
    rest: bytes
    rest_place: str
    damaged: list[str]


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Notes to open in a worker."""

    notes: tuple[RawNote, ...]
    verifier: VerifierKey


@dataclass(frozen=True, slots=True)
class OpenedNotes:
    """What the notes of one task say, and what is wrong with the others."""

    heads: list[tuple[int, bytes]]
    findings: list[Finding]


def cut_notes(data: bytes, *, name: str, origin: str) -> RawRun:
    """Cut a file of notes apart; behind bytes that are no note, go on at the next one."""
    notes: list[RawNote] = []
    damaged: list[str] = []
    next_note = f"\n{origin}\n".encode()
    start = 0
    while True:
        run = split_notes(data[start:])
        position = start
        for note in run.notes:
            notes.append(RawNote(f"{name} at byte {position}", note))
            position += len(note)
        resume = data.find(next_note, position + 1)
        if position == len(data) or resume < 0:
            return RawRun(notes, data[position:], f"{name} at byte {position}", damaged)
        damaged.append(f"{name} at byte {position}")
        start = resume + 1


def open_head(note: RawNote, verifier: VerifierKey) -> Checkpoint | Finding:
    """The checkpoint in a note, or why it is none of this log."""
    try:
        return open_checkpoint(note.data, verifier, origin=verifier.name)
    except (InputError, TamperError) as error:
        return tampered(
            SignatureError(
                f"{note.place}: not a checkpoint that {verifier.name} signed: {error.message}",
                place=note.place,
            ),
            note.place,
        )


def open_notes(task: OpenTask) -> OpenedNotes:
    """Open many notes; the work of one worker."""
    opened = OpenedNotes([], [])
    for note in task.notes:
        head = open_head(note, task.verifier)
        if isinstance(head, Finding):
            opened.findings.append(head)
        else:
            opened.heads.append((head.tree_size, head.root_hash))
    return opened


def collect_heads(
    runs: Iterable[RawRun], heads: SignedHeads, *, verifier: VerifierKey, workers: Workers
) -> tuple[int, list[Finding]]:
    """Open every note of the day files, in the order in which they were signed.

    Returns:
        How many checkpoints are good, and what is wrong.
    """
    tasks = (
        (
            run.notes[0].place.partition(" at ")[0],
            OpenTask(tuple(run.notes[at : at + NOTES_PER_TASK]), verifier),
        )
        for run in runs
        for at in range(0, len(run.notes), NOTES_PER_TASK)
    )
    findings: list[Finding] = []
    count = before = 0
    for name, opened in workers.map_beside(open_notes, tasks):
        findings += opened.findings
        for tree_size, root_hash in opened.heads:
            count += 1
            if tree_size < before:
                findings.append(_shrinks(tree_size, before, name))
            before = max(before, tree_size)
            fork = heads.add(tree_size, root_hash, name)
            if fork is not None:
                findings.append(fork)
    return count, findings


def damage_findings(run: RawRun) -> list[Finding]:
    """Bytes between notes that are no note: no crash leaves those."""
    return [
        tampered(
            SignatureError(f"{place}: bytes that are no signed checkpoint", place=place), place
        )
        for place in run.damaged
    ]


def is_torn(rest: bytes, *, verifier: VerifierKey, candidates: Iterable[tuple[int, bytes]]) -> bool:
    """Whether bytes can be what a crash left of the checkpoint that was being appended.

    Args:
        rest: what follows the last whole note.
        verifier: the log's key.
        candidates: (tree size, root) that the log could have been about to sign.
    """
    # A file system may have grown the file before it wrote the bytes.
    written = rest.rstrip(b"\0")
    return any(_begins(written, size, root, verifier) for size, root in candidates)


def _begins(written: bytes, tree_size: int, root_hash: bytes, verifier: VerifierKey) -> bool:
    head = UnverifiedCheckpoint(
        origin=verifier.name, tree_size=TreeSize(tree_size), root_hash=root_hash
    )
    # Five characters carry the first 30 bits of the key id; the sixth mixes in the signature.
    known = (
        f"{format_checkpoint(head)}\n\u2014 {verifier.name} {encode_base64(verifier.key_id)[:5]}"
    )
    fixed = known.encode()
    signature_bytes = len(encode_base64(bytes(_ED25519_LINE_BYTES))) - 5
    if len(written) <= len(fixed):
        return fixed.startswith(written)
    signature = written[len(fixed) :]
    return (
        written.startswith(fixed)
        and len(signature) <= signature_bytes
        and _BASE64.fullmatch(signature) is not None
    )


def _shrinks(tree_size: int, before: int, name: str) -> Finding:
    return tampered(
        RollbackError(
            f"{name}: a checkpoint of tree size {tree_size} was signed after one of {before}",
            tree_size=tree_size,
            before=before,
        ),
        f"checkpoint {tree_size}",
    )
