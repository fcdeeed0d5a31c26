"""A small evidence bundle that is good, and what the checker says of what tests make of it."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path

from meshtrail.note.checkpoint import UnverifiedCheckpoint, sign_checkpoint
from meshtrail.note.keys import format_vkey, parse_private_key
from meshtrail.note.tlog_proof import UnverifiedProof, format_proof
from meshtrail.units import LeafIndex, TreeSize
from meshtrail.verify import standalone_check
from tests.naive_rfc6962 import naive_inclusion_proof, naive_root

Files = dict[str, bytes]
"""The files of a bundle by their names in it."""

PROVEN, NOT_PROVEN, MALFORMED = 0, 3, 65
SCRIPT = Path(standalone_check.__file__)
ORIGIN = "mesh/cluster/0badcafe"
SIGNER = parse_private_key(
    f"PRIVATE+KEY+{ORIGIN}+6d65f8f6+AZ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"
)
VKEY = format_vkey(SIGNER.verifier)
TREE_SIZE = 7
CHOSEN = (2, 6)
RECEIVED = 1_763_689_000_123_456_789
STREAM = 2**62 + 1


def make_entry(index: int, **options: int) -> bytes:
    """Return entry ``index`` of the log; ``options`` replace fields of its header."""
    header = {
        "version": 1,
        "entry_type": 1,
        "payload_format": 16,
        "flags": 0,
        "reserved": 0,
        "received_ns": RECEIVED + index,
        "stream": STREAM,
        "seq": index,
        **options,
    }
    return struct.pack(">BBHHHqqq", *header.values()) + b"payload %d" % index


def make_line(index: int, **columns: object) -> bytes:
    event = {
        "log_index": index,
        "received_time": RECEIVED + index,
        "stream": STREAM,
        "seq": index,
        "url_path": "/größe",
    }
    return json.dumps({**event, **columns}).encode() + b"\n"


def make_files(
    *,
    tree_size: int = TREE_SIZE,
    chosen: tuple[int, ...] = CHOSEN,
    entry_options: dict[str, int] | None = None,
) -> Files:
    """Return the bundle of the ``chosen`` entries of a log of ``tree_size``."""
    entries = [make_entry(index, **(entry_options or {})) for index in range(tree_size)]
    note = sign_checkpoint(
        UnverifiedCheckpoint(
            origin=ORIGIN, tree_size=TreeSize(tree_size), root_hash=naive_root(entries)
        ),
        SIGNER,
    )
    files = {
        "README.txt": b"what this is\n",
        "checkpoint": note,
        "log.vkey": VKEY.encode() + b"\n",
        "events.jsonl": b"".join(make_line(index) for index in chosen),
        "check.py": SCRIPT.read_bytes(),
    }
    for index in chosen:
        files[f"entries/{index}.entry"] = entries[index]
        files[f"proofs/{index}.tlog-proof"] = format_proof(
            UnverifiedProof(
                leaf_index=LeafIndex(index),
                hashes=tuple(naive_inclusion_proof(index, entries)),
                checkpoint_note=note,
            )
        )
    return files


GOOD = make_files()


def resign(note: bytes) -> Files:
    """Return the good bundle with ``note`` as its checkpoint, in the proofs too."""
    return {name: data.replace(GOOD["checkpoint"], note) for name, data in GOOD.items()}


def pack(files: Files | list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore", UserWarning)  # two files of one name, on purpose
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return buffer.getvalue()


def unpack(files: Files, root: Path) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def run_check(*arguments: str) -> tuple[int, str]:
    """Return the exit status of the checker, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = standalone_check.main(list(arguments))
    printed = out.getvalue()
    assert err.getvalue() == ""
    assert printed.endswith("\n")
    assert (status == PROVEN) != ("NOT PROVEN" in printed or '"proven": false' in printed)
    return status, printed


def check_zip(data: bytes, *options: str) -> tuple[int, str]:
    """Return what the checker says of a zip file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle.zip")
        path.write_bytes(data)
        return run_check(str(path), *options)


def check_files(files: Files, *options: str) -> tuple[int, str]:
    """Return what the checker says of ``files`` in a zip file."""
    return check_zip(pack(files), *options)
