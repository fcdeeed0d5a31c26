"""``.tlog-proof`` files: one spelling, and three things checked in order."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from meshtrail.errors import InclusionError, NoteSyntaxError, ProofSyntaxError, SignatureError
from meshtrail.note.checkpoint import UnverifiedCheckpoint, sign_checkpoint
from meshtrail.note.encoding import encode_base64
from meshtrail.note.keys import generate_signer
from meshtrail.note.signed_note import sign_note
from meshtrail.note.tlog_proof import UnverifiedProof, format_proof, open_proof, parse_proof
from meshtrail.units import LeafIndex, TreeSize

ORIGIN = "mesh/cluster/0badcafe"
SIGNER = generate_signer(ORIGIN)


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


# Three entries:  root = node(node(a, b), c)
ENTRIES = [b"entry a", b"entry b", b"entry c"]
A, B, C = map(leaf, ENTRIES)
ROOT = node(node(A, B), C)
PATHS = [(B, C), (A, C), (node(A, B),)]
NOTE = sign_checkpoint(
    UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(3), root_hash=ROOT), SIGNER
)


def proof_of(index: int) -> UnverifiedProof:
    return UnverifiedProof(leaf_index=LeafIndex(index), hashes=PATHS[index], checkpoint_note=NOTE)


def good() -> bytes:
    return format_proof(proof_of(1))


def test_proof_has_the_lines_of_the_specification() -> None:
    assert good() == (
        b"c2sp.org/tlog-proof@v1\nindex 1\n"
        + encode_base64(A).encode() + b"\n"
        + encode_base64(C).encode() + b"\n\n"
        + NOTE
    )  # fmt: skip


@pytest.mark.parametrize("index", range(3))
def test_open_proof_shows_every_entry_in_the_tree(index: int) -> None:
    data = format_proof(proof_of(index))
    assert parse_proof(data) == proof_of(index)
    proven = open_proof(data, entry=ENTRIES[index], verifier=SIGNER.verifier)
    assert proven.leaf_index == index
    assert proven.leaf_hash == leaf(ENTRIES[index])
    assert proven.checkpoint.origin == ORIGIN
    assert (proven.checkpoint.tree_size, proven.checkpoint.root_hash) == (3, ROOT)


def test_open_proof_takes_the_only_entry_of_a_tree_without_any_hash() -> None:
    note = sign_checkpoint(
        UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(1), root_hash=A), SIGNER
    )
    proof = UnverifiedProof(leaf_index=LeafIndex(0), hashes=(), checkpoint_note=note)
    data = format_proof(proof)
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\n")
    assert parse_proof(data) == proof
    assert open_proof(data, entry=ENTRIES[0], verifier=SIGNER.verifier).leaf_hash == A


def test_extra_line_round_trips_and_proves_nothing() -> None:
    proof = dataclasses.replace(proof_of(1), extra=b"opaque\n\n")
    data = format_proof(proof)
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nextra b3BhcXVlCgo=\nindex 1\n")
    assert parse_proof(data) == proof
    assert open_proof(data, entry=ENTRIES[1], verifier=SIGNER.verifier).leaf_index == 1


@pytest.mark.parametrize("entry", [b"", b"entry b ", b"entry B", b"entry a", b"\x00entry b"])
def test_open_proof_refuses_other_bytes_than_the_entrys(entry: bytes) -> None:
    with pytest.raises(InclusionError):
        open_proof(good(), entry=entry, verifier=SIGNER.verifier)


@pytest.mark.parametrize("index", [0, 2, 3, 2**63 - 1])
def test_open_proof_refuses_the_entry_at_another_index(index: int) -> None:
    moved = dataclasses.replace(proof_of(1), leaf_index=LeafIndex(index))
    with pytest.raises(InclusionError):
        open_proof(format_proof(moved), entry=ENTRIES[1], verifier=SIGNER.verifier)


@pytest.mark.parametrize(
    "hashes", [(), (A,), (C, A), (A, C, C), (A, A), (B, C), (bytes(32), C), (A,) * 63]
)
def test_open_proof_refuses_other_hashes(hashes: tuple[bytes, ...]) -> None:
    changed = dataclasses.replace(proof_of(1), hashes=hashes)
    with pytest.raises(InclusionError):
        open_proof(format_proof(changed), entry=ENTRIES[1], verifier=SIGNER.verifier)


def test_open_proof_refuses_a_node_passed_off_as_an_entry() -> None:
    forged = UnverifiedProof(leaf_index=LeafIndex(0), hashes=(C,), checkpoint_note=NOTE)
    with pytest.raises(InclusionError):
        open_proof(format_proof(forged), entry=A + B, verifier=SIGNER.verifier)


def test_open_proof_refuses_another_key() -> None:
    with pytest.raises(SignatureError):
        open_proof(good(), entry=ENTRIES[1], verifier=generate_signer(ORIGIN).verifier)


def test_open_proof_refuses_the_tree_of_another_log_signed_with_the_logs_key() -> None:
    other = NOTE.partition(b"\n\n")[0].decode().replace(ORIGIN, "mesh/other") + "\n"
    moved = dataclasses.replace(proof_of(1), checkpoint_note=sign_note(other, [SIGNER]))
    with pytest.raises(SignatureError, match="another log"):
        open_proof(format_proof(moved), entry=ENTRIES[1], verifier=SIGNER.verifier)


def head(text: str) -> bytes:
    return text.encode() + b"\n\n" + NOTE


HASH_LINE = encode_base64(bytes(32))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\n",
        NOTE,
        head("c2sp.org/tlog-proof@v1"),
        head("c2sp.org/tlog-proof@v2\nindex 1"),
        head(" c2sp.org/tlog-proof@v1\nindex 1"),
        head("\ufeffc2sp.org/tlog-proof@v1\nindex 1"),
        head("c2sp.org/tlog-proof@v1\r\nindex 1"),
        head("c2sp.org/tlog-proof@v1\nindex"),
        head("c2sp.org/tlog-proof@v1\nindex "),
        head("c2sp.org/tlog-proof@v1\nIndex 1"),
        head("c2sp.org/tlog-proof@v1\nindex  1"),
        head("c2sp.org/tlog-proof@v1\nindex 01"),
        head("c2sp.org/tlog-proof@v1\nindex +1"),
        head("c2sp.org/tlog-proof@v1\nindex 4_2"),
        head("c2sp.org/tlog-proof@v1\nindex ５"),
        head("c2sp.org/tlog-proof@v1\nindex -1"),
        head("c2sp.org/tlog-proof@v1\nindex 1 "),
        head(f"c2sp.org/tlog-proof@v1\nindex {2**63}"),
        head("c2sp.org/tlog-proof@v1\nindex 1\nindex 1"),
        head("c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA"),
        head("c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 1"),
        head("c2sp.org/tlog-proof@v1\nextra \nindex 1"),
        head("c2sp.org/tlog-proof@v1\nextra\nindex 1"),
        head("c2sp.org/tlog-proof@v1\nextra AB==\nindex 1"),
        head("c2sp.org/tlog-proof@v1\nindex 1\nAAAA"),
        head("c2sp.org/tlog-proof@v1\nindex 1\n" + encode_base64(bytes(33))),
        head("c2sp.org/tlog-proof@v1\nindex 1\n" + HASH_LINE[:-2] + "B="),
        head("c2sp.org/tlog-proof@v1\nindex 1\n" + HASH_LINE + "\r"),
        head("c2sp.org/tlog-proof@v1\nindex 1" + f"\n{HASH_LINE}" * 64),
        b"c2sp.org/tlog-proof@v1\nindex 1\n" + NOTE,
    ],
    ids=range(31),
)
def test_parse_proof_refuses_every_other_spelling(data: bytes) -> None:
    with pytest.raises(ProofSyntaxError):
        parse_proof(data)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n" + NOTE,
        NOTE + b"\n",
        NOTE[:-1],
        NOTE.replace(b"\n3\n", b"\n3\n\n"),
        sign_note("a note of another kind\n", [SIGNER]),
    ],
    ids=range(6),
)
def test_parse_and_format_refuse_a_checkpoint_in_another_spelling(note: bytes) -> None:
    with pytest.raises(NoteSyntaxError):
        parse_proof(b"c2sp.org/tlog-proof@v1\nindex 1\n\n" + note)
    with pytest.raises(NoteSyntaxError):
        format_proof(dataclasses.replace(proof_of(1), checkpoint_note=note))


def test_format_proof_refuses_what_parse_proof_would_not_take() -> None:
    for bad in (
        dataclasses.replace(proof_of(1), leaf_index=LeafIndex(-1)),
        dataclasses.replace(proof_of(1), leaf_index=LeafIndex(2**63)),
        dataclasses.replace(proof_of(1), hashes=(bytes(31),)),
        dataclasses.replace(proof_of(1), hashes=(bytes(32),) * 64),
        dataclasses.replace(proof_of(1), extra=b""),
        dataclasses.replace(proof_of(1), extra=bytes(1_500_000)),
    ):
        with pytest.raises(ProofSyntaxError):
            format_proof(bad)


def test_parse_proof_refuses_more_than_two_megabytes_before_it_reads_them() -> None:
    with pytest.raises(ProofSyntaxError, match="2000001 bytes"):
        parse_proof(bytes(2_000_001))
