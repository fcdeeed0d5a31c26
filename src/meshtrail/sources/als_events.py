"""Decoded access log records to event columns, HTTP and TCP.

The rules in words: docs/formats/event.md, "How access log records become events". Row-wise
reference: ``meshtrail.sources.reference``; the two are compared in tests and by ``verify --deep``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Decision, Kind, Trust
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.addresses import read_addresses
from meshtrail.sources.als_decisions import Decisions, read_decisions
from meshtrail.sources.als_decode import http_decoder, tcp_decoder
from meshtrail.sources.als_schema import ADDRESSES
from meshtrail.sources.columns import (
    Entries,
    decode_hex,
    field,
    integer,
    labelled,
    map_distinct,
    mask_null,
    period_ns,
    plain,
    read_distinct,
    spread,
    text,
)
from meshtrail.sources.custom_tags import map_tags, map_upstream, read_custom_tags
from meshtrail.sources.envoy_messages import FlagFacts, TlsFacts, read_flags, read_tls
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.handshakes import judge_handshakes
from meshtrail.sources.tls_failures import map_failures
from meshtrail.sources.trace_context import read_trace

if TYPE_CHECKING:
    from meshtrail.sources.custom_tags import CustomTags
    from meshtrail.sources.streams import Reporters

_COMMON: Final = "common_properties"
_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
UUID_TEMPLATE: Final = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
_GRPC: Final = "application/grpc"
_STATUS_DIGITS_MAX: Final = 3


def map_http(batch: pa.RecordBatch, reporters: Reporters) -> EventColumns:
    """Event columns of decoded HTTP records.

    Args:
        batch: the shim of ``HTTPAccessLogEntry``, n rows.
        reporters: who sent each of them.
    """
    out = EventColumns(batch.num_rows)
    out.columns["kind"] = pa.array([Kind.REQUEST.value]).take(_zeros(batch))
    _map_request(batch, out)
    _map_response(batch, out)
    _map_correlation(batch, out)
    _map_common(batch, out, reporters)
    out.columns["bytes_received"] = _wire_bytes(batch, "downstream_wire_bytes_received")
    out.columns["bytes_sent"] = _wire_bytes(batch, "downstream_wire_bytes_sent")
    out.columns["tls_failure"] = map_failures(out.columns["envoy_upstream_transport_failure"])
    return out


def map_tcp(batch: pa.RecordBatch, reporters: Reporters) -> EventColumns:
    """Event columns of decoded TCP records."""
    out = EventColumns(batch.num_rows)
    tls = _map_common(batch, out, reporters)
    connection = "connection_properties"
    out.columns["bytes_received"] = integer(batch, connection, "received_bytes", to=_I64)
    out.columns["bytes_sent"] = integer(batch, connection, "sent_bytes", to=_I64)
    judge_handshakes(out, ends_tls=tls["is_ended"])
    return out


def map_http_records(records: pa.Array, reporters: Reporters) -> EventColumns:
    """Event columns of HTTP records: binary[n], with the sender of each."""
    batch, bad = http_decoder().decode(records)
    out = map_http(batch, reporters)
    out.blank_refused(bad)
    return out


def map_tcp_records(records: pa.Array, reporters: Reporters) -> EventColumns:
    """Event columns of TCP records: binary[n], with the sender of each."""
    batch, bad = tcp_decoder().decode(records)
    out = map_tcp(batch, reporters)
    out.blank_refused(bad)
    return out


def _map_request(batch: pa.RecordBatch, out: EventColumns) -> None:
    columns = out.columns
    columns["http_request_method"] = _named(
        field(batch, "request", "request_method"), envoy.REQUEST_METHODS
    )
    columns["url_scheme"] = text(batch, "request", "scheme")
    columns["url_path"], columns["url_query"] = _split_path(text(batch, "request", "path"))
    columns["server_address"] = text(batch, "request", "authority")
    columns["user_agent_original"] = text(batch, "request", "user_agent")
    columns["http_request_forwarded_for"] = text(batch, "request", "forwarded_for")
    columns["http_request_body_size"] = integer(batch, "request", "request_body_bytes", to=_I64)
    columns["network_protocol_version"] = _named(
        field(batch, "protocol_version"), envoy.PROTOCOL_VERSIONS
    )
    headers = Entries(field(batch, "request", "request_headers"))
    content_type = _header(headers, "content-type", out.rows_count)
    columns["http_request_content_type"] = content_type
    is_grpc = pc.starts_with(content_type, _GRPC)
    method = pc.utf8_slice_codeunits(columns["url_path"], 1)
    columns["rpc_method"] = mask_null(method, pc.fill_null(is_grpc, fill_value=False))


def _map_response(batch: pa.RecordBatch, out: EventColumns) -> None:
    columns = out.columns
    columns["http_response_status_code"] = integer(
        batch, "response", "response_code", "value", to=_I32, zero_is_null=True
    )
    columns["http_response_body_size"] = integer(batch, "response", "response_body_bytes", to=_I64)
    columns["envoy_response_code_details"] = text(batch, "response", "response_code_details")
    headers = Entries(field(batch, "response", "response_headers"))
    columns["http_response_content_type"] = _header(headers, "content-type", out.rows_count)
    trailers = Entries(field(batch, "response", "response_trailers"))
    status = pc.coalesce(
        _header(trailers, "grpc-status", out.rows_count),
        _header(headers, "grpc-status", out.rows_count),
    )
    (columns["rpc_grpc_status_code"],) = map_distinct(
        status, lambda value: (_small_number(value),), [_I32]
    )


def _map_correlation(batch: pa.RecordBatch, out: EventColumns) -> None:
    """Ids that anyone in the mesh can set: a hint for joining, never a proof."""
    headers = Entries(field(batch, "request", "request_headers"))
    out.columns["trace_id"], out.columns["span_id"] = read_trace(
        {
            name: _header(headers, name, out.rows_count)
            for name in ("traceparent", "b3", "x-b3-traceid", "x-b3-spanid")
        }
    )
    request_id = pc.coalesce(
        text(batch, "request", "request_id"), text(batch, _COMMON, "stream_id")
    )
    out.columns["request_id"], is_uuid = decode_hex(request_id, UUID_TEMPLATE)
    out.columns["request_id_text"] = mask_null(request_id, ~is_uuid)
    out.trust("trace_id", Trust.ASSERTED)
    out.columns["request_id_trust"] = labelled(pc.is_valid(request_id), Trust.ASSERTED.value)


def _map_common(
    batch: pa.RecordBatch, out: EventColumns, reporters: Reporters
) -> dict[str, pa.Array]:
    """What requests and connections have in common; returns the TLS facts, by name."""
    _map_times(batch, out)
    tls = _map_tls(batch, out)
    _map_envoy(batch, out)
    tags = read_custom_tags(field(batch, _COMMON, "custom_tags"))
    if tags is not None:
        map_tags(out, tags)
    _map_identities(tls, tags, out, reporters)
    _map_addresses(batch, out)
    _map_decision(batch, tls["callee"], out, reporters)
    return tls


def _map_times(batch: pa.RecordBatch, out: EventColumns) -> None:
    periods = {
        "time": "start_time",
        "duration": "duration",
        "request_duration": "time_to_last_rx_byte",
        "response_start_duration": "time_to_first_downstream_tx_byte",
    }
    for name, source in periods.items():
        value, impossible = period_ns(batch, _COMMON, source)
        if name != "time":
            negative = pc.fill_null(pc.less(value, 0), fill_value=False)
            impossible = pc.or_(impossible, negative)
            value = mask_null(value, pc.invert(negative))
        out.columns[name] = value
        out.problems[f"{source} is not a time"] = impossible
    end, overflow = _add_saturated(out.columns["time"], out.columns["duration"])
    out.columns["end_time"] = end
    out.problems["end of the happening does not fit"] = overflow


def _map_tls(batch: pa.RecordBatch, out: EventColumns) -> dict[str, pa.Array]:
    """What both ends' TLS facts say; returns them all by name, for the identities."""
    tls = read_distinct(field(batch, _COMMON, "tls_properties"), read_tls, TlsFacts)
    out.columns |= {
        "tls_protocol_version": tls["version"],
        "tls_cipher": tls["cipher"],
        "tls_server_name": tls["server_name"],
        "tls_client_ja3": tls["ja3"],
        "tls_client_subject": tls["subject"],
        "tls_client_issuer": tls["issuer"],
    }
    out.refuse(tls["problem"])
    return tls


