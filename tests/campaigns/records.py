"""Mutated records through both derivations: every value of every row must be equal."""

from __future__ import annotations

import hashlib
import random  # noqa: TID251 - seeded: the same batch each time
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.entry import PAYLOAD_BYTES_MAX, EntryFlags, PayloadFormat, prefix_payload
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.als_schema import http_descriptor, tcp_descriptor
from meshtrail.sources.derive import derive_events
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex
from tests.als_records import FRONTEND, PAYMENTS, entry, opened
from tests.campaigns.mutator import Mutator
from tests.campaigns.seeds import http_seeds, tcp_seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES: Final = (1, 2, 3, 7, 31, 32, 33, 64, 100, 250, 500, 1_000, 2_000, 5_000)
_VALID_SHARES: Final = (0.0, 0.0, 0.3, 0.9, 0.99)
_SENDERS: Final = ((PAYMENTS, "mtls"), (FRONTEND, "mtls"), (PAYMENTS, "none"), (None, "none"))
_TCP_SHARE: Final = 0.25
_DESCRIBED_MAX: Final = 5
_HEX_BYTES_MAX: Final = 2_000

Record: TypeAlias = "tuple[PayloadFormat, bytes]"


def make_batch(seed: int, number: int) -> list[Record]:
    """The records of a batch; the same for the same seed and number."""
    rng = random.Random(f"records {seed} {number}")  # noqa: S311 - as above
    http = Mutator(http_descriptor(), http_seeds(), rng)
    tcp = Mutator(tcp_descriptor(), tcp_seeds(), rng)
    valid_share = rng.choice(_VALID_SHARES)
    records = []
    for _ in range(rng.choice(SIZES)):
        is_tcp = rng.random() < _TCP_SHARE
        mutator = tcp if is_tcp else http
        data = mutator.valid() if rng.random() < valid_share else mutator.mutate()
        # Now and then a record of the other kind.
        is_tcp ^= rng.random() < 0.01
        records.append((PayloadFormat.ALS_TCP if is_tcp else PayloadFormat.ALS_HTTP, data))
    return records


def check_batch(records: Sequence[Record]) -> dict[str, Any]:
    """Derive a batch both ways and compare.

    Returns:
        Counts that add up, and ``differences``.
    """
    entries, blobs = _make_entries(records)
    started = time.perf_counter()
    got = _derive(derive_events, entries, blobs)
    between = time.perf_counter()
    want = _derive(derive_reference, entries, blobs)
    ended = time.perf_counter()
    return {
        "records": len(records),
        "undecoded": pc.sum(pc.equal(want.column("kind"), "undecoded")).as_py(),
        "with_decode_error": len(records) - want.column("decode_error").null_count + len(_SENDERS),
        "columnar_s": between - started,
        "reference_s": ended - between,
        "differences": [_describe(records, row, got, want) for row in _unequal_rows(got, want)],
    }


def _unequal_rows(got: pa.Table, want: pa.Table) -> list[int]:
    """The first few rows that differ in any column."""
    rows = set()
    for name in EVENT_SCHEMA.names:
        if not got.column(name).equals(want.column(name)):
            pairs = zip(got.column(name).to_pylist(), want.column(name).to_pylist(), strict=True)
            rows |= {row for row, (left, right) in enumerate(pairs) if left != right}
    return sorted(rows)[:_DESCRIBED_MAX]


def _derive(
    derive: Callable[..., pa.Table], entries: pa.Array, blobs: dict[bytes, bytes]
) -> pa.Table:
    return derive(
        entries,
        log="mesh/c/12345678",
        start=LeafIndex(7),
        streams=Streams(),
        read_blob=blobs.__getitem__,
    )


def _make_entries(records: Sequence[Record]) -> tuple[pa.Array, dict[bytes, bytes]]:
    entries = [
        opened(spiffe_id, auth=auth, stream=stream)
        for stream, (spiffe_id, auth) in enumerate(_SENDERS, 1)
    ]
    blobs: dict[bytes, bytes] = {}
    for seq, (payload_format, data) in enumerate(records, 1):
        flags, payload = EntryFlags(0), data
        if len(data) > PAYLOAD_BYTES_MAX:
            flags, payload = EntryFlags.PREFIX, prefix_payload(data)
            blobs[hashlib.sha256(data).digest()] = data
        stream = seq % (len(_SENDERS) + 1) + 1
        entries.append(entry(payload, payload_format, flags=flags, stream=stream, seq=seq))
    return pa.array(entries, pa.binary()), blobs


def _describe(records: Sequence[Record], row: int, got: pa.Table, want: pa.Table) -> dict[str, Any]:
    """A difference, its record cut down to what shows it."""
    left, right = (side.slice(row, 1).to_pylist()[0] for side in (got, want))
    facts: dict[str, Any] = {
        "fault": "difference",
        "columnar_and_reference": {
            name: [str(left[name])[:100], str(right[name])[:100]]
            for name in left
            if left[name] != right[name]
        },
    }
    if row < len(_SENDERS):
        return facts
    payload_format, data = records[row - len(_SENDERS)]
    alone = _differs((payload_format, data))
    if alone:
        data = minimise(data, lambda less: _differs((payload_format, less)))
    hexed = data[:_HEX_BYTES_MAX].hex()
    return {
        **facts,
        "format": payload_format.name,
        "alone": alone,
        "bytes": len(data),
        "hex": hexed,
    }


def _differs(record: Record) -> bool:
    entries, blobs = _make_entries([record])
    return not _derive(derive_events, entries, blobs).equals(
        _derive(derive_reference, entries, blobs)
    )


def minimise(data: bytes, is_wrong: Callable[[bytes], bool], *, tries_max: int = 400) -> bytes:
    """Cut out what is not needed for the fault, halves first."""
    step = len(data) // 2
    while step and tries_max > 0:
        at = 0
        while at < len(data) and tries_max > 0:
            less = data[:at] + data[at + step :]
            tries_max -= 1
            if is_wrong(less):
                data = less
            else:
                at += step
        step //= 2
    return data
