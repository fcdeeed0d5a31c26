"""OTLP log records to event columns: Envoy's OpenTelemetry access log, and any other log record.

Here the facts are read; what follows from them is in ``access_rules``, as for records of Envoy's
access log service. In words: docs/formats/event.md, "How OTLP log records become events". Row-wise
reference: ``meshtrail.sources.otlp_reference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model import otlp_attributes as known
from meshtrail.model.event import Kind
from meshtrail.sources import access_rules as rules
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_decisions import RbacWords
from meshtrail.sources.access_rules import Ends, Socket
from meshtrail.sources.attribute_values import read_ids, read_sockets
from meshtrail.sources.columns import (
    decode_hex,
    map_distinct,
    mask_null,
    plain,
    read_distinct,
    without,
)
from meshtrail.sources.custom_tags import CustomTags, map_tags, read_upstream_name
from meshtrail.sources.envoy_messages import RbacFacts, read_rbac_json
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.handshakes import judge_handshakes
from meshtrail.sources.otlp_log_records import LogRecords
from meshtrail.sources.tls_failures import map_failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.sources.streams import Reporters

_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
_SHA256: Final = "x" * 64
_NOT_SET: Final = "NotSet"
_HEADER: Final = "http.request.header."


def map_otlp_logs(records: pa.Array, reporters: Reporters) -> EventColumns:
    """Event columns of log records.

    Args:
        records: binary[n], exports of one log record each (payload format otlp-log).
        reporters: the sender of each.
    """
    logs = LogRecords(records)
    out = EventColumns(logs.rows_count)
    _map_times(logs, out)
    _map_envoy(logs, out)
    _map_tls(logs, out)
    _map_request(logs, out)
    _map_response(logs, out)
    _map_sizes(logs, out)
    _map_correlation(logs, out)
    ends, tags = _read_ends(logs), _read_tags(logs, out)
    map_tags(out, tags)
    rules.tell_identities(ends, tags, out, reporters)
    _map_addresses(logs, out)
    rules.tell_decision(out, _read_rbac(logs), own=ends.callee, reporters=reporters)
    # That nothing is known of a decision is said of requests and connections alone.
    out.columns["decision"] = mask_null(out.columns["decision"], logs.is_envoy)
    _map_kind(logs, ends, out)
    out.blank_refused(logs.bad)
    return out


def _map_times(logs: LogRecords, out: EventColumns) -> None:
    columns = out.columns
    moment = pc.struct_field(logs.fields, "time_unix_nano")
    fits = pc.less_equal(moment, pa.scalar(2**63 - 1, pa.uint64()))
    out.problems["time_unix_nano is not a time"] = pc.invert(pc.fill_null(fits, fill_value=True))
    moment = mask_null(moment, fits).cast(_I64)
    columns["time"] = without(moment, pc.equal(moment, 0))
    columns["duration"] = logs.duration("envoy.duration", out)
    for name in ("request_duration", "response_start_duration"):
        columns[name] = logs.number(f"envoy.{name}", out, to=_I64)
    rules.tell_end(out)


def _map_envoy(logs: LogRecords, out: EventColumns) -> None:
    columns = out.columns
    columns["envoy_access_log_type"] = _of_distinct(
        logs.text(known.ACCESS_LOG_TYPE), lambda name: None if name == _NOT_SET else name
    )
    columns["envoy_response_flags"] = _of_distinct(
        logs.text("envoy.response_flags"), envoy.flags_of_text
    )
    for name in (
        "connection_termination_details",
        "response_code_details",
        "upstream_cluster",
        "route_name",
        "upstream_transport_failure",
        "downstream_transport_failure",
    ):
        columns[f"envoy_{name}"] = logs.text(f"envoy.{name}")
    columns["envoy_attempt_count"] = logs.number(
        "envoy.attempt_count", out, to=_I32, zero_is_null=True
    )


def _map_tls(logs: LogRecords, out: EventColumns) -> None:
    columns = out.columns
    version = _of_distinct(logs.text("envoy.tls_version"), envoy.tls_version_of_text)
    cipher = logs.text("envoy.tls_cipher")
    implied = _of_distinct(cipher, envoy.tls_version_of_cipher)
    agreed = pc.coalesce(plain(implied), mask_null(plain(version), pc.is_valid(cipher)))
    columns["tls_protocol_version"] = pc.dictionary_encode(agreed)
    columns["tls_cipher"] = _of_distinct(cipher, envoy.cipher_of_text)
    for name, source in (
        ("tls_server_name", "envoy.tls_server_name"),
        ("tls_client_ja3", "envoy.tls_ja3"),
        ("tls_client_subject", "envoy.peer_subject"),
        ("tls_client_issuer", "envoy.peer_issuer"),
    ):
        columns[name] = pc.dictionary_encode(logs.text(source))


def _map_request(logs: LogRecords, out: EventColumns) -> None:
    columns = out.columns
    columns["http_request_method"] = pc.dictionary_encode(logs.text("http.request.method"))
    columns["url_scheme"] = logs.text("url.scheme")
    columns["server_address"] = logs.text("server.address")
    columns["user_agent_original"] = logs.text("user_agent.original")
    columns["http_request_forwarded_for"] = logs.text(f"{_HEADER}x-forwarded-for")
    columns["network_protocol_version"] = _of_distinct(
        logs.text("envoy.protocol"), envoy.protocol_of_text
    )
    content_type = logs.text(f"{_HEADER}content-type")
    rules.tell_path(out, logs.text("envoy.request_path"), content_type=content_type)


def _map_response(logs: LogRecords, out: EventColumns) -> None:
    columns = out.columns
    columns["http_response_status_code"] = logs.number(
        "http.response.status_code", out, to=_I32, zero_is_null=True
    )
    columns["http_response_content_type"] = logs.text("http.response.header.content-type")
    rules.tell_grpc_status(
        out,
        trailer=logs.text("envoy.response_trailer.grpc-status"),
        header=logs.text("http.response.header.grpc-status"),
    )


def _map_sizes(logs: LogRecords, out: EventColumns) -> None:
    """Bodies and the wire of a request; what one operator calls a body is all of a connection."""
    is_request = pa.array(logs.is_request)
    for end, body in (("received", "request"), ("sent", "response")):
        size = logs.number(f"envoy.bytes_{end}", out, to=_I64)
        on_wire = logs.number(f"envoy.wire_bytes_{end}", out, to=_I64)
        out.columns[f"http_{body}_body_size"] = mask_null(size, is_request)
        out.columns[f"bytes_{end}"] = pc.if_else(is_request, on_wire, size)


def _map_correlation(logs: LogRecords, out: EventColumns) -> None:
    request_id = pc.coalesce(logs.text(f"{_HEADER}x-request-id"), logs.text("envoy.stream_id"))
    trace = read_ids(pc.struct_field(logs.fields, "trace_id"), width=16)
    span = read_ids(pc.struct_field(logs.fields, "span_id"), width=8)
    span = mask_null(span, pc.is_valid(trace))
    headers = {name: logs.text(f"{_HEADER}{name}") for name in rules.TRACE_HEADERS}
    rules.tell_correlation(out, headers, request_id=request_id, beside=(trace, span))


def _read_ends(logs: LogRecords) -> Ends:
    found = []
    for whose in ("peer", "local"):
        only, is_many = map_distinct(
            logs.text(f"envoy.{whose}_uri_san"), envoy.uris_of_text, [_S, pa.bool_()]
        )
        found.append((only, pc.fill_null(is_many, fill_value=False)))
    (caller, caller_many), (callee, callee_many) = found
    ends_tls = pc.is_valid(logs.text("envoy.tls_version"))
    return Ends(caller, callee, caller_many, callee_many, ends_tls)


def _read_tags(logs: LogRecords, out: EventColumns) -> CustomTags:
    """What the access log service tells in custom tags."""
    names = logs.text("envoy.upstream_peer_uri_san")
    uri, has_many = map_distinct(
        names, lambda text: read_upstream_name((text or "").encode()), [_S, pa.bool_()]
    )
    client_hash, _ = decode_hex(logs.text("envoy.peer_certificate_sha256"), _SHA256)
    return CustomTags(
        connection_id=logs.number("envoy.connection_id", out, to=_I64, zero_is_null=True),
        client_hash=client_hash,
        upstream_uri=plain(uri),
        upstream_has_many=pc.fill_null(has_many, fill_value=False),
    )


def _map_addresses(logs: LogRecords, out: EventColumns) -> None:
    def socket(name: str) -> Socket:
        ip = logs.text(f"{name}address")
        port = logs.number(f"{name}port", out, to=_I32)
        # The address of a pipe is its path, and it has no port.
        return Socket(mask_null(ip, pc.is_valid(port)), mask_null(port, pc.is_valid(ip)))

    rules.tell_addresses(
        out,
        peer=socket("network.peer."),
        local=socket("network.local."),
        upstream=Socket(*read_sockets(logs.text("envoy.upstream_host"))),
        upstream_local=socket("envoy.upstream_local_"),
    )


def _read_rbac(logs: LogRecords) -> RbacWords:
    """What the RBAC filter of requests wrote, then that of connections."""
    written = [logs.text(key) for key in (known.RBAC_HTTP, known.RBAC_NETWORK)]
    rows = [np.flatnonzero(np.asarray(pc.is_valid(text))) for text in written]
    texts = pa.concat_arrays(
        [text.take(pa.array(row)) for text, row in zip(written, rows, strict=True)]
    )
    facts = {
        name: plain(column)
        for name, column in read_distinct(texts, read_rbac_json, RbacFacts).items()
    }
    return RbacWords(facts, np.concatenate(rows), logs.rows_count)


def _map_kind(logs: LogRecords, ends: Ends, out: EventColumns) -> None:
    """Kind, and what a handshake that failed is of: all of a connection, not of a request."""
    columns, is_request = out.columns, pa.array(logs.is_request)
    caller_trust = columns["src_spiffe_id_trust"]
    judge_handshakes(out, ends_tls=ends.ends_tls)
    columns["src_spiffe_id_trust"] = pc.if_else(
        is_request, caller_trust, columns["src_spiffe_id_trust"]
    )
    of_upstream = plain(map_failures(columns["envoy_upstream_transport_failure"]))
    failure = pc.if_else(is_request, of_upstream, plain(columns["tls_failure"]))
    columns["tls_failure"] = pc.dictionary_encode(failure)
    kind = pc.if_else(is_request, Kind.REQUEST.value, columns["kind"])
    columns["kind"] = pc.if_else(pa.array(logs.is_envoy), kind, Kind.LOG_RECORD.value)


def _of_distinct(column: pa.Array, read: Callable[[str | None], str | None]) -> pa.Array:
    """What each text means, each distinct one read once, ``coded``."""
    (meant,) = map_distinct(column, lambda value: (read(value),), [_S])
    return meant