def _map_envoy(batch: pa.RecordBatch, out: EventColumns) -> None:
    columns = out.columns
    columns["envoy_access_log_type"] = _named(
        field(batch, _COMMON, "access_log_type"), envoy.ACCESS_LOG_TYPES
    )
    flags = read_distinct(field(batch, _COMMON, "response_flags"), read_flags, FlagFacts)
    columns["envoy_response_flags"] = flags["codes"]
    out.note(flags["problem"])
    for name, source in (
        ("envoy_connection_termination_details", "connection_termination_details"),
        ("envoy_upstream_cluster", "upstream_cluster"),
        ("envoy_route_name", "route_name"),
        ("envoy_upstream_transport_failure", "upstream_transport_failure_reason"),
        ("envoy_downstream_transport_failure", "downstream_transport_failure_reason"),
    ):
        columns[name] = text(batch, _COMMON, source)
    columns["envoy_attempt_count"] = integer(
        batch, _COMMON, "upstream_request_attempt_count", to=_I32, zero_is_null=True
    )


def _map_identities(
    tls: dict[str, pa.Array], tags: CustomTags | None, out: EventColumns, reporters: Reporters
) -> None:
    """Both ends from certificates, and how far each can be held to someone."""
    columns = out.columns
    caller, callee = plain(tls["caller"]), plain(tls["callee"])
    out.problems["peer certificate with several URI SANs"] = tls["caller_many"]
    out.problems["local certificate with several URI SANs"] = tls["callee_many"]
    side = _sides(columns["envoy_upstream_cluster"], pc.is_valid(caller), tls["is_ended"])
    columns["side"] = side
    # A destination's local certificate is the proxy's own: it says whose record this is.
    conflicts = reporters.conflicts_with(callee, where=pc.equal(side, "destination"))
    if conflicts is not None:
        columns["reporter_conflict"] = conflicts
    held = reporters.held_to(callee)
    how = pc.if_else(held, Trust.ATTESTED.value, Trust.REPORTED.value)
    # Source side: no certificate of the caller is in the record, since its proxy is the caller.
    own = pc.and_(pc.equal(side, "source"), pc.is_null(caller))
    own = pc.and_(pc.fill_null(own, fill_value=False), pc.is_valid(reporters.spiffe_id))
    columns["src_spiffe_id"] = pc.if_else(own, reporters.spiffe_id, caller)
    # Envoy reports the names in a certificate that it has just refused, too: anyone can write
    # those.
    refused = pc.is_valid(columns["envoy_downstream_transport_failure"])
    caller_trust = pc.if_else(refused, Trust.ASSERTED.value, how)
    caller_trust = mask_null(caller_trust, pc.is_valid(caller))
    columns["src_spiffe_id_trust"] = pc.if_else(own, Trust.DERIVED.value, caller_trust)
    columns["dst_spiffe_id"] = callee
    columns["dst_spiffe_id_trust"] = mask_null(how, pc.is_valid(callee))
    map_upstream(out, tags, callee, reporters)
    for end in ("src", "dst"):
        domain, namespace, account = map_distinct(
            columns[f"{end}_spiffe_id"], envoy.split_spiffe_id, [_S, _S, _S]
        )
        columns[f"{end}_trust_domain"] = domain
        columns[f"{end}_namespace"] = namespace
        columns[f"{end}_service_account"] = account


