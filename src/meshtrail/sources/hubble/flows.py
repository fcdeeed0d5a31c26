"""Flows of Hubble to event columns: connections and datagrams, requests over HTTP, DNS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Kind
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_rules import TRACE_HEADERS, tell_correlation, tell_path
from meshtrail.sources.attribute_values import read_numbers
from meshtrail.sources.columns import (
    Entries,
    decode_hex,
    map_distinct,
    mask_null,
    plain,
    read_distinct,
    spread,
)
from meshtrail.sources.hubble.flow_decisions import tell_decisions
from meshtrail.sources.hubble.flow_ends import tell_ends
from meshtrail.sources.hubble.json_objects import JsonObjects
from meshtrail.sources.hubble.values import (
    DROP_REASONS,
    EVENT_ACCESS_LOG,
    FLOW_TYPES,
    L7_TYPES,
    TRUTHS,
    TYPE_L7,
    VERDICTS,
    DnsFacts,
    keep_json,
    read_dns,
)
from meshtrail.sources.timestamps import read_times

if TYPE_CHECKING:
    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.hubble.lines import HubbleLines

HTTP_MEMBERS: Final = ("code", "method", "url", "protocol")
"""By these a flow is a request."""
HEADERS: Final = (
    *(*TRACE_HEADERS, "x-request-id", "user-agent"),
    *("x-forwarded-for", "content-type"),
)
TRACE_ID: Final = "x" * 32
URL: Final = (
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://(?:[^/?#@]*@)?(?P<host>[^/?#@]*))?(?P<path>.*)"
)
"""What Hubble says of a request's target, as a regular expression; names in it are left out."""
STATUS_MAX: Final = 999
DETAILS: Final = {
    "event_type": ("event_type", "type"),
    "event_sub_type": ("event_type", "sub_type"),
    "observation_point": ("trace_observation_point",),
    "policy_match_type": ("policy_match_type",),
    "auth_type": ("auth_type",),
}
"""What is told as it stands."""
KEPT: Final = {
    "src_names": ("source_names",),
    "dst_names": ("destination_names",),
    "icmp": ("l4", "ICMPv4"),
    "icmpv6": ("l4", "ICMPv6"),
    "policy_log": ("policy_log",),
    "kafka": ("l7", "kafka"),
}
"""What is told as the JSON that it is."""
_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()


def tell_flows(out: EventColumns, lines: HubbleLines) -> None:
    """Fill the columns of flows; other lines stay null.

    Args:
        out: what to fill.
        lines: of Hubble.
    """
    detail = JsonObjects()
    verdict = lines.enum(VERDICTS, "verdict")
    reason = pc.coalesce(
        lines.enum(DROP_REASONS, "drop_reason_desc"),
        lines.enum(DROP_REASONS, "drop_reason"),
    )
    flow_type = lines.enum(FLOW_TYPES, "Type")
    l7_type = lines.enum(L7_TYPES, "l7", "type")
    is_reply = _is_reply(lines)
    for name, column in (("verdict", verdict), ("drop_reason", reason), ("type", flow_type)):
        detail.add_text(name, column)
    detail.add_text("uuid", lines.flow("uuid"))
    for name, path in DETAILS.items():
        detail.add_text(name, lines.flow(*path))
    detail.add_text("is_reply", is_reply.cast(_S))
    is_l7 = [
        pc.equal(flow_type, TYPE_L7),
        pc.equal(lines.flow("event_type", "type"), EVENT_ACCESS_LOG),
        pc.is_valid(l7_type),
    ]
    out.columns["envoy_access_log_type"] = pc.dictionary_encode(l7_type)
    tell_ends(out, lines, is_reply=is_reply, detail=detail)
    tell_decisions(out, lines, verdict=verdict, reason=reason, is_l7=_any(*is_l7), detail=detail)
    _tell_times(out, lines)
    _tell_http(out, lines)
    _tell_dns(out, lines, detail)
    for name, path in KEPT.items():
        (kept,) = map_distinct(lines.flow(*path), lambda text: (keep_json(text),), [_S])
        detail.add_json(name, kept)
    out.columns["detail"] = mask_null(detail.column(out.rows_count), lines.is_flow)


def _is_reply(lines: HubbleLines) -> pa.Array:
    """Whether a packet goes from callee to caller: bool[n], null where that is not known."""
    told = [
        map_distinct(lines.flow(name), lambda text: (TRUTHS.get(text),), [pa.bool_()])[0]
        for name in ("is_reply", "reply")
    ]
    # The older of the two cannot tell false from absent.
    return pc.coalesce(told[0], mask_null(told[1], told[1]))


