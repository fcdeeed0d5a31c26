"""The parsers of ``meshtrail.note``: whatever comes in, a canonical value or a syntax error."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InclusionError, NoteSyntaxError, ProofSyntaxError, SignatureError
from meshtrail.note.checkpoint import (
    UnverifiedCheckpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from meshtrail.note.encoding import decode_base64, encode_base64, format_decimal, parse_decimal
from meshtrail.note.keys import (
    format_private_key,
    format_vkey,
    generate_signer,
    parse_private_key,
    parse_vkey,
)
from meshtrail.note.signed_note import (
    SignatureLine,
    UnverifiedNote,
    format_note,
    open_note,
    parse_note,
    sign_note,
)
from meshtrail.note.tlog_proof import UnverifiedProof, format_proof, open_proof, parse_proof
from meshtrail.units import LeafIndex, TreeSize

ORIGIN = "mesh/cluster/0badcafe"
SIGNER = generate_signer(ORIGIN)
ENTRY = b"entry"
SIBLING = bytes(range(32))
ROOT = hashlib.sha256(b"\x01" + hashlib.sha256(b"\x00" + ENTRY).digest() + SIBLING).digest()
NOTE = sign_checkpoint(
    UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(2), root_hash=ROOT), SIGNER
)
PROOF = format_proof(
    UnverifiedProof(
        leaf_index=LeafIndex(0), hashes=(SIBLING,), checkpoint_note=NOTE, extra=b"extra"
    )
)
TEXT_NOTE = sign_note("some\n\ntext — with blank lines\n\n", [SIGNER, generate_signer("other")])
VKEY = format_vkey(SIGNER.verifier)
PRIVATE = format_private_key(SIGNER)

sizes = st.integers(0, 2**63 - 1)
hashes = st.binary(min_size=32, max_size=32)
characters = st.characters(exclude_categories=["Cs"], exclude_characters="+")
key_names = st.text(characters, min_size=1, max_size=20).filter(
    lambda name: not any(character.isspace() or character < " " for character in name)
)
origins = key_names.filter(lambda name: not any("\x7f" <= character < "\xa0" for character in name))
note_texts = st.text(
    st.characters(exclude_categories=["Cs"], min_codepoint=0x20) | st.just("\n"), max_size=60
).map(lambda text: text + "\n")
signature_lines = st.builds(
    SignatureLine,
    key_name=key_names,
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=80),
)
# What an attacker who knows the formats would put in, besides any byte.
interesting_bytes = st.sampled_from(
    [b"\n", b"\r", b" ", b"+", b"-", b"_", b"=", b"0", b"\x00", b"\xe2\x80\x94", b"\xe2\x80\xa8"]
) | st.binary(min_size=1, max_size=3)


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """``original`` with up to three places flipped, replaced, inserted at, deleted or repeated."""
    data = original
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 3, len(data))))
        copied = draw(st.integers(0, len(data)))
        put = draw(st.just(b"") | interesting_bytes | st.just(data[copied : copied + 40]))
        data = data[:start] + put + data[end:]
    return data


def read_text(data: bytes) -> str:
    """Any bytes as text; what is no UTF-8 comes as lone surrogates, which no format may take."""
    return data.decode("utf-8", "surrogateescape")


def reparse_base64(data: bytes) -> None:
    assert encode_base64(decode_base64(read_text(data))) == read_text(data)


def reparse_decimal(data: bytes) -> None:
    assert format_decimal(parse_decimal(read_text(data))) == read_text(data)


def reparse_note(data: bytes) -> None:
    assert format_note(parse_note(data)) == data


def reparse_checkpoint(data: bytes) -> None:
    assert format_checkpoint(parse_checkpoint(read_text(data))) == read_text(data)


def reparse_vkey(data: bytes) -> None:
    assert format_vkey(parse_vkey(read_text(data))) == read_text(data)


def reparse_private_key(data: bytes) -> None:
    assert format_private_key(parse_private_key(read_text(data))) == read_text(data)


def reparse_proof(data: bytes) -> None:
    assert format_proof(parse_proof(data)) == data


Reparse = Callable[[bytes], None]
FORMATS: dict[Reparse, bytes] = {
    reparse_base64: b"Zm8=",
    reparse_decimal: b"9223372036854775807",
    reparse_note: TEXT_NOTE,
    reparse_checkpoint: NOTE.partition(b"\n\n")[0] + b"\n",
    reparse_vkey: VKEY.encode(),
    reparse_private_key: PRIVATE.encode(),
    reparse_proof: PROOF,
}
each_format = pytest.mark.parametrize("reparse", FORMATS, ids=lambda reparse: reparse.__name__)


@each_format
def test_every_parser_takes_its_sample(reparse: Reparse) -> None:
    reparse(FORMATS[reparse])


@each_format
@given(data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_random_bytes_are_a_syntax_error_or_canonical(reparse: Reparse, data: bytes) -> None:
    with contextlib.suppress(NoteSyntaxError, ProofSyntaxError):
        reparse(data)


@each_format
@given(data=st.data())
def test_mutated_samples_are_a_syntax_error_or_canonical(
    reparse: Reparse, data: st.DataObject
) -> None:
    with contextlib.suppress(NoteSyntaxError, ProofSyntaxError):
        reparse(data.draw(mutations(FORMATS[reparse])))


@given(data=mutations(NOTE))
def test_mutated_checkpoint_is_refused_or_says_the_same(data: bytes) -> None:
    try:
        checkpoint = open_checkpoint(data, SIGNER.verifier, origin=ORIGIN)
    except (NoteSyntaxError, SignatureError):
        return
    # What a mutation may still do is add, repeat or spoil lines of keys that nobody trusts.
    assert data.startswith(NOTE.partition(b"\n\n")[0])
    assert (checkpoint.tree_size, checkpoint.root_hash) == (2, ROOT)


@given(data=mutations(PROOF))
def test_mutated_proof_is_refused_or_proves_the_same(data: bytes) -> None:
    try:
        proven = open_proof(data, entry=ENTRY, verifier=SIGNER.verifier)
    except (NoteSyntaxError, ProofSyntaxError, SignatureError, InclusionError):
        return
    assert proven.leaf_index == 0
    assert proven.checkpoint.root_hash == ROOT


@given(note=st.builds(
    UnverifiedNote,
    text=note_texts,
    signatures=st.lists(signature_lines, min_size=1, max_size=4).map(tuple),
))  # fmt: skip
def test_every_note_round_trips(note: UnverifiedNote) -> None:
    assert parse_note(format_note(note)) == note


@given(text=note_texts)
def test_every_signed_text_opens(text: str) -> None:
    assert open_note(parse_note(sign_note(text, [SIGNER])), [SIGNER.verifier]).text == text


@given(
    checkpoint=st.builds(UnverifiedCheckpoint, origin=origins, tree_size=sizes, root_hash=hashes)
)
def test_every_checkpoint_round_trips(checkpoint: UnverifiedCheckpoint) -> None:
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@given(name=key_names)
def test_every_key_round_trips(name: str) -> None:
    signer = generate_signer(name)
    assert parse_vkey(format_vkey(signer.verifier)) == signer.verifier
    assert parse_private_key(format_private_key(signer)).verifier == signer.verifier


@given(proof=st.builds(
    UnverifiedProof,
    leaf_index=sizes,
    hashes=st.lists(hashes, max_size=63).map(tuple),
    checkpoint_note=st.just(NOTE),
    extra=st.none() | st.binary(min_size=1, max_size=80),
))  # fmt: skip
def test_every_proof_round_trips(proof: UnverifiedProof) -> None:
    assert parse_proof(format_proof(proof)) == proof