def _map_addresses(batch: pa.RecordBatch, out: EventColumns) -> None:
    """The physical peer, never what a header says of it."""
    columns = out.columns
    found = read_addresses({name: field(batch, _COMMON, name) for name in ADDRESSES})
    for address in found.values():
        out.note(address.problem)
    peer, upstream = found["downstream_direct_remote_address"], found["upstream_remote_address"]
    local, upstream_local = found["downstream_local_address"], found["upstream_local_address"]
    columns["src_ip"], columns["src_port"] = peer.ip, peer.port
    is_source = pc.fill_null(pc.equal(columns["side"], "source"), fill_value=False)
    columns["dst_ip"] = pc.if_else(is_source, upstream.ip, local.ip)
    columns["dst_port"] = pc.if_else(is_source, upstream.port, local.port)
    columns["envoy_upstream_local_ip"] = upstream_local.ip
    columns["envoy_upstream_local_port"] = upstream_local.port


def _map_decision(
    batch: pa.RecordBatch, own: pa.Array, out: EventColumns, reporters: Reporters
) -> None:
    nothing = pa.nulls(out.rows_count, _S)
    decided: Decisions = read_decisions(
        field(batch, _COMMON, "metadata", "filter_metadata"),
        details=out.columns.get("envoy_response_code_details", nothing),
        termination=out.columns["envoy_connection_termination_details"],
    )
    out.columns.update(decided.columns())
    out.refuse(decided.problem)
    said = pc.not_equal(out.columns["decision"], Decision.UNKNOWN.value)
    held = reporters.held_to(plain(own), absent_is_held=True)
    how = pc.if_else(held, Trust.ATTESTED.value, Trust.REPORTED.value)
    out.columns["decision_trust"] = mask_null(how, said)


