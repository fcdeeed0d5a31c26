"""Attacks on a case bundle: what is done to its files, and what each of the two checkers says.

The docstring of each is its line in docs/tamper-catalogue.md.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from meshtrail.note import format_vkey, parse_proof, sign_note
from meshtrail.note.tlog_proof import UnverifiedProof, format_proof
from tests.faults.tamper.forgery import sign_head
from tests.faults.tamper.scene import THIEF
from tests.log_builder import make_signer

if TYPE_CHECKING:
    from collections.abc import Callable

Files: TypeAlias = dict[str, bytes]
Members: TypeAlias = list[tuple[str, bytes]]

CHOSEN: Final = (0, 4, 12)
"""The entries that the attacked bundle holds."""
NOT_PROVEN: Final = 3
MALFORMED: Final = 65
PROVEN: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleAttack:
    """One way to spoil a bundle.

    Attributes:
        check: the error of ``meshtrail check``; empty when it lies outside the promise.
        status: the exit status of the checker in the bundle.
        pinned: whether the true key is given to the checkers.
    """

    what: str
    check: str
    status: int
    pinned: bool
    run: Callable[[Files], Members]

    @property
    def name(self) -> str:
        """The function that does it."""
        return self.run.__name__


BUNDLE_ATTACKS: list[BundleAttack] = []


def attack(
    check: str, status: int, *, pinned: bool = False
) -> Callable[[Callable[[Files], Members]], Callable[[Files], Members]]:
    """Write an attack down with what it has to end in."""

    def add(run: Callable[[Files], Members]) -> Callable[[Files], Members]:
        what = (run.__doc__ or "").partition("\n")[0].rstrip(".")
        BUNDLE_ATTACKS.append(
            BundleAttack(what=what, check=check, status=status, pinned=pinned, run=run)
        )
        return run

    return add


def pack_members(members: Members) -> bytes:
    """A zip of some files, also of two with one name."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def changed(files: Files, **others: bytes) -> Members:
    """The files with some replaced; ``events__jsonl`` is events.jsonl."""
    named = {name.replace("__", "."): data for name, data in others.items()}
    return list((files | named).items())


def replaced(files: Files, name: str, data: bytes) -> Members:
    """The files with one replaced, or one more."""
    return list((files | {name: data}).items())


def edit_event(files: Files, row: int, column: str, value: object) -> Members:
    """The files with one value of one line of events.jsonl changed."""
    lines = files["events.jsonl"].splitlines(keepends=True)
    event = json.loads(lines[row]) | {column: value}
    lines[row] = json.dumps(event).encode() + b"\n"
    return replaced(files, "events.jsonl", b"".join(lines))


@attack("InclusionError", NOT_PROVEN)
def change_the_entry(files: Files) -> Members:
    """One bit of an entry is changed."""
    entry = files["entries/4.entry"]
    return replaced(files, "entries/4.entry", entry[:-1] + bytes([entry[-1] ^ 1]))


@attack("InclusionError", NOT_PROVEN)
def swap_entries(files: Files) -> Members:
    """Two entries change places."""
    first, second = files["entries/0.entry"], files["entries/4.entry"]
    return list((files | {"entries/0.entry": second, "entries/4.entry": first}).items())


@attack("InclusionError", NOT_PROVEN)
def use_the_proof_of_another_entry(files: Files) -> Members:
    """An entry comes with the proof of another index."""
    return replaced(files, "proofs/4.tlog-proof", files["proofs/0.tlog-proof"])


@attack("InclusionError", NOT_PROVEN)
def rename_the_index_of_a_proof(files: Files) -> Members:
    """A proof says another index than it was made for."""
    data = files["proofs/4.tlog-proof"].replace(b"\nindex 4\n", b"\nindex 5\n")
    return replaced(files, "proofs/4.tlog-proof", data)


@attack("InclusionError", NOT_PROVEN)
def drop_a_hash(files: Files) -> Members:
    """A hash is taken out of a proof."""
    proof = parse_proof(files["proofs/4.tlog-proof"])
    shorter = UnverifiedProof(
        leaf_index=proof.leaf_index,
        hashes=proof.hashes[1:],
        checkpoint_note=proof.checkpoint_note,
    )
    return replaced(files, "proofs/4.tlog-proof", format_proof(shorter))


@attack("BundleError", MALFORMED)
def add_an_extra_line(files: Files) -> Members:
    """A proof carries a line that nothing vouches for."""
    proof = parse_proof(files["proofs/4.tlog-proof"])
    extra = UnverifiedProof(
        leaf_index=proof.leaf_index,
        hashes=proof.hashes,
        checkpoint_note=proof.checkpoint_note,
        extra=b"trust me",
    )
    return replaced(files, "proofs/4.tlog-proof", format_proof(extra))


@attack("SignatureError", NOT_PROVEN)
def change_the_size(files: Files) -> Members:
    """The tree size is changed, in the checkpoint and in every proof."""
    note = files["checkpoint"]
    forged = note.replace(b"\n16\n", b"\n17\n")
    return [(name, data.replace(note, forged)) for name, data in files.items()]


@attack("SignatureError", NOT_PROVEN)
def use_a_checkpoint_of_another_key(files: Files) -> Members:
    """Every checkpoint is signed by another key under the log's name."""
    note = files["checkpoint"]
    forged = sign_note(note.decode().partition("\n\n")[0] + "\n", [THIEF])
    return [(name, data.replace(note, forged)) for name, data in files.items()]


