"""Checking a proof or a bundle, offline, without any data directory.

The second checker of bundles, ``standalone_check``, shares nothing with this one; both refuse the
same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import BundleError, InclusionError, MissingFileError
from meshtrail.model.entry import ENTRY_BYTES_MAX, EntryHeader, decode_header
from meshtrail.note import (
    Checkpoint,
    open_checkpoint,
    open_proof,
    parse_checkpoint,
    parse_note,
    parse_proof,
    parse_vkey,
)
from meshtrail.note.tlog_proof import PROOF_BYTES_MAX
from meshtrail.verify.bundle import (
    CHECKER,
    CHECKPOINT,
    EVENTS,
    KEY,
    README,
    checker_source,
    format_readme,
)
from meshtrail.verify.bundle_reader import BundleContents, read_bundle
from meshtrail.verify.pins import TrustedKey, find_key
from meshtrail.verify.rendering import check_rendering
from meshtrail.verify.untrusted import read_beginning, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.note import ProvenEntry, VerifierKey

_ZIP: Final = b"PK\x03\x04"
_PROOF: Final = b"c2sp.org/tlog-proof@"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEntry:
    """One entry that is proven, and what its header says."""

    leaf_index: int
    leaf_hash: bytes
    entry_bytes: int
    header: EntryHeader

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return {
            "log_index": self.leaf_index,
            "received_time": self.header.received_ns,
            "stream": self.header.stream,
            "seq": self.header.seq,
            "entry_bytes": self.entry_bytes,
            "leaf_hash": self.leaf_hash.hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a proof or bundle has shown.

    Attributes:
        kind: ``proof`` or ``bundle``.
        notes: what a reader should know besides.
    """

    kind: str
    checkpoint: Checkpoint
    trusted: TrustedKey
    entries: tuple[CheckedEntry, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return {
            "proven": True,
            "kind": self.kind,
            "origin": self.checkpoint.origin,
            "tree_size": self.checkpoint.tree_size,
            "root_hash": self.checkpoint.root_hash.hex(),
            **self.trusted.as_json(),
            "entries": [entry.as_json() for entry in self.entries],
            "notes": list(self.notes),
        }

    def render(self) -> str:
        """Some lines for people; ends in a newline."""
        lines = [
            f"log {self.checkpoint.origin}, {self.checkpoint.tree_size} entries",
            f"root {self.checkpoint.root_hash.hex()}",
            *(
                f"entry {entry.leaf_index}: received {entry.header.received_ns} ns, "
                f"stream {entry.header.stream}, seq {entry.header.seq}, "
                f"{entry.entry_bytes} bytes, leaf hash {entry.leaf_hash.hex()}"
                for entry in self.entries
            ),
            *(f"note {note}" for note in self.notes),
            self.trusted.render(),
            f"PROVEN: {len(self.entries)} entries are in the log",
        ]
        return "".join(f"{line}\n" for line in lines)


def check_file(
    path: Path,
    *,
    key_option: str | None,
    pins_file: Path,
    is_pin_required: bool = False,
    entry: Path | None = None,
) -> CheckReport:
    """Check a ``.tlog-proof`` or a case bundle; which of them it is, its bytes say.

    Args:
        path: the file; anyone may have made it.
        key_option: a verifier key, or a file that holds one.
        pins_file: where a key may be pinned; it is never written.
        is_pin_required: whether a key that only the bundle names is refused.
        entry: the entry of a proof; else ``<index>.entry`` beside ``<index>.tlog-proof``.

    Raises:
        InputError: it is not in the one form that there is.
        SignatureError, InclusionError, EventError: it does not show what it claims.
        ConfigError: no key to check with, or none from outside though one is required.
    """
    try:
        beginning = read_beginning(path, name=str(path), length=len(_PROOF))
    except MissingFileError as error:
        raise BundleError(error.message, path=path) from error
    if beginning.startswith(_ZIP):
        contents = read_bundle(path)
        return _check_bundle(
            contents, key_option=key_option, pins_file=pins_file, is_pin_required=is_pin_required
        )
    if beginning != _PROOF:
        raise BundleError(f"{path} is neither a .tlog-proof file nor a case bundle", path=path)
    entry = entry or path.with_suffix(".entry")
    try:
        proof_data = read_bounded(path, name=str(path), bytes_max=PROOF_BYTES_MAX)
        entry_data = read_bounded(entry, name=str(entry), bytes_max=ENTRY_BYTES_MAX)
    except MissingFileError as error:
        raise BundleError(f"{error.message}: a proof is about an entry", path=entry) from error
    return _check_proof(
        proof_data,
        entry_data,
        key_option=key_option,
        pins_file=pins_file,
        is_pin_required=is_pin_required,
    )


def _check_proof(
    proof_data: bytes,
    entry: bytes,
    *,
    key_option: str | None,
    pins_file: Path,
    is_pin_required: bool,
) -> CheckReport:
    claim = parse_checkpoint(parse_note(parse_proof(proof_data).checkpoint_note).text)
    trusted = find_key(
        origin=claim.origin,
        claimed=None,
        key_option=key_option,
        pins_file=pins_file,
        is_pin_required=is_pin_required,
    )
    proven = open_proof(proof_data, entry=entry, verifier=trusted.verifier)
    return CheckReport(
        kind="proof",
        checkpoint=proven.checkpoint,
        trusted=trusted,
        entries=(_checked(proven, entry),),
    )


def _check_bundle(
    contents: BundleContents,
    *,
    key_option: str | None,
    pins_file: Path,
    is_pin_required: bool,
) -> CheckReport:
    # The plan, each step on what the one before has established:
    # (1) the key: from outside, or else the one that the bundle names;
    # (2) the checkpoint: that key signed it;
    # (3) each entry's bytes lead to its root, by the proof of that index and with that checkpoint;
    # (4) the rendering says what the headers of these entries say.
    files = contents.files
    claimed = _claimed_key(files[KEY])
    trusted = find_key(
        origin=claimed.name,
        claimed=claimed,
        key_option=key_option,
        pins_file=pins_file,
        is_pin_required=is_pin_required,
    )
    note = files[CHECKPOINT]
    checkpoint = open_checkpoint(note, trusted.verifier, origin=trusted.verifier.name)
    entries = tuple(
        _check_entry(contents, index, note=note, verifier=trusted.verifier)
        for index in sorted(contents.entries)
    )
    headers = {entry.leaf_index: entry.header for entry in entries}
    check_rendering(files[EVENTS], headers, origin=checkpoint.origin)
    notes = ["events.jsonl was compared with the entries' headers only: it is no evidence"]
    ours = {
        README: format_readme(len(entries), checkpoint=checkpoint, trusted=trusted),
        CHECKER: checker_source(),
    }
    notes += [
        f"{name} is not the one that this meshtrail writes"
        for name, data in ours.items()
        if files[name] != data
    ]
    return CheckReport(
        kind="bundle",
        checkpoint=checkpoint,
        trusted=trusted,
        entries=entries,
        notes=tuple(notes),
    )


def _claimed_key(data: bytes) -> VerifierKey:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise BundleError(f"{KEY} is no verifier key: {error}") from error
    return parse_vkey(text.removesuffix("\n"))


def _check_entry(
    contents: BundleContents, index: int, *, note: bytes, verifier: VerifierKey
) -> CheckedEntry:
    entry, proof_data = contents.entries[index], contents.proofs[index]
    proof = parse_proof(proof_data)
    if proof.extra is not None:
        raise BundleError(f"the proof of entry {index} has an extra line; in a bundle none has")
    if (proof.leaf_index, proof.checkpoint_note) != (index, note):
        raise InclusionError(
            f"the proof of entry {index} is of entry {proof.leaf_index} or another checkpoint",
            leaf_index=index,
            got=proof.leaf_index,
        )
    return _checked(open_proof(proof_data, entry=entry, verifier=verifier), entry)


def _checked(proven: ProvenEntry, entry: bytes) -> CheckedEntry:
    return CheckedEntry(
        leaf_index=proven.leaf_index,
        leaf_hash=proven.leaf_hash,
        entry_bytes=len(entry),
        header=decode_header(entry),
    )


__all__ = ["CheckReport", "CheckedEntry", "check_file"]
