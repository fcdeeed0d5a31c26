"""Signed notes: syntax, and which signatures make a note verified."""

from __future__ import annotations

import dataclasses

import pytest

from meshtrail.errors import ConfigError, NoteSyntaxError, SignatureError
from meshtrail.note.encoding import encode_base64
from meshtrail.note.keys import SignerKey, VerifierKey, generate_signer, parse_vkey
from meshtrail.note.signed_note import (
    SignatureLine,
    UnverifiedNote,
    format_note,
    open_note,
    parse_note,
    sign_note,
)

# The worked example of c2sp.org/signed-note.
FOO_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_TEXT = "This is an example message.\n"
FOO_LINE = (
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3"
    "mFXmRKuwHjG1Yu72IneyaQM=\n"
)
FOO_NOTE = (FOO_TEXT + "\n" + FOO_LINE).encode()

LINE = "— a AAAAAAA=\n"  # key id 0, one byte of signature


def make_note(text: str = "text\n", *lines: str) -> bytes:
    return (text + "\n" + "".join(lines or (LINE,))).encode()


def signer(name: str = "a") -> SignerKey:
    return generate_signer(name)


def test_note_of_the_specification_opens() -> None:
    key = parse_vkey(FOO_VKEY)
    note = open_note(parse_note(FOO_NOTE), [key])
    assert note.text == FOO_TEXT
    assert note.signed_by == (key,)


def test_note_splits_at_the_last_blank_line() -> None:
    note = parse_note(make_note("one\n\n— a not a signature\n\n\nthree\n"))
    assert note.text == "one\n\n— a not a signature\n\n\nthree\n"
    assert len(note.signatures) == 1


def test_note_with_two_blank_lines_before_the_signatures_has_one_in_its_text() -> None:
    assert parse_note(make_note("text\n\n")).text == "text\n\n"


def test_signature_line_is_read_into_name_id_and_signature() -> None:
    line = "— example.com/ä " + encode_base64(b"\x01\x02\x03\x04sig") + "\n"
    assert parse_note(make_note("t\n", line)).signatures == (
        SignatureLine(key_name="example.com/ä", key_id=b"\x01\x02\x03\x04", signature=b"sig"),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        LINE.encode(),
        b"\n" + LINE.encode(),
        b"text\n" + LINE.encode(),  # no blank line
        b"text" + b"\n\n" + LINE.encode().rstrip(b"\n"),  # no final newline
        make_note() + b"\n",
        make_note() + b"\x00",
        make_note().replace(b"\n", b"\r\n"),
        make_note("te\rxt\n"),
        make_note("te\txt\n"),
        make_note("te\x00xt\n"),
        b"\xff" + make_note(),
        b"\xed\xa0\x80" + make_note(),  # a surrogate, as no UTF-8 has it
        b"\xc0\xaf" + make_note(),  # an overlong slash
        make_note().replace(b"\n", "\u2028".encode()),
    ],
    ids=range(19),
)
def test_parse_note_refuses_what_is_not_a_note(data: bytes) -> None:
    with pytest.raises(NoteSyntaxError):
        parse_note(data)


@pytest.mark.parametrize(
    "line",
    [
        "- a AAAAAAA=\n",  # hyphen
        "– a AAAAAAA=\n",  # en dash
        "― a AAAAAAA=\n",  # horizontal bar
        "−  a AAAAAAA=\n",
        "—a AAAAAAA=\n",
        "—\u00a0a AAAAAAA=\n",
        "—  a AAAAAAA=\n",
        " — a AAAAAAA=\n",
        "— a  AAAAAAA=\n",
        "— a\u2003b AAAAAAA=\n",
        "— a\u2028b AAAAAAA=\n",
        "— a\u0085b AAAAAAA=\n",
        "— a+b AAAAAAA=\n",
        "—  AAAAAAA=\n",
        "— AAAAAAA=\n",
        "— a\n",
        "— a \n",
        "— a AAAAAAA= \n",
        "— a AAAAAAA\n",
        "— a AAAAAAB=\n",  # trailing bits
        "— a AAAAAA==\n",  # a key id and no signature
        "— a AAAA\n",
        "— a AAAAAAA=\r\n",
        "— a AAAAAAA=\u2028\n",
        "— — a AAAAAAA=\n",
    ],
)
def test_parse_note_refuses_a_signature_line_in_another_spelling(line: str) -> None:
    with pytest.raises(NoteSyntaxError):
        parse_note(make_note("text\n", line))


def test_parse_note_takes_a_hundred_signatures_and_not_one_more() -> None:
    assert len(parse_note(make_note("text\n", *[LINE] * 100)).signatures) == 100
    with pytest.raises(NoteSyntaxError, match="101 signatures"):
        parse_note(make_note("text\n", *[LINE] * 101))


def test_parse_note_takes_a_megabyte_and_not_one_byte_more() -> None:
    full = "x" * (1_000_000 - len(make_note("\n"))) + "\n"
    assert parse_note(make_note(full)).text == full
    with pytest.raises(NoteSyntaxError, match="1000001 bytes"):
        parse_note(make_note("x" + full))


