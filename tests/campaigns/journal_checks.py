"""What holds for every journal and for the entries made of it, whatever was sent."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from meshtrail.journal import NO_ENTRIES, Framing
from meshtrail.model.entry import (
    HEADER_BYTES,
    EntryFlags,
    EntryType,
    PayloadFormat,
    decode_header,
    decode_prefix,
)
from meshtrail.sources.als_frame import slice_frame
from meshtrail.sources.derive import derive_events
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex
from tests.otlp_exports import payloads_of, read_resources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.journal import JournalSlice
    from meshtrail.log.intake import EntryBatch


Rows = list[tuple[Any, bytes]]
"""Rows of a journal, each with its frame."""


def check_streams(slices: Sequence[JournalSlice]) -> tuple[list[dict[str, Any]], list[Rows]]:
    """Every stream opened, without holes, closed with its totals.

    Returns:
        Faults, and the rows of each stream.
    """
    faults: list[dict[str, Any]] = []
    streams: dict[int, Rows] = {}
    for part in slices:
        for index, row in enumerate(part.rows):
            if row["framing"] not in NO_ENTRIES:
                streams.setdefault(int(row["stream"]), []).append((row, bytes(part.frame(index))))
    for rows in streams.values():
        seqs = [int(row["first_seq"]) for row, _ in rows]
        counts = [int(row["records_count"]) for row, _ in rows]
        if seqs != [sum(counts[:at]) for at in range(len(rows))]:
            faults.append({"fault": "holes in seq", "seqs": seqs[:50]})
        kinds = [int(row["entry_type"]) for row, _ in rows]
        if kinds[0] != EntryType.STREAM_OPENED or kinds[-1] != EntryType.STREAM_CLOSED:
            faults.append({"fault": "not opened and closed", "kinds": kinds[:50]})
        records = [(row, data) for row, data in rows if row["entry_type"] == EntryType.RECORD]
        closed = json.loads(rows[-1][1])
        totals = (sum(int(row["records_count"]) for row, _ in records), len(records))
        if (closed["records"], closed["frames"]) != totals:
            faults.append({"fault": "wrong totals", "closed": closed, "totals": totals})
    return faults, list(streams.values())


def check_entries(batch: EntryBatch, slices: Sequence[JournalSlice]) -> list[dict[str, Any]]:
    """One entry for each record that was counted, with its exact bytes, and one event for each."""
    want = {}
    for part in slices:
        for index, row in enumerate(part.rows):
            for at, payload in enumerate(_payloads(row, bytes(part.frame(index)))):
                want[int(row["stream"]), int(row["first_seq"]) + at] = payload
    blobs = {hashlib.sha256(blob).digest(): blob for blob in batch.blobs}
    got = {}
    for entry in batch.entries.to_pylist():
        header, payload = decode_header(entry), entry[HEADER_BYTES:]
        if header.flags & EntryFlags.PREFIX:
            payload = blobs[decode_prefix(payload).sha256]
        got[header.stream, header.seq] = payload
    if got != want or len(batch.entries) != len(want):
        wrong = [key for key in got.keys() | want.keys() if got.get(key) != want.get(key)]
        counts = {"got": len(batch.entries), "want": len(want)}
        return [{"fault": "entries", "at": wrong[:5], **counts}]
    events = derive_events(
        batch.entries,
        log="o",
        start=LeafIndex(0),
        streams=Streams(),
        read_blob=blobs.__getitem__,
    )
    keys = zip(events.column("stream").to_pylist(), events.column("seq").to_pylist(), strict=True)
    if set(keys) != want.keys() or events.num_rows != len(want):
        return [{"fault": "events", "got": events.num_rows, "want": len(want)}]
    return []


def _payloads(row: Any, data: bytes) -> list[bytes]:  # noqa: ANN401 - a row of a numpy array
    """The payload of each entry that a journal frame becomes."""
    if row["framing"] in NO_ENTRIES:
        return []
    if row["framing"] == Framing.WHOLE:
        return [data]
    if row["framing"] == Framing.OTLP:
        return payloads_of(*read_resources(data))
    return slice_frame(data, PayloadFormat(row["payload_format"]))