def _zeros(batch: pa.RecordBatch) -> pa.Array:
    return pa.array(np.zeros(batch.num_rows, dtype=np.int64))


def _named(codes: pa.Array, names: dict[int, str]) -> pa.Array:
    """Enum numbers as names; null for 0, a number of its own where the table ends."""
    (column,) = map_distinct(codes, lambda code: (envoy.enum_name(code, names),), [_S])
    return column


def _wire_bytes(batch: pa.RecordBatch, name: str) -> pa.Array:
    return integer(batch, _COMMON, name, to=_I64)


def _split_path(path: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Path and query, split at the first question mark."""
    parts = pc.split_pattern(path, "?", max_splits=1)
    has_query = pc.fill_null(pc.equal(pc.list_value_length(parts), 2), fill_value=False)
    flat = parts.flatten()
    starts = np.asarray(parts.offsets)[:-1].astype(np.int64)
    present = np.asarray(pc.is_valid(path))
    first = flat.take(pa.array(starts, mask=~present))
    second = flat.take(pa.array(starts + 1, mask=~np.asarray(has_query)))
    return first, second


def _header(headers: Entries, name: str, rows_count: int) -> pa.Array:
    """The value of a logged header; of equal keys the last counts, as in protobuf maps."""
    positions = headers.where(pc.equal(headers.field("key"), name))
    return spread(headers.field("value"), headers.rows, positions, rows_count)


def _small_number(value: str | None) -> int | None:
    is_small = value is not None and 0 < len(value) <= _STATUS_DIGITS_MAX
    return int(value) if value and is_small and value.isascii() and value.isdigit() else None


def _add_saturated(time: pa.Array, duration: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Their sum, null where it leaves 64 bits; and where it did."""
    limit = pc.subtract(pa.scalar(2**63 - 1, _I64), duration)
    overflow = pc.fill_null(pc.greater(time, limit), fill_value=False)
    return pc.add(mask_null(time, pc.invert(overflow)), duration), overflow


def _sides(cluster: pa.Array, has_peer: pa.Array, has_tls: pa.Array) -> pa.Array:
    """``envoy_values.side_of`` over columns: each distinct cluster is looked at once."""
    prefix, named = map_distinct(
        cluster,
        lambda name: (
            envoy.side_of(
                upstream_cluster=name, has_peer_certificate=False, has_downstream_tls=True
            ),
            True,
        ),
        [_S, pa.bool_()],
    )
    prefix = plain(prefix)
    other = pc.case_when(
        pc.make_struct(has_peer, pc.and_(pc.is_valid(named), pc.invert(has_tls))),
        pa.scalar("destination"),
        pa.scalar("source"),
    )
    return pc.coalesce(prefix, other)
