"""Checkpoints, keys and proofs against ``tlog-scales``, an independent implementation."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales import tlog
from tlog_scales.signing import MLDSA44CosignatureSigner, PlainEd25519Signer, Vkey

from meshtrail.errors import SignatureError
from meshtrail.note.checkpoint import UnverifiedCheckpoint, open_checkpoint, sign_checkpoint
from meshtrail.note.keys import format_vkey, generate_signer, parse_vkey
from meshtrail.note.tlog_proof import UnverifiedProof, format_proof, open_proof, parse_proof
from meshtrail.units import LeafIndex, TreeSize

ORIGIN = "mesh/cluster/0badcafe"
SEED = hashlib.sha256(b"seed").digest()
ROOT = hashlib.sha256(b"root").digest()
OURS = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(70_000), root_hash=ROOT)


def test_tlog_scales_takes_our_checkpoint_under_our_vkey() -> None:
    signer = generate_signer(ORIGIN)
    vkey = Vkey.from_string(format_vkey(signer.verifier))
    theirs = tlog.Checkpoint.from_text(sign_checkpoint(OURS, signer).decode())
    theirs.verify(vkey)
    assert (theirs.origin, theirs.size, theirs.root_hash) == (ORIGIN, 70_000, ROOT)
    assert vkey.key_id.to_bytes(4, "big") == signer.key_id


def test_tlog_scales_refuses_our_checkpoint_with_another_root() -> None:
    signer = generate_signer(ORIGIN)
    note = sign_checkpoint(OURS, signer).decode().replace("70000", "70001")
    with pytest.raises(InvalidSignature):
        tlog.Checkpoint.from_text(note).verify(Vkey.from_string(format_vkey(signer.verifier)))


def test_we_take_a_checkpoint_of_tlog_scales_under_its_vkey() -> None:
    theirs = PlainEd25519Signer(ORIGIN, SEED)
    witness = MLDSA44CosignatureSigner("witness.example", SEED)
    note = tlog.Checkpoint.make_signed(ORIGIN, 70_000, ROOT, [witness, theirs]).serialize()
    verifier = parse_vkey(theirs.vkey.serialize())  # type: ignore[no-untyped-call]  # it has no types
    ours = open_checkpoint(note.encode(), verifier, origin=ORIGIN)
    assert (ours.origin, ours.tree_size, ours.root_hash) == (ORIGIN, 70_000, ROOT)
    with pytest.raises(SignatureError):
        open_checkpoint(note.replace("70000", "7").encode(), verifier, origin=ORIGIN)


def test_both_take_the_same_inclusion_proof() -> None:
    entries = [b"entry %d" % index for index in range(2)]
    left, right = (hashlib.sha256(b"\x00" + entry).digest() for entry in entries)
    root = hashlib.sha256(b"\x01" + left + right).digest()
    signer = generate_signer(ORIGIN)
    note = sign_checkpoint(
        UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(2), root_hash=root), signer
    )
    data = format_proof(
        UnverifiedProof(leaf_index=LeafIndex(1), hashes=(left,), checkpoint_note=note)
    )
    assert open_proof(data, entry=entries[1], verifier=signer.verifier).leaf_hash == right

    proof = parse_proof(data)
    theirs = tlog.Checkpoint.from_text(proof.checkpoint_note.decode())
    tlog.InclusionProof(proof.leaf_index, theirs.size, list(proof.hashes)).check(
        right, theirs.root_hash
    )
