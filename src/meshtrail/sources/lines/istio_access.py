"""Event columns of Istio's access log, whatever it is written in: the same facts in JSON and text.

What follows from the facts is in ``access_rules``, as for records of Envoy's access log service. In
words: docs/sources/istio-json.md. Row-wise reference: ``istio_reference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Kind, Trust
from meshtrail.sources import access_rules as rules
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_decisions import RbacWords
from meshtrail.sources.access_rules import Ends, Socket
from meshtrail.sources.attribute_values import read_numbers, read_sockets
from meshtrail.sources.columns import (
    labelled,
    map_distinct,
    mask_null,
    plain,
    read_distinct,
    without,
)
from meshtrail.sources.envoy_messages import RbacFacts
from meshtrail.sources.handshakes import judge_handshakes
from meshtrail.sources.lines.istio_names import ClusterFacts, read_cluster, read_server_name
from meshtrail.sources.streams import unknown_reporters
from meshtrail.sources.timestamps import read_times
from meshtrail.sources.tls_failures import map_failures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.sources.event_columns import EventColumns

KEYS: Final = (
    *("start_time", "method", "path", "protocol", "response_code", "response_flags"),
    *("response_code_details", "connection_termination_details"),
    *("upstream_transport_failure_reason", "bytes_received", "bytes_sent", "duration"),
    *("upstream_service_time", "x_forwarded_for", "user_agent", "request_id", "authority"),
    *("upstream_host", "upstream_cluster", "upstream_local_address", "downstream_local_address"),
    *("downstream_remote_address", "requested_server_name", "route_name"),
)
"""Istio's keys, in the order of its text format."""

TRANSPORT_FAILURE: Final = "downstream_transport_failure_reason"
"""A key that Istio does not write, and people add: without it failed handshakes do not show."""

NO_ACCESS_LOG: Final = "no line of Istio's access log"
FROM_HEADER: Final = 0
"""The port of an address that Envoy took from x-forwarded-for."""
INTERNAL: Final = r"^envoy://[^/]*/"
"""Stands before the address of an endpoint that is reached through Envoy itself."""
MILLISECOND_NS: Final = 10**6
DURATION_MS_MAX: Final = (2**63 - 1) // MILLISECOND_NS

_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
_COPIED: Final = {
    "envoy_response_code_details": "response_code_details",
    "envoy_connection_termination_details": "connection_termination_details",
    "envoy_upstream_transport_failure": "upstream_transport_failure_reason",
    "envoy_downstream_transport_failure": TRANSPORT_FAILURE,
    "envoy_upstream_cluster": "upstream_cluster",
    "envoy_route_name": "route_name",
    "http_request_forwarded_for": "x_forwarded_for",
    "user_agent_original": "user_agent",
    "server_address": "authority",
}


def map_istio_access(said: Mapping[str, pa.Array], out: EventColumns, *, how: Trust) -> None:
    """Fill the columns of access log records.

    Args:
        said: string[n] for each of ``KEYS`` and ``TRANSPORT_FAILURE``; null where nothing is said.
        out: what to fill.
        how: what the format's word is worth at most.
    """
    senders = unknown_reporters(out.rows_count)
    is_request = _is_request(said)
    _map_times(said, out)
    for name, key in _COPIED.items():
        out.columns[name] = said[key]
    _map_request(said, out)
    _map_sizes(said, out, is_request)
    cluster = read_distinct(said["upstream_cluster"], read_cluster, ClusterFacts)
    nobody = pa.nulls(out.rows_count, _S)
    nothing = pa.array(np.zeros(out.rows_count, dtype=np.bool_))
    ends = Ends(nobody, nobody, nothing, nothing, pc.is_valid(said[TRANSPORT_FAILURE]))
    rules.tell_identities(ends, None, out, senders, side=plain(cluster["side"]))
    _map_service(said, out, plain(cluster["service"]), how=how)
    _map_addresses(said, out, cluster["is_waypoint"])
    rules.tell_decision(out, _no_words(out.rows_count), own=nobody, reporters=senders)
    is_told = pc.is_valid(out.columns["decision_trust"])
    out.columns["decision_trust"] = labelled(is_told, how.value)
    _map_kind(out, is_request, ends.ends_tls)


def _is_request(said: Mapping[str, pa.Array]) -> pa.Array:
    """Of a request there is a method, a path, a protocol or a status: of a connection none."""
    named = [pc.is_valid(said[key]) for key in ("method", "path", "protocol")]
    status = pc.fill_null(pc.not_equal(said["response_code"], "0"), fill_value=False)
    return pc.or_(pc.or_(named[0], named[1]), pc.or_(named[2], status))


