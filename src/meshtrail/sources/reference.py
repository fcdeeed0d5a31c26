"""The row-wise reference of the derivation: protobuf's own parser, one record at a time.

Slow and plain on purpose. It follows docs/formats/event.md and shares with the columnar mapper only
the meaning of single values (``envoy_values``, response flags), the cut descriptors and the stream
facts; tests and ``verify --deep`` compare the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from meshtrail.errors import InputError
from meshtrail.model.entry import (
    HEADER_BYTES,
    SALT_BYTES,
    EntryFlags,
    EntryHeader,
    EntryType,
    PayloadFormat,
    decode_header,
    decode_prefix,
)
from meshtrail.model.event import EVENT_SCHEMA, MAPPER_VERSION, Kind
from meshtrail.sources.als_reference import map_http_record, map_tcp_record
from meshtrail.sources.counter_reference import (
    map_envoy_push,
    map_otlp_json_push,
    map_otlp_push,
)
from meshtrail.sources.delivery.git_log import read_git_log
from meshtrail.sources.delivery.github import read_github
from meshtrail.sources.delivery.gitlab import read_gitlab
from meshtrail.sources.hubble.reference import map_hubble_line
from meshtrail.sources.kubernetes.audit_events import read_audit_record
from meshtrail.sources.kubernetes.objects import read_inventory
from meshtrail.sources.lines.envoy_json_reference import map_envoy_json_line
from meshtrail.sources.lines.istio_reference import map_istio_json_line, map_istio_text_line
from meshtrail.sources.lines.linkerd_reference import map_linkerd_line
from meshtrail.sources.lines.ztunnel_reference import map_ztunnel_line
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_json import json_to_protobuf
from meshtrail.sources.otlp_reference import map_otlp_log
from meshtrail.sources.otlp_span_reference import map_span_record
from meshtrail.sources.own_entries import OWN_KINDS, WHOLE_FRAMES, read_own
from meshtrail.sources.record_rows import refer_each

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.sources.reporter_clocks import StatedClock
    from meshtrail.sources.streams import StreamFacts, Streams
    from meshtrail.units import LeafIndex

    MapRecord = Callable[[bytes, dict[str, Any], list[str], StreamFacts], None]

_SOURCES: Final = {
    "MESHTRAIL": "meshtrail",
    "ALS": "envoy-als",
    "OTLP": "otlp",
    "BODY": "meshtrail",
    "KUBERNETES": "kubernetes-audit",
    "ENVOY": "envoy-metrics",
}
_OWN_SOURCES: Final = (
    *(PayloadFormat.ENVOY_JSON, PayloadFormat.ISTIO_JSON, PayloadFormat.ISTIO_TEXT),
    *(PayloadFormat.ZTUNNEL, PayloadFormat.LINKERD, PayloadFormat.HUBBLE),
    *(PayloadFormat.INVENTORY, PayloadFormat.GIT_LOG, PayloadFormat.GITHUB, PayloadFormat.GITLAB),
)
"""Formats that are a kind of telemetry each."""
Row = dict[str, Any]


def _of_json(signal: Signal, map_record: MapRecord) -> MapRecord:
    """The same of records in JSON, as the protobuf that they stand for."""

    def mapped(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
        try:
            encoded = json_to_protobuf(payload, signal)
        except InputError as error:
            row["kind"] = Kind.UNDECODED.value
            problems.append(error.message)
            return
        map_record(encoded, row, problems, facts)

    return mapped


_MAPPED: Final[dict[PayloadFormat, MapRecord]] = {
    PayloadFormat.ALS_HTTP: map_http_record,
    PayloadFormat.ALS_TCP: map_tcp_record,
    PayloadFormat.OTLP_SPAN: map_span_record,
    PayloadFormat.OTLP_METRICS: map_otlp_push,
    PayloadFormat.OTLP_METRICS_JSON: map_otlp_json_push,
    PayloadFormat.ENVOY_METRICS: map_envoy_push,
    PayloadFormat.OTLP_LOG: map_otlp_log,
    PayloadFormat.OTLP_LOG_JSON: _of_json(Signal.LOGS, map_otlp_log),
    PayloadFormat.OTLP_SPAN_JSON: _of_json(Signal.TRACES, map_span_record),
    PayloadFormat.HUBBLE: map_hubble_line,
    PayloadFormat.ZTUNNEL: map_ztunnel_line,
    PayloadFormat.LINKERD: map_linkerd_line,
    PayloadFormat.ENVOY_JSON: map_envoy_json_line,
    PayloadFormat.ISTIO_JSON: map_istio_json_line,
    PayloadFormat.ISTIO_TEXT: map_istio_text_line,
    PayloadFormat.KUBERNETES_AUDIT_JSON: refer_each(read_audit_record),
    PayloadFormat.INVENTORY: refer_each(read_inventory),
    PayloadFormat.GIT_LOG: refer_each(read_git_log),
    PayloadFormat.GITHUB: refer_each(read_github),
    PayloadFormat.GITLAB: refer_each(read_gitlab),
}


def derive_reference(
    entries: pa.Array,
    *,
    log: str,
    start: LeafIndex,
    streams: Streams,
    read_blob: Callable[[bytes], bytes],
) -> pa.Table:
    """The events of consecutive entries, derived one by one.

    Arguments, result and errors are those of ``derive.derive_events``.
    """
    whole = entries.to_pylist()
    headers = [decode_header(entry) for entry in whole]
    for entry, header in zip(whole, headers, strict=True):
        if header.entry_type is EntryType.STREAM_OPENED:
            streams.follow(header, entry[HEADER_BYTES:])
    rows = []
    for position, (entry, header) in enumerate(zip(whole, headers, strict=True)):
        payload = _payload(entry, header, read_blob)
        facts = streams.get(header.stream)
        row = _row(payload, header, facts, log, start + position)
        rows.append(row | _clock(row, streams.clocks.get_at(facts.key, header.received_ns)))
        if header.entry_type is EntryType.CLOCK:
            streams.follow(header, payload)
    for entry, header in zip(whole, headers, strict=True):
        if header.entry_type is EntryType.STREAM_CLOSED:
            streams.follow(header, entry[HEADER_BYTES:])
    return pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)


def _row(payload: bytes, header: EntryHeader, facts: StreamFacts, log: str, index: int) -> Row:
    payload_format = header.payload_format.name.lower().replace("_", "-")
    source = _SOURCES.get(header.payload_format.name.partition("_")[0])
    row: Row = {
        "log": log,
        "log_index": index,
        "received_time": header.received_ns,
        "stream": header.stream,
        "seq": header.seq,
        "source": payload_format if header.payload_format in _OWN_SOURCES else source,
        "payload_format": payload_format,
        "is_duplicate": bool(header.flags & EntryFlags.DUPLICATE),
        "mapper_version": MAPPER_VERSION,
        "reporter_id": facts.node_id,
        "reporter_cluster": facts.node_cluster,
        "reporter_spiffe_id": facts.spiffe_id,
        "reporter_spiffe_id_trust": "attested" if facts.spiffe_id is not None else None,
        "reporter_auth": facts.auth,
        "reporter_log_name": facts.log_name,
        "reporter_ip": facts.ip,
        "reporter_token": facts.token,
        "reporter_conflict": facts.conflict,
    }
    problems: list[str] = []
    map_record = _MAPPED.get(header.payload_format)
    if map_record and header.entry_type in (EntryType.RECORD, EntryType.COUNTER):
        map_record(payload, row, problems, facts)
    else:
        row["kind"] = OWN_KINDS.get(header.entry_type, Kind.UNDECODED).value
        if header.payload_format is PayloadFormat.MESHTRAIL_JSON:
            row |= read_own(header.entry_type, payload)._asdict()
        elif header.payload_format in WHOLE_FRAMES:
            problems.append(WHOLE_FRAMES[header.payload_format])
    row["decode_error"] = "; ".join(problems) or None
    return row


def _clock(row: Row, stated: StatedClock) -> Row:
    """How far the time of a row is off."""
    time_ns = row.get("time")
    if time_ns is None:
        return {}
    return {
        "time_offset": stated.offset_ns,
        "time_error": stated.error_at(time_ns),
        "time_quality": stated.quality.value,
    }


def _payload(entry: bytes, header: EntryHeader, read_blob: Callable[[bytes], bytes]) -> bytes:
    payload = entry[HEADER_BYTES:]
    if header.entry_type not in (EntryType.RECORD, EntryType.COUNTER):
        return payload
    if header.flags & EntryFlags.SALTED:
        payload = payload[SALT_BYTES:]
    if header.flags & EntryFlags.PREFIX and header.payload_format not in WHOLE_FRAMES:
        payload = read_blob(decode_prefix(payload).sha256)
    return payload
