"""Entries to events: exactly one row for each entry, always derivable again.

Entries are sorted by what their payload is, each kind is decoded as whole columns, and the rows are
put back in the order of the log. Nothing here can fail because of what an entry holds: what cannot
be decoded becomes a row that says why.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import EntryFormatError
from meshtrail.model.entry import (
    ENTRY_BYTES_MAX,
    HEADER_BYTES,
    HEADER_DTYPE,
    EntryFlags,
    EntryType,
    PayloadFormat,
    decode_prefix,
)
from meshtrail.model.event import EVENT_SCHEMA, MAPPER_VERSION
from meshtrail.sources.columns import coded, first_of
from meshtrail.sources.mappings import FORMAT_NAMES, MAPPINGS, SOURCE_NAMES
from meshtrail.sources.own_entries import map_own
from meshtrail.sources.reporter_clocks import Statement, follow_clocks, parse_clock
from meshtrail.sources.streams import (
    REPORTER_COLUMNS,
    Reporters,
    Streams,
    read_stream_opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.units import LeafIndex

    Headers: TypeAlias = npt.NDArray[np.void]
    Rows: TypeAlias = npt.NDArray[np.int64]
    ReadBlob: TypeAlias = Callable[[bytes], bytes]

_S: Final = pa.string()
_SALT_BYTES: Final = 16
_SPIFFE_PARTS: Final = ("trust_domain", "namespace", "service_account")
_MAPPED_TYPES: Final = (EntryType.RECORD, EntryType.COUNTER)
_RUN_ROWS_MIN: Final = 128
"""Runs of one kind that are longer on average are joined as they are, which costs at most what
taking row by row does, and half of it for runs of 500; shorter ones cost more in being cut out."""

CODED_COLUMNS: Final = frozenset(
    {
        "log",
        "source",
        "payload_format",
        *REPORTER_COLUMNS,
        "reporter_spiffe_id_trust",
        "time_quality",
        *(f"{end}_{part}" for end in ("src", "dst") for part in _SPIFFE_PARTS),
        "http_request_method",
        "network_protocol_version",
        "envoy_access_log_type",
        "envoy_response_flags",
        "tls_protocol_version",
        "tls_cipher",
        "tls_server_name",
        "tls_client_subject",
        "tls_client_issuer",
        "tls_client_ja3",
        "tls_failure",
        "span_kind",
        "span_status",
        "policy_name",
        "policy_namespace",
        "policy_rule",
        "trace_id_trust",
        "request_id_trust",
    }
)
"""Columns that are made by looking at distinct values, or that say the same of many rows."""

CODED_SCHEMA: Final = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), _S)) if field.name in CODED_COLUMNS else field
        for field in EVENT_SCHEMA
    ]
)


def derive_events(
    entries: pa.Array,
    *,
    log: str,
    start: LeafIndex,
    streams: Streams,
    read_blob: ReadBlob,
) -> pa.Table:
    """The events of consecutive entries.

    Args:
        entries: binary[n], whole entries in the order of the log.
        log: origin of the log.
        start: leaf index of the first.
        streams: the streams open before the first entry; brought up to date with those in here.
        read_blob: SHA-256 -> the whole record of an entry with the prefix flag.

    Returns:
        ``EVENT_SCHEMA``, one row for each entry, order kept.

    Raises:
        EntryFormatError: bytes that are not entries, which the sealer never writes.
        MissingFileError: a blob is gone; from ``read_blob``.

    Cost: about 5 µs for each entry, and 10 ms for each kind of record. A Python loop only over
    distinct values, meshtrail's own entries, and to ask upb for its verdict on each record.
    """
    headers = read_headers(entries)
    payloads = pc.binary_slice(entries, HEADER_BYTES, ENTRY_BYTES_MAX)
    events = derive_payloads(
        headers, payloads, log=log, start=start, streams=streams, read_blob=read_blob
    )
    return events.cast(EVENT_SCHEMA)


def derive_payloads(
    headers: Headers,
    payloads: pa.Array,
    *,
    log: str,
    start: LeafIndex,
    streams: Streams,
    read_blob: ReadBlob,
) -> pa.Table:
    """The events of consecutive entries that are not joined yet; otherwise as ``derive_events``.

    Args:
        headers: ``HEADER_DTYPE``[n].
        payloads: binary[n], what stands behind the headers.
        log: as there.
        start: as there.
        streams: as there.
        read_blob: as there.

    Returns:
        ``CODED_SCHEMA``, the same rows: what has few values is written down once, which is less to
        hand on, and less to encode.
    """
    reporters = _follow_streams(headers, payloads, streams)
    tables, places = [], []
    for rows, part in _derive_parts(headers, payloads, reporters, read_blob):
        tables.append(_event_table(part, headers[rows], rows + start, reporters.select(rows), log))
        places.append(rows)
    if len(tables) < 2:  # noqa: PLR2004 - nothing to put in order
        return tables[0] if tables else CODED_SCHEMA.empty_table()
    return _in_order(pa.concat_tables(tables), np.concatenate(places))


def read_headers(entries: pa.Array) -> Headers:
    """The headers of entries.

    Args:
        entries: binary[n].

    Returns:
        ``HEADER_DTYPE``[n].

    Raises:
        EntryFormatError: an entry is shorter than a header.
    """
    if len(entries) and pc.min(pc.binary_length(entries)).as_py() < HEADER_BYTES:
        raise EntryFormatError(f"an entry is shorter than its header of {HEADER_BYTES} bytes")
    cut = pc.binary_slice(entries, 0, HEADER_BYTES)
    data = cut.buffers()[2] if len(cut) else b""
    return np.frombuffer(data or b"", dtype=HEADER_DTYPE, count=len(cut), offset=0)


def _derive_parts(
    headers: Headers, payloads: pa.Array, reporters: Reporters, read_blob: ReadBlob
) -> list[tuple[Rows, EventColumns]]:
    """The event columns of each kind of payload, with the rows they belong to."""
    parts = []
    taken = np.zeros(len(headers), dtype=np.bool_)
    for code, map_records in MAPPINGS.items():
        rows = np.flatnonzero(
            (headers["payload_format"] == code) & np.isin(headers["entry_type"], _MAPPED_TYPES)
        )
        if len(rows):
            taken[rows] = True
            records = _records(headers, payloads, rows, read_blob)
            parts.append((rows, map_records(records, reporters.select(rows))))
    rows = np.flatnonzero(~taken)
    if len(rows):
        parts.append((rows, map_own(headers[rows], payloads.take(pa.array(rows)))))
    return parts


def _in_order(table: pa.Table, places: Rows) -> pa.Table:
    """The rows in the order of the log.

    Args:
        table: the rows of one kind after the other.
        places: where each of them stands in the order of the log.
    """
    rows = np.argsort(places)
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(cuts) * _RUN_ROWS_MIN > len(rows):
        return table.take(pa.array(rows))
    runs = pairwise([0, *cuts.tolist(), len(rows)])
    pieces = [table.slice(int(rows[start]), end - start) for start, end in runs]
    return pa.concat_tables(pieces).combine_chunks()


def _records(headers: Headers, payloads: pa.Array, rows: Rows, read_blob: ReadBlob) -> pa.Array:
    """The records of entries: the payload behind the salt, the whole where it is a blob."""
    chosen = payloads if len(rows) == len(payloads) else payloads.take(pa.array(rows))
    flags = headers["flags"][rows]
    if not flags.any():
        return chosen
    whole = chosen.to_pylist()
    for position in np.flatnonzero(flags):
        payload = whole[position]
        if flags[position] & EntryFlags.SALTED:
            payload = payload[_SALT_BYTES:]
        if flags[position] & EntryFlags.PREFIX:
            payload = read_blob(decode_prefix(payload).sha256)
        whole[position] = payload
    return pa.array(whole, pa.binary())


def _event_table(
    part: EventColumns, headers: Headers, index: Rows, reporters: Reporters, log: str
) -> pa.Table:
    """Add what header and stream say to the columns of one kind of payload."""
    columns = {**part.columns, **reporters.columns()}
    if "reporter_conflict" in part.columns:
        columns["reporter_conflict"] = first_of(
            part.columns["reporter_conflict"], columns["reporter_conflict"]
        )
    received_ns = headers["received_ns"].astype(np.int64)
    columns |= reporters.time_columns(columns.get("time"), received_ns)
    count = part.rows_count
    duplicate = headers["flags"] & np.uint16(EntryFlags.DUPLICATE)
    columns |= {
        "log": coded([log], pa.array(np.zeros(count, dtype=np.int64))),
        "log_index": pa.array(index),
        "received_time": pa.array(received_ns),
        "stream": _native(headers["stream"]),
        "seq": _native(headers["seq"]),
        "source": _names(headers, SOURCE_NAMES),
        "payload_format": _names(headers, FORMAT_NAMES),
        "is_duplicate": pa.array(duplicate != 0),
        "mapper_version": pa.array(np.full(count, MAPPER_VERSION, dtype=np.int32)),
        "decode_error": _reasons(part),
    }
    return pa.table(
        [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in CODED_SCHEMA
        ],
        schema=CODED_SCHEMA,
    )


def _reasons(part: EventColumns) -> pa.Array:
    """The problems of each row, joined; null where there are none."""
    reasons = pa.nulls(part.rows_count, _S)
    for reason, where in part.problems.items():
        if pc.any(where).as_py():
            longer = pc.binary_join_element_wise(reasons, reason, "; ")
            reasons = pc.if_else(where, pc.fill_null(longer, reason), reasons)
    return reasons


def _follow_streams(headers: Headers, payloads: pa.Array, streams: Streams) -> Reporters:
    """The sender of each entry, as of that entry; ``streams`` is what is open after the last.

    A stream id is never used twice, so all entries of a stream have the same sender.
    """
    distinct, rows = np.unique(headers["stream"], return_inverse=True)
    for position in np.flatnonzero(headers["entry_type"] == EntryType.STREAM_OPENED):
        payload = payloads[int(position)].as_py()
        streams.open(int(headers["stream"][position]), read_stream_opened(payload))
    facts = [streams.get(int(stream)) for stream in distinct]
    statements = list(_find_statements(headers, payloads, streams))
    keys = [fact.key for fact in facts]
    clocks = follow_clocks(streams.clocks, statements, keys, rows)
    for position in np.flatnonzero(headers["entry_type"] == EntryType.STREAM_CLOSED):
        streams.close(int(headers["stream"][position]))
    return Reporters(facts, rows.astype(np.int64), clocks)


def _find_statements(headers: Headers, payloads: pa.Array, streams: Streams) -> Iterator[Statement]:
    """What the entries state about clocks."""
    is_clock = headers["entry_type"] == EntryType.CLOCK
    is_own = headers["payload_format"] == PayloadFormat.MESHTRAIL_JSON
    for position in np.flatnonzero(is_clock & is_own).tolist():
        if streams.states_clocks(int(headers["stream"][position])):
            received_ns = int(headers["received_ns"][position])
            told = parse_clock(payloads[position].as_py(), received_ns=received_ns)
            if told is not None:
                yield Statement(position, *told)


def _names(headers: Headers, names: dict[int, str]) -> pa.Array:
    """What the payload format of each entry is called, ``coded``."""
    codes, rows = np.unique(headers["payload_format"], return_inverse=True)
    return coded(
        [names.get(int(code), f"{code}") for code in codes], pa.array(rows.astype(np.int64))
    )


def _native(column: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(column.astype(np.int64))


__all__ = ["REPORTER_COLUMNS", "derive_events", "derive_payloads", "read_headers"]
