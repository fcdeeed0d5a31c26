"""Mutated entries through both derivations: every value of every row must be equal."""

from __future__ import annotations

import hashlib
import random  # noqa: TID251 - seeded: the same batch each time
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.collect.payloads import encode_json
from meshtrail.correlate.inventory import parse_inventory
from meshtrail.correlate.ledger import LEDGER_COLUMNS, LEDGER_TEXTS, Ledger
from meshtrail.correlate.shared_keys import SharedKeys
from meshtrail.model.entry import (
    PAYLOAD_BYTES_MAX,
    EntryFlags,
    EntryHeader,
    EntryType,
    PayloadFormat,
    prefix_payload,
)
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.derive import derive_events
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex, UnixNanos
from tests.als_records import FRONTEND, PAYMENTS, opened
from tests.campaigns.record_targets import NOW_NS, RECORD_TARGETS
from tests.clock_statements import opened_by, own_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.campaigns.record_targets import Bends

SIZES: Final = (1, 2, 3, 7, 31, 32, 33, 64, 100, 250, 500, 1_000, 2_000, 5_000)
_VALID_SHARES: Final = (0.0, 0.0, 0.3, 0.9, 0.99)
_SENDERS: Final = ((PAYMENTS, "mtls"), (FRONTEND, "mtls"), (PAYMENTS, "none"), (None, "none"))
_UNOPENED: Final = len(_SENDERS) + 1
_LEDGER: Final = len(_SENDERS) + 2
"""Streams: of nobody, and of meshtrail's own ledger."""
_OPENINGS: Final = len(_SENDERS) + 1
"""Entries that stand before those of a batch."""
_STEPS_NS: Final = (1_000, 1_000_000, 50_000_000)
_PAUSE_EACH: Final = 700
_PAUSE_NS: Final = 3_000_000_000_000
"""Between arrivals; what is stated of clocks counts for an hour, so not after two pauses."""
_AFTERWARDS_NS: Final = 120_000_000_000
_INVENTORY: Final = parse_inventory(
    b'{"pods":[{"pod":"p","namespace":"shop","service_account":"payments","addresses":["10.0.0.7"]},'
    b'{"pod":"f","namespace":"shop","service_account":"frontend","addresses":["10.0.0.0/24"]}]}',
    name="pods",
)
"""Of the identities that records and senders have: some of them are used from elsewhere."""
_DESCRIBED_MAX: Final = 5
_HEX_BYTES_MAX: Final = 2_000


class Record(NamedTuple):
    """What becomes an entry, and which target it counts for."""

    target: str
    entry_type: EntryType
    payload_format: PayloadFormat
    data: bytes


def make_batch(seed: int, number: int) -> list[Record]:
    """The records of a batch; the same for the same seed and number."""
    rng = random.Random(f"records {seed} {number}")  # noqa: S311 - as above
    names = list(RECORD_TARGETS)
    shares = [target.share for target in RECORD_TARGETS.values()]
    mutators: dict[str, Bends] = {}
    valid_share = rng.choice(_VALID_SHARES)
    records = []
    for name in rng.choices(names, shares, k=rng.choice(SIZES)):
        if name not in mutators:
            mutators[name] = RECORD_TARGETS[name].make(rng)
        mutator = mutators[name]
        data = mutator.valid() if rng.random() < valid_share else mutator.mutate()
        # Now and then what it holds is of another kind than it says.
        said = RECORD_TARGETS[name if rng.random() < 0.99 else rng.choice(names)]
        records.append(Record(name, said.entry_type, said.payload_format, data))
    return records


def check_batch(records: Sequence[Record]) -> dict[str, Any]:
    """Derive a batch both ways and compare; then let the ledger read it.

    Returns:
        Counts that add up, and ``differences``.
    """
    entries, blobs = _make_entries(records)
    started = time.perf_counter()
    got = _derive(derive_events, entries, blobs)
    between = time.perf_counter()
    want = _derive(derive_reference, entries, blobs)
    ended = time.perf_counter()
    statements_count = _keep_account(want)
    return {
        "records": len(records),
        **Counter(record.target for record in records),
        "undecoded": pc.sum(pc.equal(want.column("kind"), "undecoded")).as_py(),
        "with_decode_error": len(want) - want.column("decode_error").null_count,
        "statements": statements_count,
        "columnar_s": between - started,
        "reference_s": ended - between,
        "ledger_s": time.perf_counter() - ended,
        "differences": [_describe(records, row, got, want) for row in _unequal_rows(got, want)],
    }


def _keep_account(events: pa.Table) -> int:
    """Let the ledger read events, and go on until it has nothing more to say; how much it said."""
    ledger = Ledger(recording_since_ns=NOW_NS, keys=SharedKeys(_INVENTORY))
    table = events.select(LEDGER_COLUMNS)
    for name in LEDGER_TEXTS:
        # As the ledger reads them from segments.
        coded = table.column(name).dictionary_encode()
        table = table.set_column(LEDGER_COLUMNS.index(name), name, coded)
    steps = list(ledger.take(table))
    last_ns = pc.max(events.column("received_time")).as_py()
    steps += ledger.pass_time(last_ns + _AFTERWARDS_NS)
    # Each has to become the payload of an entry.
    return len([encode_json(one.payload) for step in steps for one in step.statements])


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
    entries.append(
        own_entry(opened_by("ledger"), EntryType.STREAM_OPENED, received_ns=NOW_NS, stream=_LEDGER)
    )
    blobs: dict[bytes, bytes] = {}
    step_ns = _STEPS_NS[len(records) % len(_STEPS_NS)]
    for seq, (_, entry_type, payload_format, data) in enumerate(records, 1):
        flags, payload = EntryFlags(0), data
        if len(data) > PAYLOAD_BYTES_MAX:
            flags, payload = EntryFlags.PREFIX, prefix_payload(data)
            blobs[hashlib.sha256(data).digest()] = data
        is_clock = entry_type is EntryType.CLOCK
        header = EntryHeader(
            entry_type=entry_type,
            payload_format=payload_format,
            flags=flags,
            received_ns=UnixNanos(NOW_NS + seq * step_ns + seq // _PAUSE_EACH * _PAUSE_NS),
            stream=_LEDGER if is_clock else seq % _UNOPENED + 1,
            seq=seq,
        )
        entries.append(header.encode() + payload)
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
    if row < _OPENINGS:
        return facts
    record = records[row - _OPENINGS]
    data = record.data
    alone = _differs(record)
    if alone:
        data = minimise(data, lambda less: _differs(record._replace(data=less)))
    return {
        **facts,
        "target": record.target,
        "format": record.payload_format.name,
        "alone": alone,
        "bytes": len(data),
        "hex": data[:_HEX_BYTES_MAX].hex(),
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