def _tell_times(out: EventColumns, lines: HubbleLines) -> None:
    """When it was, which of an answer is its end: how long it took is told, too."""
    told = mask_null(pc.coalesce(lines.flow("time"), lines.text("time")), lines.is_flow)
    time, is_wrong = read_times(told)
    out.problems["time is no time"] = is_wrong
    latency = lines.flow("l7", "latency_ns")
    duration, _ = read_numbers(latency, to=_I64)
    out.problems["latency_ns is no number"] = pc.and_(pc.is_valid(latency), pc.is_null(duration))
    duration = mask_null(duration, pc.greater(duration, 0))
    is_long = pc.fill_null(pc.greater(duration, time), fill_value=False)
    out.problems["latency_ns leads out of time"] = is_long
    start = pc.subtract(time, mask_null(duration, pc.invert(is_long)))
    lasted = pc.is_valid(duration)
    out.columns["duration"] = duration
    out.columns["time"] = pc.if_else(lasted, start, time)
    out.columns["end_time"] = mask_null(time, lasted)


def _tell_http(out: EventColumns, lines: HubbleLines) -> None:
    columns = out.columns
    members = {name: lines.flow("l7", "http", name) for name in HTTP_MEMBERS}
    is_request = _any(*(pc.is_valid(column) for column in members.values()))
    kind = pc.if_else(is_request, Kind.REQUEST.value, Kind.FLOW.value)
    columns["kind"] = mask_null(kind, lines.is_flow)
    code, _ = read_numbers(members["code"], to=_I32)
    code = mask_null(code, pc.less_equal(code, STATUS_MAX))
    out.problems["code is no status"] = pc.and_(pc.is_valid(members["code"]), pc.is_null(code))
    columns["http_response_status_code"] = mask_null(code, pc.greater(code, 0))
    columns["http_request_method"] = pc.dictionary_encode(members["method"])
    (columns["network_protocol_version"],) = map_distinct(
        members["protocol"], lambda text: (envoy.protocol_of_text(text),), [_S]
    )
    headers = _read_headers(lines)
    target = pc.extract_regex(members["url"], f"(?s)^{URL}$")
    columns["url_scheme"] = _filled(pc.struct_field(target, "scheme"))
    columns["server_address"] = _filled(pc.struct_field(target, "host"))
    # An answer's headers stand among those of its request: whose its content type is, nobody says.
    is_asked = pc.equal(plain(columns["envoy_access_log_type"]), "REQUEST")
    tell_path(
        out,
        _filled(pc.struct_field(target, "path")),
        content_type=mask_null(headers["content-type"], is_asked),
    )
    columns["user_agent_original"] = headers["user-agent"]
    columns["http_request_forwarded_for"] = headers["x-forwarded-for"]
    trace_id, _ = decode_hex(
        pc.ascii_lower(lines.flow("trace_context", "parent", "trace_id")), TRACE_ID
    )
    trace_id = mask_null(trace_id, pc.not_equal(trace_id, pa.scalar(bytes(16), pa.binary(16))))
    tell_correlation(
        out,
        headers,
        request_id=headers["x-request-id"],
        beside=(trace_id, pa.nulls(out.rows_count, pa.binary(8))),
    )


def _read_headers(lines: HubbleLines) -> dict[str, pa.Array]:
    """The headers that matter, of several of one name the last; names in any case."""
    entries = Entries(lines.headers())
    names, values = pc.ascii_lower(entries.field("key").cast(_S)), entries.field("value")
    has_value = pc.not_equal(values, "")
    return {
        name: spread(
            values.cast(_S),
            entries.rows,
            entries.where(pc.and_(pc.equal(names, name), has_value)),
            len(lines.is_flow),
        )
        for name in HEADERS
    }


def _tell_dns(out: EventColumns, lines: HubbleLines, detail: JsonObjects) -> None:
    facts = read_distinct(lines.flow("l7", "dns"), read_dns, DnsFacts)
    out.columns["dns_question_name"] = plain(facts["question"])
    detail.add_json("dns", facts["json"])


def _filled(column: pa.Array) -> pa.Array:
    return mask_null(column, pc.not_equal(column, ""))


def _any(*masks: pa.Array) -> pa.Array:
    told = [np.asarray(pc.fill_null(mask, fill_value=False)) for mask in masks]
    return pa.array(np.logical_or.reduce(told))
