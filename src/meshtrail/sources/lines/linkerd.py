"""Lines of Linkerd's proxy to event columns: its access log, its policy, other log lines.

What follows from which field stands in docs/sources/linkerd.md. Row-wise reference:
``linkerd_reference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Decision, Kind, Trust
from meshtrail.sources import access_rules as rules
from meshtrail.sources.attribute_values import read_numbers, read_sockets
from meshtrail.sources.columns import map_distinct, mask_null, plain, read_distinct
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.lines import linkerd_values as values
from meshtrail.sources.lines.linkerd_lines import LinkerdLines
from meshtrail.sources.timestamps import read_times

if TYPE_CHECKING:
    from meshtrail.sources.streams import Reporters

_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
_URI: Final = (
    r"(?s)^(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*))?"
    r"(?P<path>(?:[/*?].*)?)$"
)
_IP: Final = r"^[0-9a-fA-F:.]+$"
_TRACE: Final = r"^(?:[0-9a-fA-F]{16}|[0-9a-fA-F]{32})$"


def map_linkerd(records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of lines of Linkerd's proxy.

    Args:
        records: binary[n], one line each (payload format linkerd).
        _reporters: the sender of each: a shipper of lines, which says nothing of who the proxy is.

    Cost: 8 µs for a line of the access log, 12 µs for one of the policy in text.
    """
    lines = LinkerdLines(records)
    out = EventColumns(lines.rows_count)
    how = pc.if_else(lines.is_json, Trust.REPORTED.value, Trust.ASSERTED.value)
    _map_kind(lines, out)
    _map_times(lines, out)
    _map_client(lines, how, out)
    _map_request(lines, out)
    _map_correlation(lines, out)
    _map_decision(lines, how, out)
    out.blank_refused(lines.bad)
    return out


def _map_kind(lines: LinkerdLines, out: EventColumns) -> None:
    is_request = pc.or_(
        lines.is_access, pc.fill_null(pc.equal(lines.layer, "http"), fill_value=False)
    )
    happened = pc.or_(lines.is_access, lines.is_policy)
    other = pc.if_else(lines.is_policy, Kind.CONNECTION.value, Kind.LOG_RECORD.value)
    out.columns["kind"] = pc.if_else(is_request, Kind.REQUEST.value, other)
    for name, word in (("side", "destination"), ("network_transport", "tcp")):
        out.columns[name] = pc.if_else(happened, word, pa.scalar(None, _S))


def _map_times(lines: LinkerdLines, out: EventColumns) -> None:
    """When a request came, or when the container runtime took any other line."""
    arrived, wrong = read_times(lines.access("timestamp"))
    out.problems["timestamp is not a time"] = wrong
    written = mask_null(lines.runtime_time, pc.invert(lines.is_access))
    out.columns["time"] = pc.coalesce(arrived, written)
    out.problems[values.NO_TIME] = pc.and_not(pc.is_null(written), lines.is_access)
    out.columns["response_start_duration"] = _number(lines, "total_ns", out, to=_I64)


def _map_client(lines: LinkerdLines, how: pa.Array, out: EventColumns) -> None:
    """Who called: its address, and the name in its certificate."""
    columns = out.columns
    address = pc.coalesce(lines.access("client.addr"), lines.policy("client.ip"))
    ip, port = read_sockets(address)
    only_ip = mask_null(address, pc.match_substring_regex(address, _IP))
    columns["src_ip"] = pc.coalesce(ip, mask_null(only_ip, lines.is_policy))
    columns["src_port"] = port
    unread = pc.and_(pc.is_valid(address), pc.is_null(columns["src_ip"]))
    out.problems["address of the client cannot be read"] = unread
    tls = read_distinct(lines.policy("client.tls"), values.read_tls, values.TlsFacts)
    out.problems["TLS of the client cannot be read"] = tls["is_wrong"]
    name = pc.coalesce(lines.access("client.id"), plain(tls["client_id"]))
    client = read_distinct(name, values.read_client, values.ClientFacts)
    out.problems["name of the client is no identity"] = client["is_unknown"]
    columns["src_spiffe_id"] = plain(client["spiffe_id"])
    for part in ("trust_domain", "namespace", "service_account"):
        columns[f"src_{part}"] = client[part]
    has_id = pc.is_valid(columns["src_spiffe_id"])
    columns["src_spiffe_id_trust"] = mask_null(how, has_id)
    is_named = pc.and_not(pc.is_valid(columns["src_trust_domain"].indices), has_id)
    columns["src_workload_trust"] = mask_null(how, is_named)


