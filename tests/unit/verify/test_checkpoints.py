"""Runs of signed notes are cut apart, and a torn one is told from a changed one."""

from __future__ import annotations

import pytest

from meshtrail.note import UnverifiedCheckpoint, sign_checkpoint
from meshtrail.units import TreeSize
from meshtrail.verify.checkpoints import (
    NOTES_PER_TASK,
    OpenTask,
    RawNote,
    collect_heads,
    cut_notes,
    damage_findings,
    is_torn,
    open_notes,
)
from meshtrail.verify.heads import SignedHeads
from meshtrail.verify.workers import Workers
from tests.log_builder import ORIGIN, make_signer

SIGNER = make_signer()


def note(size: int, *, root: bytes = bytes(32)) -> bytes:
    head = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(size), root_hash=root)
    return sign_checkpoint(head, SIGNER)


def torn(rest: bytes, *candidates: tuple[int, bytes]) -> bool:
    return is_torn(rest, verifier=SIGNER.verifier, candidates=candidates)


def test_notes_are_cut_with_the_place_of_each() -> None:
    notes = [note(1), note(22), note(333)]
    run = cut_notes(b"".join(notes), name="day", origin=ORIGIN)
    assert [one.data for one in run.notes] == notes
    assert [one.place for one in run.notes] == [
        "day at byte 0",
        f"day at byte {len(notes[0])}",
        f"day at byte {len(notes[0]) + len(notes[1])}",
    ]
    assert (run.rest, run.damaged) == (b"", [])


@pytest.mark.parametrize(
    "junk", [b"junk", b"junk\n", b"junk\n\n", b"\n\nx", b"a\n\n\xe2\x80\x94 b"]
)
def test_notes_behind_junk_are_found_again(junk: bytes) -> None:
    run = cut_notes(note(1) + junk + b"\n" + note(2) + note(3), name="day", origin=ORIGIN)
    sizes = [size for size, _ in open_notes(OpenTask(tuple(run.notes), SIGNER.verifier)).heads]
    assert sizes[0] == 1
    assert sizes[-1] == 3
    opened = open_notes(OpenTask(tuple(run.notes), SIGNER.verifier))
    assert opened.findings or [one.check for one in damage_findings(run)] == ["SignatureError"]


def test_every_beginning_of_the_next_checkpoint_is_torn_and_the_whole_is_not() -> None:
    whole = note(7)
    for length in range(len(whole)):
        assert torn(whole[:length], (7, bytes(32)))
        assert torn(whole[:length] + b"\0\0", (7, bytes(32)))
    assert not torn(whole, (7, bytes(32)))
    assert not torn(whole[:-1] + b"x", (7, bytes(32)))


def test_beginning_of_another_checkpoint_is_not_torn() -> None:
    part = note(7)[:-30]
    assert torn(part, (6, bytes(32)), (7, bytes(32)))
    assert not torn(part, (8, bytes(32)))
    assert not torn(part, (7, bytes([1]) * 32))
    assert not torn(part)


def test_any_change_before_the_signature_is_not_torn() -> None:
    part = note(7)[:-60]
    known = len(part) - 28  # what follows are characters of the signature
    for position in range(known):
        changed = bytearray(part)
        changed[position] ^= 1
        assert not torn(bytes(changed), (7, bytes(32))), position


def test_checkpoints_that_shrink_are_a_rollback() -> None:
    run = cut_notes(note(5) + note(3) + note(5), name="day", origin=ORIGIN)
    heads = SignedHeads()
    count, findings = collect_heads([run], heads, verifier=SIGNER.verifier, workers=Workers(1))
    assert count == 3
    assert [(one.check, one.subject) for one in findings] == [("RollbackError", "checkpoint 3")]


def test_note_of_another_log_or_key_is_named_with_its_place() -> None:
    thief, stranger = make_signer(seed=9), make_signer("test/two/00000000")
    head = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(1), root_hash=bytes(32))
    other = UnverifiedCheckpoint(
        origin="test/two/00000000", tree_size=TreeSize(1), root_hash=bytes(32)
    )
    for data in (sign_checkpoint(head, thief), sign_checkpoint(other, stranger), b"no note"):
        opened = open_notes(OpenTask((RawNote("day at byte 0", data),), SIGNER.verifier))
        assert [(one.check, one.subject) for one in opened.findings] == [
            ("SignatureError", "day at byte 0")
        ]


def test_more_notes_than_a_task_holds_are_all_opened() -> None:
    sizes = range(NOTES_PER_TASK + 3)
    data = b"".join(note(size) for size in sizes)
    heads = SignedHeads()
    count, findings = collect_heads(
        [cut_notes(data, name="day", origin=ORIGIN)],
        heads,
        verifier=SIGNER.verifier,
        workers=Workers(1),
    )
    assert (count, findings, len(heads)) == (len(sizes), [], len(sizes))
