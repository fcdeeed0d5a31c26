"""What follows from an access log record, whatever it is written in: rules over columns of facts.

Each format reads its facts and hands them to these, so that the same record of an access log
service and of an OTLP exporter becomes the same event. The rules in words: docs/formats/event.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Decision, Trust
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_decisions import RbacWords, decide
from meshtrail.sources.columns import decode_hex, labelled, map_distinct, mask_null, plain
from meshtrail.sources.custom_tags import map_upstream
from meshtrail.sources.trace_context import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.sources.custom_tags import CustomTags
    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.streams import Reporters

TRACE_HEADERS: Final = ("traceparent", "b3", "x-b3-traceid", "x-b3-spanid")
UUID_TEMPLATE: Final = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
_GRPC: Final = "application/grpc"
_STATUS_DIGITS_MAX: Final = 3


class Ends(NamedTuple):
    """Who was at both ends of a connection, by their certificates.

    Attributes:
        caller: string[n], the one URI SAN of the caller's certificate.
        callee: string[n], the one URI SAN of the proxy's own.
        caller_many: bool[n], whether the caller's has several.
        callee_many: bool[n], whether the proxy's own has.
        ends_tls: bool[n], whether the proxy ends the caller's TLS, or would have.
    """

    caller: pa.Array
    callee: pa.Array
    caller_many: pa.Array
    callee_many: pa.Array
    ends_tls: pa.Array


class Socket(NamedTuple):
    """One of the addresses of some records: string[n] and int32[n], null where ``ip`` is."""

    ip: pa.Array
    port: pa.Array


def tell_end(out: EventColumns) -> None:
    """``end_time``, from ``time`` and ``duration``."""
    end, overflow = _add_saturated(out.columns["time"], out.columns["duration"])
    out.columns["end_time"] = end
    out.problems["end of the happening does not fit"] = overflow


def tell_path(out: EventColumns, path: pa.Array, *, content_type: pa.Array) -> None:
    """``url_path``, ``url_query``, ``rpc_method``, from the path with its query: string[n]."""
    columns = out.columns
    columns["url_path"], columns["url_query"] = _split_path(path)
    columns["http_request_content_type"] = content_type
    is_grpc = pc.starts_with(content_type, _GRPC)
    method = pc.utf8_slice_codeunits(columns["url_path"], 1)
    columns["rpc_method"] = mask_null(method, pc.fill_null(is_grpc, fill_value=False))


def tell_grpc_status(out: EventColumns, *, trailer: pa.Array, header: pa.Array) -> None:
    """``rpc_grpc_status_code``: in the trailers, or in the headers of an answer without a body."""
    (out.columns["rpc_grpc_status_code"],) = map_distinct(
        pc.coalesce(trailer, header), lambda value: (_small_number(value),), [_I32]
    )


def tell_correlation(
    out: EventColumns,
    headers: Mapping[str, pa.Array],
    *,
    request_id: pa.Array,
    beside: tuple[pa.Array, pa.Array] | None = None,
) -> None:
    """Ids that anyone in the mesh can set: a hint for joining, never a proof.

    Args:
        out: what to fill.
        headers: string[n] for each of ``TRACE_HEADERS``.
        request_id: string[n].
        beside: trace and span ids that count where no header has any, binary(16)[n], binary(8)[n].
    """
    trace, span = read_trace(headers)
    if beside is not None:
        span = pc.if_else(pc.is_valid(trace), span, beside[1])
        trace = pc.coalesce(trace, beside[0])
    out.columns["trace_id"], out.columns["span_id"] = trace, span
    out.columns["request_id"], is_uuid = decode_hex(request_id, UUID_TEMPLATE)
    out.columns["request_id_text"] = mask_null(request_id, ~is_uuid)
    out.trust("trace_id", Trust.ASSERTED)
    out.columns["request_id_trust"] = labelled(pc.is_valid(request_id), Trust.ASSERTED.value)


def tell_identities(
    ends: Ends,
    tags: CustomTags | None,
    out: EventColumns,
    reporters: Reporters,
    *,
    side: pa.Array | None = None,
) -> None:
    """Both ends from certificates, and how far each can be held to someone.

    Args:
        ends: by their certificates.
        tags: what Envoy tells in custom tags, if any record has some.
        out: what to fill.
        reporters: who sent each record.
        side: string[n], which end reports, of a format that does not tell of certificates; by
            default it follows from them.
    """
    columns = out.columns
    caller, callee = plain(ends.caller), plain(ends.callee)
    out.problems["peer certificate with several URI SANs"] = ends.caller_many
    out.problems["local certificate with several URI SANs"] = ends.callee_many
    if side is None:
        side = _sides(columns["envoy_upstream_cluster"], pc.is_valid(caller), ends.ends_tls)
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


def tell_addresses(
    out: EventColumns, *, peer: Socket, local: Socket, upstream: Socket, upstream_local: Socket
) -> None:
    """The physical peer, never what a header says of it.

    Args:
        out: what to fill; ``side`` is there.
        peer: who connected to the proxy.
        local: where it connected to.
        upstream: whom the proxy connected to.
        upstream_local: where it connected from.
    """
    columns = out.columns
    columns["src_ip"], columns["src_port"] = peer.ip, peer.port
    is_source = pc.fill_null(pc.equal(columns["side"], "source"), fill_value=False)
    columns["dst_ip"] = pc.if_else(is_source, upstream.ip, local.ip)
    columns["dst_port"] = pc.if_else(is_source, upstream.port, local.port)
    columns["envoy_upstream_local_ip"] = upstream_local.ip
    columns["envoy_upstream_local_port"] = upstream_local.port


def tell_decision(
    out: EventColumns, rbac: RbacWords, *, own: pa.Array, reporters: Reporters
) -> None:
    """What policies decided, by their own word or the details strings that are in ``out``.

    Args:
        out: what to fill.
        rbac: what RBAC filters wrote.
        own: string[n], the SPIFFE ID of the certificate that the proxy showed its caller.
        reporters: who sent each record.
    """
    decided = decide(
        rbac,
        details=out.columns.get("envoy_response_code_details", pa.nulls(out.rows_count, _S)),
        termination=out.columns["envoy_connection_termination_details"],
    )
    out.columns.update(decided.columns())
    out.refuse(decided.problem)
    said = pc.not_equal(out.columns["decision"], Decision.UNKNOWN.value)
    held = reporters.held_to(plain(own), absent_is_held=True)
    how = pc.if_else(held, Trust.ATTESTED.value, Trust.REPORTED.value)
    out.columns["decision_trust"] = mask_null(how, said)


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
