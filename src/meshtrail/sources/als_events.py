"""Decoded access log records to event columns, HTTP and TCP.

Here the facts are read; what follows from them is in ``access_rules``. In words:
docs/formats/event.md, "How access log records become events". Row-wise reference:
``meshtrail.sources.reference``; the two are compared in tests and by ``verify --deep``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Kind
from meshtrail.model.users import USER_HEADERS
from meshtrail.sources import access_rules as rules
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_rules import Ends, Socket
from meshtrail.sources.access_users import tell_user
from meshtrail.sources.addresses import read_addresses
from meshtrail.sources.als_decisions import read_metadata
from meshtrail.sources.als_decode import http_decoder, tcp_decoder
from meshtrail.sources.als_schema import ADDRESSES
from meshtrail.sources.als_users import read_users
from meshtrail.sources.attribute_values import mend_texts
from meshtrail.sources.columns import (
    Entries,
    field,
    integer,
    map_distinct,
    mask_null,
    period_ns,
    read_distinct,
    spread,
    text,
    without,
)
from meshtrail.sources.custom_tags import map_tags, read_custom_tags
from meshtrail.sources.envoy_messages import FlagFacts, TlsFacts, read_flags, read_tls
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.handshakes import judge_handshakes
from meshtrail.sources.tls_failures import map_failures

if TYPE_CHECKING:
    from meshtrail.sources.streams import Reporters

_COMMON: Final = "common_properties"
_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()


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
    ends = _map_common(batch, out, reporters)
    _map_user(batch, out, ends, reporters)
    out.columns["bytes_received"] = _wire_bytes(batch, "downstream_wire_bytes_received")
    out.columns["bytes_sent"] = _wire_bytes(batch, "downstream_wire_bytes_sent")
    out.columns["tls_failure"] = map_failures(out.columns["envoy_upstream_transport_failure"])
    return out


def map_tcp(batch: pa.RecordBatch, reporters: Reporters) -> EventColumns:
    """Event columns of decoded TCP records."""
    out = EventColumns(batch.num_rows)
    ends = _map_common(batch, out, reporters)
    connection = "connection_properties"
    out.columns["bytes_received"] = integer(batch, connection, "received_bytes", to=_I64)
    out.columns["bytes_sent"] = integer(batch, connection, "sent_bytes", to=_I64)
    judge_handshakes(out, ends_tls=ends.ends_tls)
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
    columns["server_address"] = text(batch, "request", "authority")
    columns["user_agent_original"] = text(batch, "request", "user_agent")
    columns["http_request_forwarded_for"] = text(batch, "request", "forwarded_for")
    columns["http_request_body_size"] = integer(batch, "request", "request_body_bytes", to=_I64)
    columns["network_protocol_version"] = _named(
        field(batch, "protocol_version"), envoy.PROTOCOL_VERSIONS
    )
    headers = Entries(field(batch, "request", "request_headers"))
    content_type = _header(headers, "content-type", out.rows_count)
    rules.tell_path(out, text(batch, "request", "path"), content_type=content_type)


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
    rules.tell_grpc_status(
        out,
        trailer=_header(trailers, "grpc-status", out.rows_count),
        header=_header(headers, "grpc-status", out.rows_count),
    )


def _map_correlation(batch: pa.RecordBatch, out: EventColumns) -> None:
    headers = Entries(field(batch, "request", "request_headers"))
    stream_id = mend_texts(field(batch, _COMMON, "stream_id"))
    request_id = pc.coalesce(
        text(batch, "request", "request_id"), without(stream_id, pc.equal(stream_id, ""))
    )
    traced = {name: _header(headers, name, out.rows_count) for name in rules.TRACE_HEADERS}
    rules.tell_correlation(out, traced, request_id=request_id)


def _map_user(batch: pa.RecordBatch, out: EventColumns, ends: Ends, reporters: Reporters) -> None:
    metadata = field(batch, _COMMON, "metadata", "filter_metadata")
    headers = Entries(field(batch, "request", "request_headers"))
    named = [_header(headers, name, out.rows_count) for name in USER_HEADERS]
    words = read_users(metadata, named, out.rows_count)
    tell_user(out, words, own=ends.callee, reporters=reporters)


def _map_common(batch: pa.RecordBatch, out: EventColumns, reporters: Reporters) -> Ends:
    """What requests and connections have in common; returns who was at both ends."""
    _map_times(batch, out)
    ends = _map_tls(batch, out)
    _map_envoy(batch, out)
    tags = read_custom_tags(field(batch, _COMMON, "custom_tags"))
    if tags is not None:
        map_tags(out, tags)
    rules.tell_identities(ends, tags, out, reporters)
    _map_addresses(batch, out)
    rbac = read_metadata(field(batch, _COMMON, "metadata", "filter_metadata"), out.rows_count)
    rules.tell_decision(out, rbac, own=ends.callee, reporters=reporters)
    return ends


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
    rules.tell_end(out)


def _map_tls(batch: pa.RecordBatch, out: EventColumns) -> Ends:
    """What both ends' TLS facts say; returns who they are."""
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
    return Ends(
        caller=tls["caller"],
        callee=tls["callee"],
        caller_many=tls["caller_many"],
        callee_many=tls["callee_many"],
        ends_tls=tls["is_ended"],
    )


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


def _map_addresses(batch: pa.RecordBatch, out: EventColumns) -> None:
    found = read_addresses({name: field(batch, _COMMON, name) for name in ADDRESSES})
    for address in found.values():
        out.note(address.problem)
    sockets = {name: Socket(address.ip, address.port) for name, address in found.items()}
    rules.tell_addresses(
        out,
        peer=sockets["downstream_direct_remote_address"],
        local=sockets["downstream_local_address"],
        upstream=sockets["upstream_remote_address"],
        upstream_local=sockets["upstream_local_address"],
    )


def _zeros(batch: pa.RecordBatch) -> pa.Array:
    return pa.array(np.zeros(batch.num_rows, dtype=np.int64))


def _named(codes: pa.Array, names: dict[int, str]) -> pa.Array:
    """Enum numbers as names; null for 0, a number of its own where the table ends."""
    (column,) = map_distinct(codes, lambda code: (envoy.enum_name(code, names),), [_S])
    return column


def _wire_bytes(batch: pa.RecordBatch, name: str) -> pa.Array:
    return integer(batch, _COMMON, name, to=_I64)


def _header(headers: Entries, name: str, rows_count: int) -> pa.Array:
    """The value of a logged header; of equal keys the last counts, as in protobuf maps."""
    positions = headers.where(pc.equal(headers.field("key"), name))
    return spread(headers.field("value"), headers.rows, positions, rows_count)
