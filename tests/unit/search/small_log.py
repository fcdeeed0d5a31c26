"""A log on disk with events that a test chose: real files and signatures, no sealer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from meshtrail.merkle import Frontier, hash_leaves
from meshtrail.model.entry import EntryHeader, EntryType, PayloadFormat
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.note import (
    SignerKey,
    UnverifiedCheckpoint,
    format_vkey,
    generate_signer,
    sign_checkpoint,
)
from meshtrail.search.catalogue import Catalogue, open_catalogue
from meshtrail.store.checkpoint_files import append_checkpoint, publish_checkpoint
from meshtrail.store.durable import Disk, DurableWriter, write_file
from meshtrail.store.layout import (
    Format,
    Layout,
    RangeFile,
    create_layout,
    segment_file,
    tiles_file,
)
from meshtrail.store.manifest import CommittedFile, Manifest
from meshtrail.store.manifest_files import write_manifest
from meshtrail.store.segment import write_segment
from meshtrail.store.tiles import encode_tiles
from meshtrail.units import TreeSize, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ORIGIN = "prod/east/1f2e3d4c"
FIRST_NS = 1_763_712_000_000_000_000
STEP_NS = 1_000_000_000


@dataclass
class SmallLog:
    """A data directory and the key of its log."""

    layout: Layout
    signer: SignerKey
    manifests_count: int = 0
    previous: bytes | None = None

    def __post_init__(self) -> None:
        self.frontier = Frontier()
        self.disk = Disk()

    @property
    def tree_size(self) -> int:
        return self.frontier.size

    def add_segment(self, events: Sequence[dict[str, Any]], *, is_published: bool = True) -> Path:
        """Seal events as one segment, a second apart; columns that are not given are null."""
        start = self.tree_size
        named = segment_file(start, start + len(events))
        rows = [complete(event, start + at) for at, event in enumerate(events)]
        with DurableWriter(self.disk, self.layout.root / named.path) as sink:
            table = pa.Table.from_pylist(rows, schema=SEGMENT_SCHEMA)
            write_segment(sink, [table], len(rows))
            segment = CommittedFile(named, *sink.commit())
        tiles = self._write_tiles([row["entry"] for row in rows], start)
        self._write_manifest([segment, tiles], rows[-1]["received_time"])
        if is_published:
            self.publish()
        return self.layout.root / named.path

    def publish(self) -> None:
        """Sign the checkpoint of all entries, and put it where readers look."""
        head = UnverifiedCheckpoint(
            origin=ORIGIN, tree_size=TreeSize(self.tree_size), root_hash=self.frontier.root()
        )
        note = sign_checkpoint(head, self.signer)
        append_checkpoint(self.disk, self.layout, note, signed_ns=UnixNanos(FIRST_NS))
        publish_checkpoint(self.disk, self.layout, note)

    def catalogue(self) -> Catalogue:
        return open_catalogue(self.layout, self.signer.verifier, origin=ORIGIN)

    def _write_tiles(self, entries: list[bytes], start: int) -> CommittedFile:
        hashes = hash_leaves(entries)
        completed = self.frontier.extend(hashes)
        named: RangeFile = tiles_file(start, start + len(entries))
        path = self.layout.root / named.path
        return CommittedFile(named, *write_file(self.disk, path, encode_tiles(hashes, completed)))

    def _write_manifest(self, files: list[CommittedFile], time_ns: int) -> None:
        manifest = Manifest(
            origin=ORIGIN,
            number=self.manifests_count,
            previous=self.previous,
            time_ns=UnixNanos(time_ns),
            tree_size=TreeSize(self.tree_size),
            root_hash=self.frontier.root(),
            reasons=("tick",),
            is_snapshot=self.manifests_count == 0,
            journals=(),
            dropped=(),
            files=tuple(files),
        )
        self.previous = write_manifest(self.disk, self.layout, manifest, self.signer)
        self.manifests_count += 1


def make_log(root: Path, signer: SignerKey | None = None) -> SmallLog:
    """An empty log."""
    signer = signer or generate_signer(ORIGIN)
    layout = Layout(root)
    create_layout(Disk(), layout, Format(ORIGIN, format_vkey(signer.verifier)))
    return SmallLog(layout, signer)


def complete(event: dict[str, Any], index: int) -> dict[str, Any]:
    """A whole row: what the test said, and what every event has."""
    received = FIRST_NS + index * STEP_NS
    header = EntryHeader(
        entry_type=EntryType.RECORD,
        payload_format=PayloadFormat.ALS_HTTP,
        received_ns=UnixNanos(received),
        stream=7,
        seq=index,
    )
    return {
        "log": ORIGIN,
        "log_index": index,
        "kind": "request",
        "received_time": received,
        "source": "envoy-als",
        "stream": 7,
        "seq": index,
        "payload_format": "als-http",
        "mapper_version": 2,
        "is_duplicate": False,
        "entry": header.encode() + b"payload %d" % index,
        **event,
    }