def _map_request(lines: LinkerdLines, out: EventColumns) -> None:
    columns = out.columns
    columns["http_request_method"] = pc.dictionary_encode(lines.access("method"))
    (version,) = map_distinct(
        lines.access("version"), lambda text: (values.read_version(text),), [_S]
    )
    columns["network_protocol_version"] = version
    uri = lines.access("uri")
    parts = pc.extract_regex(uri, _URI)
    columns["url_scheme"] = _filled(parts, "scheme")
    # A request of CONNECT names no path but whom it wants to reach.
    authority = pc.coalesce(_filled(parts, "authority"), mask_null(uri, pc.is_null(parts)))
    columns["server_address"] = pc.coalesce(lines.access("host"), authority)
    rules.tell_path(out, _filled(parts, "path"), content_type=pa.nulls(lines.rows_count, _S))
    columns["user_agent_original"] = lines.access("user_agent")
    columns["http_response_status_code"] = _number(lines, "status", out, to=_I32)
    for body in ("request", "response"):
        size = _number(lines, f"{body}_bytes", out, to=_I64)
        columns[f"http_{body}_body_size"] = size


def _map_correlation(lines: LinkerdLines, out: EventColumns) -> None:
    """The first of three headers that the request has; which of them, only its shape tells."""
    text = lines.access("trace_id")
    is_trace = pc.fill_null(pc.match_substring_regex(text, _TRACE), fill_value=False)
    headers = dict.fromkeys(rules.TRACE_HEADERS, pa.nulls(lines.rows_count, _S))
    headers["x-b3-traceid"] = mask_null(text, is_trace)
    rules.tell_correlation(out, headers, request_id=mask_null(text, pc.invert(is_trace)))


def _map_decision(lines: LinkerdLines, how: pa.Array, out: EventColumns) -> None:
    """What the policy said. Of a request in the access log it is unknown."""
    columns = out.columns
    verdict = {
        name: plain(column)
        for name, column in read_distinct(
            lines.message, values.read_verdict, values.Verdict
        ).items()
    }
    decision = pc.coalesce(
        verdict["decision"],
        pc.if_else(lines.is_access, Decision.UNKNOWN.value, pa.scalar(None, _S)),
    )
    columns["decision"] = decision
    columns["decision_trust"] = mask_null(how, lines.is_policy)
    columns["decision_reason"] = verdict["reason"]
    columns["dry_run_decision"] = verdict["dry_run"]
    audited = pc.is_valid(verdict["dry_run"])
    server = lines.policy("server.name")
    columns["dry_run_policy"] = mask_null(server, audited)
    name = pc.if_else(audited, lines.policy("authz.name"), server)
    columns["policy_name"] = pc.dictionary_encode(name)
    columns["policy_kind"] = pc.if_else(
        audited, lines.policy("authz.kind"), lines.policy("server.kind")
    )
    route = pc.binary_join_element_wise(lines.policy("route.kind"), lines.policy("route.name"), "/")
    columns["policy_rule"] = pc.dictionary_encode(route)
    port, _ = read_numbers(lines.port, to=_I32)
    columns["dst_port"] = port


def _number(lines: LinkerdLines, name: str, out: EventColumns, *, to: pa.DataType) -> pa.Array:
    numbers, wrong = read_numbers(lines.access(name), to=to)
    out.problems[f"{name} is not a number"] = wrong
    return numbers


def _filled(parts: pa.Array, name: str) -> pa.Array:
    """A part of a text, null where it is empty."""
    column = pc.struct_field(parts, name)
    return mask_null(column, pc.not_equal(column, ""))
