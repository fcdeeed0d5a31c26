"""Small logs for tests, written by store, merkle and note: no journal, no sealer, no clock."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from envoy.data.accesslog.v3 import accesslog_pb2

from meshtrail.merkle import Frontier, hash_leaves
from meshtrail.model.entry import (
    PAYLOAD_BYTES_MAX,
    EntryFlags,
    EntryHeader,
    EntryType,
    PayloadFormat,
    prefix_payload,
)
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.note import SignerKey, UnverifiedCheckpoint, format_vkey, sign_checkpoint
from meshtrail.note.keys import _make_signer
from meshtrail.sources.derive import derive_events
from meshtrail.sources.streams import Streams
from meshtrail.store.checkpoint_files import append_checkpoint, publish_checkpoint
from meshtrail.store.durable import Disk, DurableWriter, append_file, write_file
from meshtrail.store.layout import (
    Format,
    Layout,
    RangeFile,
    create_layout,
    segment_file,
    tiles_file,
)
from meshtrail.store.manifest import (
    SNAPSHOT_EVERY,
    CommittedFile,
    JournalPosition,
    LiveFiles,
    Manifest,
)
from meshtrail.store.manifest_files import write_manifest
from meshtrail.store.segment import read_segment, write_segment
from meshtrail.store.tiles import encode_tiles, merge_tiles
from meshtrail.units import LeafIndex, TreeSize, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ORIGIN = "test/one/0a1b2c3d"
FIRST_NS = 1_700_000_000_000_000_000


def make_signer(name: str = ORIGIN, *, seed: int = 1) -> SignerKey:
    """The same key for the same seed."""
    return _make_signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def http_record(number: int, **request: str) -> bytes:
    """The bytes of one HTTP access log record."""
    entry = accesslog_pb2.HTTPAccessLogEntry()
    entry.common_properties.upstream_cluster = f"cluster-{number % 3}"
    entry.common_properties.start_time.FromNanoseconds(FIRST_NS + number)
    entry.request.path = f"/orders/{number}?page={number % 7}"
    entry.request.authority = "shop.example"
    entry.request.request_id = f"00000000-0000-4000-8000-{number:012x}"
    entry.response.response_code.value = 200 if number % 5 else 403
    for name, value in request.items():
        setattr(entry.request, name, value)
    data: bytes = entry.SerializeToString()
    return data


@dataclass
class EntryWriter:
    """Entries of several streams, in order of arrival."""

    now_ns: int = FIRST_NS
    next_seq: dict[int, int] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)

    def opened(self, stream: int, *, node_id: str = "sidecar", identifier: bytes = b"") -> bytes:
        """A stream-opened entry; its identifier becomes a blob."""
        facts: dict[str, Any] = {
            "auth": "none",
            "authenticated": {"certificate_sha256": None, "spiffe_id": None},
            "claimed": {"log_name": "otel", "node_cluster": "shop", "node_id": node_id},
            "transport": "grpc",
        }
        facts["identifier_sha256"] = self._blob(identifier).hex() if identifier else None
        facts["identifier_bytes"] = len(identifier) if identifier else None
        return self._own(stream, EntryType.STREAM_OPENED, facts)

    def closed(self, stream: int) -> bytes:
        """A stream-closed entry."""
        records = self.next_seq[stream] - 1
        facts = {"detail": None, "frames": 1, "reason": "ended", "records": records}
        return self._own(stream, EntryType.STREAM_CLOSED, facts)

    def record(self, stream: int, payload: bytes) -> bytes:
        """A record; one that is too long becomes a blob and a prefix."""
        flags = EntryFlags(0)
        if len(payload) > PAYLOAD_BYTES_MAX:
            self._blob(payload)
            payload, flags = prefix_payload(payload), EntryFlags.PREFIX
        return self._entry(stream, EntryType.RECORD, PayloadFormat.ALS_HTTP, payload, flags)

    def _own(self, stream: int, kind: EntryType, facts: dict[str, Any]) -> bytes:
        payload = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        return self._entry(stream, kind, PayloadFormat.MESHTRAIL_JSON, payload, EntryFlags(0))

    def _entry(
        self,
        stream: int,
        kind: EntryType,
        payload_format: PayloadFormat,
        payload: bytes,
        flags: EntryFlags,
    ) -> bytes:
        seq = self.next_seq.get(stream, 0)
        self.next_seq[stream] = seq + 1
        self.now_ns += 1_000_000
        header = EntryHeader(
            entry_type=kind,
            payload_format=payload_format,
            flags=flags,
            received_ns=UnixNanos(self.now_ns),
            stream=stream,
            seq=seq,
        )
        return header.encode() + payload

    def _blob(self, whole: bytes) -> bytes:
        sha256 = hashlib.sha256(whole).digest()
        self.blobs[sha256] = whole
        return sha256


def received_ns(entry: bytes) -> int:
    """When an entry says it arrived."""
    return int.from_bytes(entry[8:16], "big")


class LogBuilder:
    """A data directory, one commit at a time, with every step where a test may want to stop."""

    def __init__(
        self, root: Path, *, signer: SignerKey | None = None, lock_record: Path | None = None
    ) -> None:
        self.signer = signer or make_signer()
        self.origin = self.signer.name
        self.layout = Layout(root)
        self.disk = Disk()
        self.lock_record = lock_record
        self.frontier = Frontier()
        self.streams = Streams()
        self.live = LiveFiles()
        self.entries: list[bytes] = []
        self.number = 0
        self.previous: bytes | None = None
        self.offset = 0
        described = Format(origin=self.origin, key=format_vkey(self.signer.verifier))
        create_layout(self.disk, self.layout, described)
        self.commit_manifest((), (), reasons=("start",))
        self.sign()

    def moved_to(self, root: Path) -> LogBuilder:
        """The same state over a copy of the directory."""
        moved = copy.copy(self)
        moved.layout = Layout(root)
        moved.frontier = self.frontier.copy()
        moved.streams = self.streams.copy()
        moved.live = LiveFiles(self.live.by_name.values())
        moved.entries = list(self.entries)
        return moved

    def seal(self, entries: Sequence[bytes], *, blobs: dict[bytes, bytes] | None = None) -> None:
        """One tick: files, manifest, checkpoint, published."""
        files = self.write_files(entries, blobs=blobs or {})
        self.commit_manifest(files, ())
        self.sign()

    def write_files(
        self, entries: Sequence[bytes], *, blobs: dict[bytes, bytes]
    ) -> tuple[CommittedFile, ...]:
        """Blobs, segment and tiles of a tick."""
        for sha256, whole in blobs.items():
            write_file(self.disk, self.layout.blob(sha256), whole)
        start = self.frontier.size
        end = start + len(entries)
        column = pa.array(entries, pa.binary())
        events = derive_events(
            column,
            log=self.origin,
            start=LeafIndex(start),
            streams=self.streams,
            read_blob=lambda sha256: self.layout.blob(sha256).read_bytes(),
        )
        table = events.append_column(SEGMENT_SCHEMA.field("entry"), column)
        leaf_hashes = hash_leaves(entries)
        data = encode_tiles(leaf_hashes, self.frontier.extend(leaf_hashes))
        self.entries += entries
        return (
            self.write_segment(segment_file(start, end), table),
            self.write_tiles(tiles_file(start, end), data),
        )

    def write_segment(self, named: RangeFile, table: pa.Table) -> CommittedFile:
        """Write a segment and say what the manifest has to name."""
        path = self.layout.root / named.path
        with DurableWriter(self.disk, path) as writer:
            write_segment(writer, [table], table.num_rows)
            return CommittedFile(named, *writer.commit())

    def write_tiles(self, named: RangeFile, data: bytes) -> CommittedFile:
        """Write a tiles file and say what the manifest has to name."""
        return CommittedFile(named, *write_file(self.disk, self.layout.root / named.path, data))

    def commit_manifest(
        self,
        files: Sequence[CommittedFile],
        dropped: Sequence[RangeFile],
        *,
        reasons: tuple[str, ...] = ("tick",),
        **changes: object,
    ) -> None:
        """Write the next manifest; ``changes`` are fields that a test wants otherwise."""
        self.offset += 100
        facts: dict[str, Any] = {
            "origin": self.origin,
            "number": self.number,
            "previous": self.previous,
            "time_ns": UnixNanos(received_ns(self.entries[-1]) if self.entries else 0),
            "tree_size": TreeSize(self.frontier.size),
            "root_hash": self.frontier.root(),
            "reasons": reasons,
            "is_snapshot": False,
            "journals": (JournalPosition("collect", 1, self.offset),),
            "dropped": tuple(dropped),
            "files": tuple(files),
        }
        manifest = Manifest(**{**facts, **changes})
        self.live.apply(manifest)
        if manifest.number % SNAPSHOT_EVERY == 0 or "start" in reasons:
            whole = tuple(self.live.by_name.values())
            manifest = replace(manifest, is_snapshot=True, dropped=(), files=whole)
        self.previous = write_manifest(self.disk, self.layout, manifest, self.signer)
        self.number += 1

    def checkpoint(self) -> bytes:
        """The signed checkpoint of the tree as it is."""
        head = UnverifiedCheckpoint(
            origin=self.origin,
            tree_size=TreeSize(self.frontier.size),
            root_hash=self.frontier.root(),
        )
        return sign_checkpoint(head, self.signer)

    def sign(self) -> None:
        """Append the checkpoint to the lock record and the day file, and publish it."""
        note = self.checkpoint()
        if self.lock_record is not None:
            append_file(self.disk, self.lock_record, note)
        append_checkpoint(self.disk, self.layout, note, signed_ns=UnixNanos(FIRST_NS))
        publish_checkpoint(self.disk, self.layout, note)

    def merge(self, count: int, *, is_removing: bool = False) -> None:
        """Merge the last ``count`` segments into one, as the sealer does."""
        segments = [file.named for file in self.live.folder("segments")][-count:]
        tiles = [file.named for file in self.live.folder("tiles")][-count:]
        start, end = segments[0].start, segments[-1].end
        tables = [read_segment(self.layout.root / named.path) for named in segments]
        parts = [(named, (self.layout.root / named.path).read_bytes()) for named in tiles]
        table = pa.concat_tables(tables).cast(SEGMENT_SCHEMA)
        files = (
            self.write_segment(segment_file(start, end), table),
            self.write_tiles(tiles_file(start, end), merge_tiles(parts)),
        )
        self.commit_manifest(files, (*segments, *tiles), reasons=("merge",))
        if is_removing:
            for named in (*segments, *tiles):
                (self.layout.root / named.path).unlink()


def build_small_log(
    root: Path, *, signer: SignerKey | None = None, lock_record: Path | None = None
) -> LogBuilder:
    """A log with everything in it: streams, identifiers, a large record, a merge, several ticks."""
    builder = LogBuilder(root, signer=signer, lock_record=lock_record)
    writer = EntryWriter()
    first = [
        writer.opened(11, identifier=b"identifier of the first sender"),
        *(writer.record(11, http_record(number)) for number in range(4)),
        writer.opened(22, node_id="gateway"),
    ]
    builder.seal(first, blobs=writer.blobs)
    builder.seal([writer.record(11 + 11 * (n % 2), http_record(n)) for n in range(4, 9)])
    builder.merge(2)
    writer.blobs = {}
    large = writer.record(22, http_record(9, path="/" + "x" * 70_000))
    builder.seal([large, writer.closed(11)], blobs=writer.blobs)
    builder.seal([writer.record(22, http_record(number)) for number in range(10, 13)])
    return builder
