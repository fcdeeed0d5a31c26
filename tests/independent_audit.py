"""An audit that uses nothing of the code that it judges but the key and the entry's constants.

Reads a data directory with pyarrow, hashlib and text splitting, rebuilds the tree by RFC 6962, and
says what the log holds. Slower and simpler than `meshtrail verify`, and not derived from it.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from meshtrail.model.entry import PAYLOAD_BYTES_MAX, EntryFlags, EntryType
from meshtrail.note import decode_base64, open_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from meshtrail.note import VerifierKey
    from tests.known_load import MadeEntry

HEADER = struct.Struct(">BBHHHqqq")


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry of the log, taken apart."""

    entry_type: int
    payload_format: int
    flags: int
    received_ns: int
    stream: int
    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class FoundLog:
    """What a data directory holds.

    Attributes:
        entries: by leaf index.
        roots: of each tree size from 0 to all entries.
        heads: (size, root) of every signed checkpoint that lies in the directory.
        published: (size, root) of the published one.
    """

    root: Path
    entries: list[FoundEntry]
    roots: list[bytes]
    heads: list[tuple[int, bytes]]
    published: tuple[int, bytes]

    def streams(self) -> dict[int, list[FoundEntry]]:
        """The entries of each stream in the order of the log."""
        streams = defaultdict(list)
        for entry in self.entries:
            streams[entry.stream].append(entry)
        return streams


def read_log(root: Path, verifier: VerifierKey) -> FoundLog:
    """Read a directory and check all that it says of itself."""
    files = newest_files(root)
    entries: list[bytes] = []
    hashes: list[bytes] = []
    for path in files:
        data = (root / path).read_bytes()
        assert (len(data), hashlib.sha256(data).digest()) == files[path], path
        start, end = (int(part) for part in path.partition("/")[2].partition(".")[0].split("-"))
        if path.startswith("segments/"):
            assert start == len(entries), path
            entries += pq.read_table(root / path, columns=["entry"]).column(0).to_pylist()
            assert end == len(entries), path
        else:
            assert start == len(hashes), path
            hashes += [data[at * 32 : at * 32 + 32] for at in range(end - start)]
    assert hashes == [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    heads = [head_of(note, verifier) for note in all_notes(root)]
    published = head_of((root / "published/checkpoint").read_bytes(), verifier)
    return FoundLog(
        root, [take_apart(entry) for entry in entries], roots_of(hashes), heads, published
    )


def newest_files(root: Path) -> dict[str, tuple[int, bytes]]:
    """The live files of the newest manifest: length and digest by path, in order."""
    live: dict[str, tuple[int, bytes]] = {}
    folder = root / "manifest"
    for path in sorted(path for path in folder.iterdir() if path.name.isdecimal()):
        lines = path.read_text(encoding="utf-8").split("\n\n")[0].split("\n")
        if "kind snapshot" in lines:
            live = {}
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "drop":
                live.pop(rest, None)
            elif word == "file":
                name, length, digest = rest.split(" ")
                live[name] = int(length), decode_base64(digest)
    return dict(sorted(live.items()))


def all_notes(root: Path) -> list[bytes]:
    """Every signed checkpoint of the day files, in order."""
    notes = []
    for day in sorted((root / "checkpoints").iterdir()):
        lines = day.read_bytes().split(b"\n")
        assert lines.pop() == b"", f"{day} ends within a line"
        # Origin, size, root, an empty line, one signature.
        assert len(lines) % 5 == 0, day
        notes += [b"\n".join(lines[at : at + 5]) + b"\n" for at in range(0, len(lines), 5)]
    return notes


def head_of(note: bytes, verifier: VerifierKey) -> tuple[int, bytes]:
    """Size and root of a checkpoint that the log's key signed."""
    head = open_checkpoint(note, verifier, origin=verifier.name)
    return head.tree_size, head.root_hash


def roots_of(leaf_hashes: Iterable[bytes]) -> list[bytes]:
    """MTH of every beginning of the leaves: perfect subtrees joined as soon as two are equal."""
    edge: list[tuple[int, bytes]] = []
    roots = [hashlib.sha256(b"").digest()]
    for leaf in leaf_hashes:
        edge.append((1, leaf))
        while len(edge) > 1 and edge[-1][0] == edge[-2][0]:
            (size, right), (_, left) = edge.pop(), edge.pop()
            edge.append((2 * size, hashlib.sha256(b"\1" + left + right).digest()))
        root = edge[-1][1]
        for _, left in reversed(edge[:-1]):
            root = hashlib.sha256(b"\1" + left + root).digest()
        roots.append(root)
    return roots


def take_apart(entry: bytes) -> FoundEntry:
    """Read an entry's header by its specification."""
    version, kind, payload_format, flags, reserved, *places = HEADER.unpack_from(entry)
    assert (version, reserved) == (1, 0)
    received_ns, stream, seq = places
    return FoundEntry(kind, payload_format, flags, received_ns, stream, seq, entry[HEADER.size :])


def check_heads(log: FoundLog, signed: Iterable[tuple[int, bytes]] = ()) -> None:
    """Return when every checkpoint ever signed is a state of this log.

    Two heads that are both states of one log are consistent with each other.
    """
    for size, root in [*log.heads, *signed, log.published]:
        assert size < len(log.roots), f"a checkpoint of {size} is ahead of the log"
        assert log.roots[size] == root, f"the checkpoint of size {size} is of another history"
    sizes = [size for size, _ in log.heads]
    assert sizes == sorted(sizes)
    assert log.published in log.heads
    assert set(signed) <= set(log.heads)


def check_entries(
    log: FoundLog, made: Mapping[int, list[MadeEntry]], durable: Mapping[int, int]
) -> None:
    """Return when the log holds each stream's entries exactly once, in order, and all durable ones.

    Args:
        log: what was found.
        made: what each stream's entries have to be.
        durable: how many of them at least have to be there.
    """
    times = [entry.received_ns for entry in log.entries]
    assert times == sorted(times)
    streams = log.streams()
    assert streams.keys() <= made.keys()
    for stream, entries in streams.items():
        assert [entry.seq for entry in entries] == list(range(len(entries))), stream
        for entry, wanted in zip(entries, made[stream], strict=False):
            check_entry(log.root, entry, wanted)
        assert len(entries) <= len(made[stream]), stream
    for stream, count in durable.items():
        found = len(streams.get(stream, []))
        assert found >= count, f"stream {stream}: {count} entries were durable, {found} are sealed"


def check_entry(root: Path, entry: FoundEntry, wanted: MadeEntry) -> None:
    """Return when an entry says what it has to, its time left out."""
    flags, payload = wanted.flags, wanted.payload
    if len(payload) > PAYLOAD_BYTES_MAX:
        digest = hashlib.sha256(payload).digest()
        assert (root / "blobs" / digest.hex()).read_bytes() == payload
        head = digest + struct.pack(">Q", len(payload))
        flags |= EntryFlags.PREFIX
        payload = (head + payload)[:PAYLOAD_BYTES_MAX]
    assert entry.payload == payload
    assert (EntryType(entry.entry_type), entry.payload_format, entry.flags) == (
        wanted.entry_type,
        wanted.payload_format,
        flags,
    )