def test_format_note_refuses_what_parse_note_would_not_take() -> None:
    good = parse_note(make_note())
    line = good.signatures[0]
    for bad in (
        dataclasses.replace(good, text="no newline"),
        dataclasses.replace(good, text=""),
        dataclasses.replace(good, text="tab\t\n"),
        dataclasses.replace(good, text="\ud800\n"),
        dataclasses.replace(good, text="x" * 1_000_000 + "\n"),
        dataclasses.replace(good, signatures=()),
        dataclasses.replace(good, signatures=(line,) * 101),
        dataclasses.replace(good, signatures=(dataclasses.replace(line, key_name="a b"),)),
        dataclasses.replace(good, signatures=(dataclasses.replace(line, key_name="\ud800"),)),
        dataclasses.replace(good, signatures=(dataclasses.replace(line, key_id=b"abc"),)),
        dataclasses.replace(good, signatures=(dataclasses.replace(line, signature=b""),)),
    ):
        with pytest.raises(NoteSyntaxError):
            format_note(bad)


def test_sign_note_writes_what_open_note_takes_from_every_signer() -> None:
    first, second = signer("a"), signer("b")
    note = parse_note(sign_note("text\n", [first, second]))
    verified = open_note(note, [second.verifier, first.verifier])
    assert verified.text == "text\n"
    assert verified.signed_by == (first.verifier, second.verifier)


def test_sign_note_refuses_to_write_a_note_that_nobody_signs() -> None:
    with pytest.raises(NoteSyntaxError, match="0 signatures"):
        sign_note("text\n", [])


def test_open_note_ignores_the_lines_of_unknown_keys() -> None:
    known, unknown = signer("a"), signer("b")
    note = parse_note(sign_note("text\n", [unknown, known]))
    assert open_note(note, [known.verifier]).signed_by == (known.verifier,)


def test_open_note_ignores_a_bad_line_that_shares_only_the_name_or_only_the_id() -> None:
    known = signer("a")
    note = parse_note(sign_note("text\n", [known]))
    same_name = SignatureLine(key_name="a", key_id=b"\0\0\0\0", signature=b"junk")
    same_id = SignatureLine(key_name="b", key_id=known.key_id, signature=b"junk")
    widened = dataclasses.replace(note, signatures=(same_name, same_id, *note.signatures))
    assert open_note(widened, [known.verifier]).signed_by == (known.verifier,)


def test_open_note_refuses_the_whole_note_for_one_bad_signature_of_a_known_key() -> None:
    good, bad = signer("a"), signer("b")
    note = parse_note(sign_note("text\n", [good, bad]))
    spoiled = dataclasses.replace(note.signatures[1], signature=bytes(64))
    spoiled_note = dataclasses.replace(note, signatures=(note.signatures[0], spoiled))
    assert open_note(spoiled_note, [good.verifier]).signed_by == (good.verifier,)
    with pytest.raises(SignatureError, match=r"bad signature in the name of b\+"):
        open_note(spoiled_note, [good.verifier, bad.verifier])


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_open_note_refuses_a_signature_of_another_length(length: int) -> None:
    known = signer()
    line = SignatureLine(key_name="a", key_id=known.key_id, signature=bytes(length))
    with pytest.raises(SignatureError):
        open_note(UnverifiedNote(text="text\n", signatures=(line,)), [known.verifier])


def test_open_note_refuses_a_note_without_a_trusted_signature() -> None:
    note = parse_note(sign_note("text\n", [signer("a")]))
    for verifiers in ([], [signer("a").verifier], [signer("b").verifier]):
        with pytest.raises(SignatureError, match="not signed by a trusted key"):
            open_note(note, verifiers)


def test_open_note_counts_repeated_lines_of_one_key_once() -> None:
    known = signer()
    note = parse_note(sign_note("text\n", [known, known, known]))
    assert open_note(note, [known.verifier, known.verifier]).signed_by == (known.verifier,)


def test_open_note_refuses_a_second_line_of_one_key_that_is_bad() -> None:
    known = signer()
    note = parse_note(sign_note("text\n", [known]))
    second = dataclasses.replace(note.signatures[0], signature=bytes(64))
    with pytest.raises(SignatureError):
        open_note(
            dataclasses.replace(note, signatures=(*note.signatures, second)), [known.verifier]
        )


def test_open_note_refuses_two_trusted_keys_that_it_cannot_tell_apart() -> None:
    class Twin:
        """Another key whose truncated id happens to be the same."""

        def __init__(self, key: VerifierKey) -> None:
            self.name, self.key_id = key.name, key.key_id

        def check_signature(self, text: bytes, signature: bytes) -> None:
            raise AssertionError(text, signature)

    known = signer()
    note = parse_note(sign_note("text\n", [known]))
    with pytest.raises(ConfigError, match="two trusted keys"):
        open_note(note, [known.verifier, Twin(known.verifier)])
