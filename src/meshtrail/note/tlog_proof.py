"""Proofs that a stranger can check offline: one entry is in one signed tree.

    c2sp.org/tlog-proof@v1
    [extra <base64>]            opaque, nothing vouches for it
    index <leaf index>
    <base64 of a hash>          the leaf's sibling first, the root's child last
    …

    <the signed checkpoint, verbatim>

Must not decide which key is trusted: the caller brings the entry's bytes and the log's key.

Source: c2sp.org/tlog-proof@v1 (untagged draft).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import NoteSyntaxError, ProofSyntaxError
from meshtrail.merkle import check_inclusion, hash_leaf
from meshtrail.note.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from meshtrail.note.encoding import decode_base64, encode_base64, format_decimal, parse_decimal
from meshtrail.note.signed_note import NOTE_BYTES_MAX, parse_note
from meshtrail.units import LeafIndex

if TYPE_CHECKING:
    from meshtrail.note.signed_note import Verifier

PROOF_BYTES_MAX = 2 * NOTE_BYTES_MAX
HASHES_MAX = 63  # the height of a tree of 2^63-1 leaves

_HASH_BYTES = 32
_MAGIC = "c2sp.org/tlog-proof@v1"
_EXTRA = "extra "
_INDEX = "index "


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedProof:
    """A proof that nobody has checked."""

    leaf_index: LeafIndex
    hashes: tuple[bytes, ...]
    """The inclusion proof, from the leaf's sibling to the root's child."""
    checkpoint_note: bytes
    """The signed checkpoint, verbatim."""
    extra: bytes | None = None
    """Opaque bytes that nothing vouches for; None when there are none, never empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenEntry:
    """What a checked proof has shown; only ``open_proof`` makes one."""

    checkpoint: Checkpoint
    leaf_index: LeafIndex
    leaf_hash: bytes


def format_proof(proof: UnverifiedProof) -> bytes:
    """Return the bytes of the ``.tlog-proof`` file of ``proof``.

    Raises:
        ProofSyntaxError: ``proof`` has no spelling: an index outside 0..2^63-1, more than 63
            hashes, hashes that are not 32 bytes long, an ``extra`` that is empty, over 2 MB.
        NoteSyntaxError: its checkpoint is not a canonical signed checkpoint.
    """
    parse_checkpoint(parse_note(proof.checkpoint_note).text)
    if proof.extra == b"":
        raise ProofSyntaxError("proof has an extra line of no bytes; such a line is left out")
    if len(proof.hashes) > HASHES_MAX:
        raise ProofSyntaxError(f"proof has {len(proof.hashes)} hashes, at most {HASHES_MAX}")
    for position, node_hash in enumerate(proof.hashes):
        if len(node_hash) != _HASH_BYTES:
            raise ProofSyntaxError(
                f"hash {position} of the proof has {len(node_hash)} bytes, wanted {_HASH_BYTES}"
            )
    lines = [_MAGIC]
    if proof.extra is not None:
        lines.append(_EXTRA + encode_base64(proof.extra))
    lines.append(_INDEX + _format_index(proof.leaf_index))
    lines.extend(encode_base64(node_hash) for node_hash in proof.hashes)
    data = "\n".join(lines).encode("ascii") + b"\n\n" + proof.checkpoint_note
    if len(data) > PROOF_BYTES_MAX:
        raise ProofSyntaxError(f"proof has {len(data)} bytes, at most {PROOF_BYTES_MAX}")
    return data


def parse_proof(data: bytes) -> UnverifiedProof:
    """Return the proof whose ``format_proof`` is exactly ``data``.

    Raises:
        ProofSyntaxError: there is no such proof.
        NoteSyntaxError: its checkpoint is not a canonical signed checkpoint.
    """
    if len(data) > PROOF_BYTES_MAX:
        raise ProofSyntaxError(f"proof has {len(data)} bytes, at most {PROOF_BYTES_MAX}")
    head, _, checkpoint_note = data.partition(b"\n\n")
    try:
        proof = _parse_head(head.decode("ascii"), checkpoint_note)
    except (UnicodeDecodeError, NoteSyntaxError) as error:
        raise ProofSyntaxError(f"proof has a bad line before its checkpoint: {error}") from error
    if format_proof(proof) != data:
        raise ProofSyntaxError("proof is not in canonical form")
    return proof


def open_proof(proof_data: bytes, *, entry: bytes, verifier: Verifier) -> ProvenEntry:
    """Return what ``proof_data`` proves of ``entry`` to one who trusts ``verifier``.

    Args:
        proof_data: the ``.tlog-proof`` file.
        entry: the exact bytes of the entry; the proof does not carry them.
        verifier: the trusted key of the log, whose name is the log's origin.

    Raises:
        ProofSyntaxError, NoteSyntaxError: ``proof_data`` is not canonical.
        SignatureError: the checkpoint is not signed by ``verifier``, or is of another log.
        InclusionError: ``entry`` is not the leaf at that index of that tree.
    """
    # The plan, each step on what the one before has established:
    # (1) hash the entry's bytes: nothing the proof says decides which leaf it is about;
    # (2) open the checkpoint: the log's key signed this tree, and it is a tree of that log;
    # (3) check the inclusion of (1) in (2) at the index that the proof names.
    proof = parse_proof(proof_data)

    # (1): the leaf hash.
    leaf_hash = hash_leaf(entry)

    # (2): origin and log signature.
    checkpoint = open_checkpoint(proof.checkpoint_note, verifier, origin=verifier.name)

    # (3): inclusion.
    check_inclusion(
        leaf_hash,
        leaf_index=proof.leaf_index,
        tree_size=checkpoint.tree_size,
        root_hash=checkpoint.root_hash,
        proof=proof.hashes,
    )
    return ProvenEntry(checkpoint=checkpoint, leaf_index=proof.leaf_index, leaf_hash=leaf_hash)


def _parse_head(head: str, checkpoint_note: bytes) -> UnverifiedProof:
    magic, *lines = head.split("\n")
    if magic != _MAGIC:
        raise ProofSyntaxError(f"proof starts with {magic[:40]!r}, wanted {_MAGIC!r}")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra = decode_base64(lines.pop(0).removeprefix(_EXTRA))
    if not lines or not lines[0].startswith(_INDEX):
        raise ProofSyntaxError("proof has no index line where one was wanted")
    index, *hashes = lines
    if len(hashes) > HASHES_MAX:
        raise ProofSyntaxError(f"proof has {len(hashes)} hashes, at most {HASHES_MAX}")
    return UnverifiedProof(
        leaf_index=LeafIndex(parse_decimal(index.removeprefix(_INDEX))),
        hashes=tuple(decode_base64(line) for line in hashes),
        checkpoint_note=checkpoint_note,
        extra=extra,
    )


def _format_index(leaf_index: LeafIndex) -> str:
    try:
        return format_decimal(leaf_index)
    except NoteSyntaxError as error:
        raise ProofSyntaxError(f"leaf index {leaf_index} is outside 0..2^63-1") from error