def _map_times(said: Mapping[str, pa.Array], out: EventColumns) -> None:
    times, wrong = read_times(said["start_time"])
    out.columns["time"] = times
    out.problems["start_time is not a time"] = wrong
    duration = _number(said, "duration", out, to=_I64)
    duration = without(duration, pc.greater(duration, DURATION_MS_MAX))
    out.columns["duration"] = pc.multiply(duration, MILLISECOND_NS)
    rules.tell_end(out)


def _map_request(said: Mapping[str, pa.Array], out: EventColumns) -> None:
    columns = out.columns
    columns["http_request_method"] = pc.dictionary_encode(said["method"])
    columns["tls_server_name"] = pc.dictionary_encode(said["requested_server_name"])
    (columns["network_protocol_version"],) = map_distinct(
        said["protocol"], lambda text: (envoy.protocol_of_text(text),), [_S]
    )
    (columns["envoy_response_flags"],) = map_distinct(
        said["response_flags"], lambda text: (envoy.flags_of_text(text),), [_S]
    )
    status = _number(said, "response_code", out, to=_I32)
    columns["http_response_status_code"] = without(status, pc.equal(status, 0))
    unlogged = pa.nulls(out.rows_count, _S)
    rules.tell_path(out, said["path"], content_type=unlogged)
    headers = dict.fromkeys(rules.TRACE_HEADERS, unlogged)
    rules.tell_correlation(out, headers, request_id=said["request_id"])


def _map_sizes(said: Mapping[str, pa.Array], out: EventColumns, is_request: pa.Array) -> None:
    for end, body in (("received", "request"), ("sent", "response")):
        size = _number(said, f"bytes_{end}", out, to=_I64)
        out.columns[f"http_{body}_body_size"] = mask_null(size, is_request)
        out.columns[f"bytes_{end}"] = mask_null(size, pc.invert(is_request))


def _map_service(
    said: Mapping[str, pa.Array], out: EventColumns, service: pa.Array, *, how: Trust
) -> None:
    """Which service was called: by the proxy's own configuration, else by the caller's SNI."""
    columns = out.columns
    (asked,) = map_distinct(
        said["requested_server_name"], lambda name: (read_server_name(name),), [_S]
    )
    asked = mask_null(plain(asked), pc.equal(columns["side"], "destination"))
    columns["dst_service"] = pc.coalesce(service, asked)
    trust = pc.if_else(pc.is_valid(service), how.value, Trust.ASSERTED.value)
    columns["dst_workload_trust"] = mask_null(trust, pc.is_valid(columns["dst_service"]))


def _map_addresses(said: Mapping[str, pa.Array], out: EventColumns, is_waypoint: pa.Array) -> None:
    def socket(key: str) -> Socket:
        return Socket(*read_sockets(said[key]))

    def where(keep: pa.Array, one: Socket) -> Socket:
        return Socket(mask_null(one.ip, keep), mask_null(one.port, keep))

    host = Socket(*read_sockets(pc.replace_substring_regex(said["upstream_host"], INTERNAL, "")))
    local = socket("downstream_local_address")
    # A waypoint stands before the callee, whose own address is that of the endpoint.
    behind = where(is_waypoint, host)
    is_behind = pc.is_valid(behind.ip)
    local = Socket(
        pc.if_else(is_behind, behind.ip, local.ip), pc.if_else(is_behind, behind.port, local.port)
    )
    peer = socket("downstream_remote_address")
    rules.tell_addresses(
        out,
        # Without a port it is what a header says, and the physical peer is in no line.
        peer=where(pc.not_equal(peer.port, FROM_HEADER), peer),
        local=local,
        upstream=host,
        upstream_local=socket("upstream_local_address"),
    )


def _map_kind(out: EventColumns, is_request: pa.Array, ends_tls: pa.Array) -> None:
    columns = out.columns
    columns["envoy_access_log_type"] = pa.nulls(out.rows_count, _S)
    judge_handshakes(out, ends_tls=ends_tls)
    of_upstream = plain(map_failures(columns["envoy_upstream_transport_failure"]))
    failure = pc.if_else(is_request, of_upstream, plain(columns["tls_failure"]))
    columns["tls_failure"] = pc.dictionary_encode(failure)
    columns["kind"] = pc.if_else(is_request, Kind.REQUEST.value, columns["kind"])


def _number(
    said: Mapping[str, pa.Array], key: str, out: EventColumns, *, to: pa.DataType
) -> pa.Array:
    number, wrong = read_numbers(said[key], to=to)
    out.problems[f"{key} is not a number"] = wrong
    return number


def _no_words(rows_count: int) -> RbacWords:
    """RBAC filters write nothing into these lines: only their refusals are in them."""
    facts = {name: pa.nulls(0, _S) for name in RbacFacts._fields}
    return RbacWords(facts, np.zeros(0, dtype=np.int64), rows_count)
