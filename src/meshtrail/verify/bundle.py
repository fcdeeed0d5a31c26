"""The case bundle: a zip of entries, proofs, the checkpoint, a readable rendering and a checker.

    README.txt  checkpoint  log.vkey  events.jsonl  check.py
    entries/<index>.entry  proofs/<index>.tlog-proof

The same evidence makes the same bytes: names are sorted, times fixed, nothing is compressed. What
the files have to keep is checked in ``check`` and, by itself, in ``standalone_check``.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.verify import standalone_check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshtrail.note import Checkpoint
    from meshtrail.verify.evidence import Evidence
    from meshtrail.verify.pins import TrustedKey

README: Final = "README.txt"
CHECKPOINT: Final = "checkpoint"
KEY: Final = "log.vkey"
EVENTS: Final = "events.jsonl"
CHECKER: Final = "check.py"

_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say."""
_MODE: Final = 0o100644 << 16

_TEXT: Final = """\
Evidence from the log {origin}
{rule}

This bundle holds {count} of the {tree_size} entries that the log's key had signed for, and what
proves each of them. An entry is what a proxy reported, byte for byte as it arrived, behind a header
of 32 bytes that says when it was received and where it stood in its stream.

  checkpoint                    the signed statement: so many entries, this root hash
  log.vkey                      the public key that the checkpoint is checked with
  entries/<index>.entry         the exact bytes of an entry
  proofs/<index>.tlog-proof     the hashes that lead from that entry to the root
  events.jsonl                  the entries for people to read, one JSON object a line
  check.py                      a checker that needs nothing but Python 3.8 or newer

How to check it

  python3 check.py                        in this folder, unpacked
  python3 check.py BUNDLE.zip             as it was handed over
  meshtrail check BUNDLE.zip --key KEY    with the program that made it

Compare the key's fingerprint with its owner over a channel that you trust, or pass the key that
you trust with --key:

  {fingerprint}

A checker that came with the evidence can have been changed along with it. Take it from the
meshtrail project when that matters. The SHA-256 of this one is

  {checker}

What is proven

  Whoever holds the key signed a log of {tree_size} entries in which exactly these bytes stand at
  exactly these positions. Nobody can change, add, drop or reorder entries of that log and keep the
  checkpoint.

What is not proven

  - that what a proxy reported is true;
  - that nothing happened which was never reported or never recorded;
  - events.jsonl, a reading aid and not evidence: a checker compares log_index, received_time,
    stream and seq with the entries, and nothing else of it;
  - whose key it is, see above.
"""


def bundle_files(
    evidence: Sequence[Evidence], *, checkpoint: Checkpoint, note: bytes, trusted: TrustedKey
) -> dict[str, bytes]:
    """The files of a bundle by name.

    Args:
        evidence: what to hand over, ascending; each proof carries ``note``.
        checkpoint: what ``note`` says.
        note: the signed checkpoint, verbatim.
        trusted: the key that signed it.
    """
    files = {
        README: format_readme(len(evidence), checkpoint=checkpoint, trusted=trusted),
        CHECKPOINT: note,
        KEY: f"{trusted.vkey}\n".encode(),
        EVENTS: b"".join(render_event(one.event) for one in evidence),
        CHECKER: checker_source(),
    }
    for one in evidence:
        files[f"entries/{one.leaf_index}.entry"] = one.entry
        files[f"proofs/{one.leaf_index}.tlog-proof"] = one.proof
    return files


def format_readme(count: int, *, checkpoint: Checkpoint, trusted: TrustedKey) -> bytes:
    """The README.txt of a bundle with so many entries."""
    heading = f"Evidence from the log {checkpoint.origin}"
    text = _TEXT.format(
        origin=checkpoint.origin,
        rule="=" * len(heading),
        count=count,
        tree_size=checkpoint.tree_size,
        fingerprint=trusted.fingerprint,
        checker=hashlib.sha256(checker_source()).hexdigest(),
    )
    return text.encode()


def pack(files: Mapping[str, bytes]) -> bytes:
    """The zip of some files; the same files make the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system = 3  # as if on Unix, wherever it is made
            member.external_attr = _MODE
            archive.writestr(member, files[name])
    return buffer.getvalue()


def render_event(event: Mapping[str, Any]) -> bytes:
    """One line of events.jsonl: the columns that have a value, in the order of the schema."""
    shown = {
        name: value.hex() if isinstance(value, bytes) else value
        for name in EVENT_SCHEMA.names
        if (value := event.get(name)) is not None
    }
    return json.dumps(shown, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def checker_source() -> bytes:
    """The checker that goes into a bundle."""
    return Path(standalone_check.__file__).read_bytes()
