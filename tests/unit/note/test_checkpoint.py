"""Checkpoints: one spelling, one origin, and a signature over every byte."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from meshtrail.errors import KeyFileError, MeshtrailError, NoteSyntaxError, SignatureError
from meshtrail.note.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    check_origin,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from meshtrail.note.keys import generate_signer, parse_private_key
from meshtrail.note.signed_note import sign_note
from meshtrail.units import TreeSize

ORIGIN = "mesh/cluster/0badcafe"
# The seed is that of RFC 8032 section 7.1, test 1; the tree has the single entry b"entry".
SIGNER = parse_private_key(
    f"PRIVATE+KEY+{ORIGIN}+6d65f8f6+AZ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"
)
ROOT = hashlib.sha256(b"\x00entry").digest()
ROOT_BASE64 = "2cLWa1IsJSJyj1Of+fZ7hdQN7/8JX8ilKMmU9PNbs94="
CHECKPOINT = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(1), root_hash=ROOT)
TEXT = f"{ORIGIN}\n1\n{ROOT_BASE64}\n"
# Checked with another program than this one: the signed bytes are TEXT.
NOTE = (
    TEXT + f"\n— {ORIGIN} "
    "bWX49gMzKdmVrrRd6meyMIuEjJRPHSJGvQmbqkgTGnYLg8YRwdPmLkbT9OJr+sNDUme9vJYdOoLlqgio0EwvZjVjxgM=\n"
).encode()


def test_checkpoint_with_a_fixed_seed_has_its_golden_bytes() -> None:
    assert format_checkpoint(CHECKPOINT) == TEXT
    assert sign_checkpoint(CHECKPOINT, SIGNER) == NOTE


def test_open_checkpoint_gives_the_tree_head_that_was_signed() -> None:
    assert open_checkpoint(NOTE, SIGNER.verifier, origin=ORIGIN) == Checkpoint(
        origin=ORIGIN, tree_size=TreeSize(1), root_hash=ROOT
    )


@pytest.mark.parametrize("flip", [1, 2, 4, 8, 16, 32, 64, 128, 255])
def test_every_byte_flip_of_a_signed_checkpoint_is_refused(flip: int) -> None:
    for position in range(len(NOTE)):
        flipped = bytearray(NOTE)
        flipped[position] ^= flip
        with pytest.raises((NoteSyntaxError, SignatureError)):
            open_checkpoint(bytes(flipped), SIGNER.verifier, origin=ORIGIN)


def test_every_truncation_and_every_appended_byte_is_refused() -> None:
    for length in range(len(NOTE)):
        with pytest.raises((NoteSyntaxError, SignatureError)):
            open_checkpoint(NOTE[:length], SIGNER.verifier, origin=ORIGIN)
    for byte in range(256):
        with pytest.raises(NoteSyntaxError):
            open_checkpoint(NOTE + bytes([byte]), SIGNER.verifier, origin=ORIGIN)


@pytest.mark.parametrize("tree_size", [0, 1, 10, 2**63 - 1])
def test_parse_checkpoint_takes_every_size_that_format_writes(tree_size: int) -> None:
    checkpoint = dataclasses.replace(CHECKPOINT, tree_size=TreeSize(tree_size))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        TEXT[:-1],  # no final newline
        TEXT + "\n",
        TEXT + "extension line\n",
        TEXT.replace("\n1\n", "\n"),
        TEXT.replace("\n1\n", "\n\n1\n"),
        TEXT.replace("\n1\n", "\n4_2\n"),
        TEXT.replace("\n1\n", "\n+5\n"),
        TEXT.replace("\n1\n", "\n 5\n"),
        TEXT.replace("\n1\n", "\n５\n"),
        TEXT.replace("\n1\n", "\n01\n"),
        TEXT.replace("\n1\n", "\n-1\n"),
        TEXT.replace("\n1\n", "\n\n"),
        TEXT.replace("\n1\n", f"\n{2**63}\n"),
        TEXT.replace("s94=", "s95="),  # trailing bits that are not zero
        TEXT.replace("s94=", "s94"),
        TEXT.replace("s94=", "s94= "),
        TEXT.replace("s94=\n", "s9\n4=\n"),
        TEXT.replace(ROOT_BASE64, "AAAA"),
        TEXT.replace(ROOT_BASE64, ROOT_BASE64[:-1] + "A="),
        TEXT.replace(ROOT_BASE64, ""),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\u2028"),
        TEXT.replace("\n1", "\u2028\n1"),
        TEXT.replace("\n1", " \n1"),
        TEXT.replace(ORIGIN, ""),
        TEXT.replace(ORIGIN, "a b"),
        TEXT.replace(ORIGIN, "a+b"),
        TEXT.replace(ORIGIN, "a\x00b"),
    ],
    ids=range(31),
)
def test_parse_checkpoint_refuses_every_other_spelling(text: str) -> None:
    with pytest.raises(NoteSyntaxError):
        parse_checkpoint(text)


def test_format_checkpoint_refuses_what_parse_checkpoint_would_not_take() -> None:
    for bad in (
        dataclasses.replace(CHECKPOINT, origin="two\nlines"),
        dataclasses.replace(CHECKPOINT, origin=""),
        dataclasses.replace(CHECKPOINT, tree_size=TreeSize(-1)),
        dataclasses.replace(CHECKPOINT, tree_size=TreeSize(2**63)),
        dataclasses.replace(CHECKPOINT, root_hash=ROOT[:-1]),
        dataclasses.replace(CHECKPOINT, root_hash=b""),
    ):
        with pytest.raises(NoteSyntaxError):
            format_checkpoint(bad)


@pytest.mark.parametrize(
    "origin", ["\x7f", "a\x80", "a\x9f", "\x1b[2J", "a\x00", "", "\u2028", "+"]
)
def test_check_origin_refuses_what_a_terminal_would_not_show(origin: str) -> None:
    with pytest.raises(NoteSyntaxError):
        check_origin(origin)


@pytest.mark.parametrize("origin", ["a", ORIGIN, "example.com/log", "größe/☃"])
def test_check_origin_takes_what_can_name_a_log(origin: str) -> None:
    check_origin(origin)


def test_open_checkpoint_refuses_the_checkpoint_of_another_log() -> None:
    other = dataclasses.replace(CHECKPOINT, origin="mesh/cluster/00000000")
    note = sign_note(format_checkpoint(other), [SIGNER])
    with pytest.raises(SignatureError, match="another log") as caught:
        open_checkpoint(note, SIGNER.verifier, origin=ORIGIN)
    assert caught.value.facts == {"want": ORIGIN, "got": "mesh/cluster/00000000"}


def test_open_checkpoint_refuses_a_key_of_the_same_name() -> None:
    with pytest.raises(SignatureError, match="not signed by a trusted key"):
        open_checkpoint(NOTE, generate_signer(ORIGIN).verifier, origin=ORIGIN)


def test_open_checkpoint_refuses_signed_text_that_is_not_a_checkpoint() -> None:
    for text in ("a note of another kind\n", TEXT + "extension line\n", TEXT + "\n"):
        with pytest.raises(NoteSyntaxError):
            open_checkpoint(sign_note(text, [SIGNER]), SIGNER.verifier, origin=ORIGIN)


def test_open_checkpoint_takes_further_signatures_by_others() -> None:
    note = sign_note(TEXT, [generate_signer("witness.example"), SIGNER])
    assert open_checkpoint(note, SIGNER.verifier, origin=ORIGIN).tree_size == 1


def test_sign_checkpoint_refuses_a_key_that_is_not_the_logs() -> None:
    with pytest.raises(KeyFileError, match="not that of the log"):
        sign_checkpoint(CHECKPOINT, generate_signer("mesh/cluster/00000000"))


def test_sign_checkpoint_refuses_what_has_no_spelling() -> None:
    with pytest.raises(MeshtrailError):
        sign_checkpoint(dataclasses.replace(CHECKPOINT, root_hash=b""), SIGNER)