@attack("SignatureError", NOT_PROVEN, pinned=True)
def name_another_key_too(files: Files) -> Members:
    """Every checkpoint is signed by another key, which the bundle names; the true key is given."""
    vkey = f"{format_vkey(THIEF.verifier)}\n".encode()
    return [
        (name, vkey if name == "log.vkey" else data)
        for name, data in use_a_checkpoint_of_another_key(files)
    ]


@attack("InclusionError", NOT_PROVEN)
def use_another_checkpoint_than_the_proofs(files: Files) -> Members:
    """The checkpoint is another note than the proofs carry: one more key has signed it."""
    other = sign_note(files["checkpoint"].decode().partition("\n\n")[0] + "\n", [THIEF])
    doubled = files["checkpoint"] + other.partition(b"\n\n")[2]
    return replaced(files, "checkpoint", doubled)


@attack("SignatureError", NOT_PROVEN)
def use_a_checkpoint_of_another_log(files: Files) -> Members:
    """The checkpoint, in the proofs too, is of another log."""
    other = make_signer("test/two/0a1b2c3d")
    note, forged = files["checkpoint"], sign_head(other, tree_size=16, root_hash=bytes(32))
    return [(name, data.replace(note, forged)) for name, data in files.items()]


@attack("EventError", NOT_PROVEN)
def edit_the_time(files: Files) -> Members:
    """events.jsonl says another received_time."""
    return edit_event(files, 1, "received_time", 1)


@attack("EventError", NOT_PROVEN)
def edit_the_stream(files: Files) -> Members:
    """events.jsonl says another stream."""
    return edit_event(files, 1, "stream", 12)


@attack("EventError", NOT_PROVEN)
def edit_the_seq(files: Files) -> Members:
    """events.jsonl says another seq."""
    return edit_event(files, 1, "seq", 4.0)


@attack("EventError", NOT_PROVEN)
def edit_the_index(files: Files) -> Members:
    """events.jsonl says another log_index."""
    return edit_event(files, 1, "log_index", 5)


@attack("EventError", NOT_PROVEN)
def drop_a_line(files: Files) -> Members:
    """events.jsonl lacks a line."""
    lines = files["events.jsonl"].splitlines(keepends=True)
    return replaced(files, "events.jsonl", b"".join(lines[1:]))


@attack("EventError", NOT_PROVEN)
def repeat_a_line(files: Files) -> Members:
    """events.jsonl has a line twice."""
    lines = files["events.jsonl"].splitlines(keepends=True)
    return replaced(files, "events.jsonl", b"".join([lines[0], *lines]))


@attack("BundleError", MALFORMED)
def name_a_column_twice(files: Files) -> Members:
    """A line of events.jsonl names a column twice, which programs read differently."""
    data = files["events.jsonl"].replace(b"{", b'{"seq": 7, ', 1)
    return replaced(files, "events.jsonl", data)


@attack("BundleError", MALFORMED)
def remove_the_checkpoint(files: Files) -> Members:
    """The checkpoint is not there."""
    return [(name, data) for name, data in files.items() if name != "checkpoint"]


@attack("BundleError", NOT_PROVEN)
def remove_a_proof(files: Files) -> Members:
    """An entry comes without its proof."""
    return [(name, data) for name, data in files.items() if name != "proofs/4.tlog-proof"]


@attack("BundleError", NOT_PROVEN)
def remove_all_entries(files: Files) -> Members:
    """No entry and no proof is there."""
    folders = ("entries/", "proofs/")
    return [(name, data) for name, data in files.items() if not name.startswith(folders)]


@attack("BundleError", MALFORMED)
def add_a_file(files: Files) -> Members:
    """There is one more file."""
    return replaced(files, "entries/README", b"read this first")


@attack("BundleError", MALFORMED)
def add_a_file_outside(files: Files) -> Members:
    """A file would be unpacked outside the bundle's folder."""
    return replaced(files, "../check.py", b"print('PROVEN')\n")


@attack("BundleError", MALFORMED)
def add_an_absolute_file(files: Files) -> Members:
    """A file has an absolute name."""
    return replaced(files, "/tmp/check.py", b"print('PROVEN')\n")


@attack("BundleError", MALFORMED)
def add_an_entry_twice(files: Files) -> Members:
    """Two files have one name, so that two programs may read different ones."""
    return [*files.items(), ("entries/4.entry", files["entries/0.entry"])]


@attack("BundleError", MALFORMED)
def spell_an_index_otherwise(files: Files) -> Members:
    """An index is spelt with a zero in front."""
    return [(name.replace("/4.", "/04."), data) for name, data in files.items()]


@attack("BundleError", MALFORMED)
def make_an_entry_too_large(files: Files) -> Members:
    """An entry has more bytes than any entry."""
    return replaced(files, "entries/4.entry", bytes(70_000))


@attack("", PROVEN)
def edit_the_readme(files: Files) -> Members:
    """README.txt says something else; `check` notes that it is not its own."""
    return replaced(files, "README.txt", b"All of this is true.\n")


@attack("", PROVEN)
def edit_the_checker(files: Files) -> Members:
    """check.py is another program; `check` notes that it is not its own."""
    return replaced(files, "check.py", b"print('PROVEN')\n")


@attack("", PROVEN)
def edit_a_reading_column(files: Files) -> Members:
    """A column of events.jsonl that is not in the header says something else."""
    return edit_event(files, 1, "url_path", "/harmless")
