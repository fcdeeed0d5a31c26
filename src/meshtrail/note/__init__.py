"""Signed notes, checkpoints, keys and ``.tlog-proof`` files: the c2sp.org text formats.

In: bytes and text from anywhere, hostile or not, and the keys that the caller trusts. Out:
``parse_*`` gives unverified types, ``open_*`` verified ones; ``format_*`` and ``sign_*`` write.
Parsers take exactly what the formatters write. Uses the standard library, ``cryptography`` and
``meshtrail.merkle``; no files, no clock. Everything above the core may import it.
"""

from meshtrail.note.algorithms import SignatureType
from meshtrail.note.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    check_origin,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from meshtrail.note.encoding import decode_base64, encode_base64, format_decimal, parse_decimal
from meshtrail.note.keys import (
    SignerKey,
    VerifierKey,
    format_fingerprint,
    format_private_key,
    format_vkey,
    generate_signer,
    parse_private_key,
    parse_vkey,
)
from meshtrail.note.signed_note import (
    SignatureLine,
    Signer,
    UnverifiedNote,
    VerifiedNote,
    Verifier,
    format_note,
    open_note,
    parse_note,
    sign_note,
)
from meshtrail.note.tlog_proof import (
    ProvenEntry,
    UnverifiedProof,
    format_proof,
    open_proof,
    parse_proof,
)

__all__ = [
    "Checkpoint",
    "ProvenEntry",
    "SignatureLine",
    "SignatureType",
    "Signer",
    "SignerKey",
    "UnverifiedCheckpoint",
    "UnverifiedNote",
    "UnverifiedProof",
    "VerifiedNote",
    "Verifier",
    "VerifierKey",
    "check_origin",
    "decode_base64",
    "encode_base64",
    "format_checkpoint",
    "format_decimal",
    "format_fingerprint",
    "format_note",
    "format_private_key",
    "format_proof",
    "format_vkey",
    "generate_signer",
    "open_checkpoint",
    "open_note",
    "open_proof",
    "parse_checkpoint",
    "parse_decimal",
    "parse_note",
    "parse_private_key",
    "parse_proof",
    "parse_vkey",
    "sign_checkpoint",
    "sign_note",
]
