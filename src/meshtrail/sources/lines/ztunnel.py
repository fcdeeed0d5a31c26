"""Lines of ztunnel, in text or in JSON, to event columns: connections, refusals, other log lines.

What follows from which field stands in docs/sources/ztunnel.md. Row-wise reference:
``ztunnel_reference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Decision, Kind, Trust
from meshtrail.sources.attribute_values import read_numbers, read_sockets
from meshtrail.sources.columns import labelled, map_distinct, mask_null, plain, read_distinct
from meshtrail.sources.envoy_values import split_spiffe_id
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.json_columns import TEXT
from meshtrail.sources.lines import ztunnel_values as values
from meshtrail.sources.lines.json_or_text import JsonOrText
from meshtrail.sources.lines.key_values import KeyValues
from meshtrail.sources.lines.ztunnel_errors import ErrorFacts, read_error
from meshtrail.sources.timestamps import read_times

if TYPE_CHECKING:
    from meshtrail.sources.json_columns import Structure
    from meshtrail.sources.streams import Reporters

_S: Final = pa.string()
_I64: Final = pa.int64()
_HEAD: Final = ("time", "scope", "message")
_STRUCTURE: Final[dict[str, Structure]] = dict.fromkeys((*_HEAD, *values.FIELDS), TEXT)
_TEXT_LINE: Final = (
    r"(?s)^(?P<time>[0-9T:.Z+-]{20,40})\t[a-z]+\t(?P<scope>[^\t]*)"
    r"(?:\t(?P<message>[^\t]*)(?:\t(?P<fields>.*))?)?$"
)
_SOURCE, _DESTINATION = "source", "destination"


def map_ztunnel(records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of ztunnel's lines.

    Args:
        records: binary[n], one line each (payload format ztunnel).
        _reporters: the sender of each: a shipper of lines, which says nothing of who ztunnel is.

    Cost: 20 µs for a line of text, 5 µs for one in JSON; 35 µs for text with an escaped quote.
    """
    lines = _Lines(records)
    out = EventColumns(lines.rows_count)
    error = lines.field("error")
    facts = read_distinct(error, read_error, ErrorFacts)
    _map_kind(lines, facts, out)
    _map_times(lines, out)
    _map_addresses(lines, out)
    _map_identities(lines, facts, out)
    _map_workloads(lines, out)
    _map_sizes(lines, out)
    _map_error(error, facts, out)
    _map_decision(lines, facts, out)
    out.blank_refused(lines.bad)
    return out


class _Lines:
    """Some lines, whatever they are written in.

    Attributes:
        rows_count: lines.
        is_access: bool[n], whether a line tells of a connection.
        is_dry_run: bool[n], whether one tells what a policy that is not enforced would have said.
        time: string[n], when it was written.
        message: string[n].
        bad: why a line cannot be read, by row.
        no_fields: bool[n], where the fields are none.
    """

    def __init__(self, records: pa.Array) -> None:
        parts = JsonOrText(records, _STRUCTURE)
        head = pc.extract_regex(parts.texts, _TEXT_LINE)
        self.rows_count = parts.rows_count
        self._parts = parts
        self.time, scope, self.message = (
            _without_empty(parts.join(parts.json.text(name), pc.struct_field(head, name)))
            for name in _HEAD
        )
        in_scope = pc.equal(scope, values.ACCESS_SCOPE)
        told = pc.is_in(self.message, pa.array([values.COMPLETE, values.FAILED]))
        self.is_access = pc.fill_null(pc.and_(in_scope, told), fill_value=False)
        is_dry_run = pc.starts_with(self.message, values.DRY_RUN)
        self.is_dry_run = pc.and_not(pc.fill_null(is_dry_run, fill_value=False), self.is_access)
        self._fields = self._read_fields(head)
        in_json = pa.array(np.zeros(parts.json.rows_count, dtype=np.bool_))
        self.no_fields = parts.join(in_json, pa.array(self._fields.bad))
        self.bad = self._find_bad()

    def field(self, name: str) -> pa.Array:
        """A field of each: string[n], null where it has none or an empty one."""
        column = self._parts.join(self._parts.json.text(name), self._fields.text(name))
        wanted = self.is_dry_run if name == "policy" else self.is_access
        return mask_null(_without_empty(column), wanted)

    def _read_fields(self, head: pa.Array) -> KeyValues:
        """The fields of lines in text; what other lines say is no business of ours."""
        message = pc.struct_field(head, "message")
        scope = pc.struct_field(head, "scope")
        told = pc.is_in(message, pa.array([values.COMPLETE, values.FAILED]))
        told = pc.and_(told, pc.equal(scope, values.ACCESS_SCOPE))
        wanted = pc.or_(told, pc.starts_with(message, values.DRY_RUN))
        return KeyValues(mask_null(pc.struct_field(head, "fields"), wanted))

    def _find_bad(self) -> dict[int, str]:
        unread = np.flatnonzero(np.asarray(pc.is_null(self.time)))
        bad = dict.fromkeys(unread.tolist(), values.NOT_A_LINE)
        lost = np.flatnonzero(np.asarray(pc.and_(self.no_fields, self.is_access)))
        return bad | dict.fromkeys(lost.tolist(), values.NO_FIELDS) | self._parts.bad


def _map_kind(lines: _Lines, facts: dict[str, pa.Array], out: EventColumns) -> None:
    (side,) = map_distinct(lines.field("direction"), lambda word: (values.SIDES.get(word),), [_S])
    out.columns["side"] = plain(side)
    failed = pc.fill_null(pc.equal(lines.message, values.FAILED), fill_value=False)
    failed = pc.and_(failed, pc.is_valid(facts["tls_failure"]))
    kind = pc.if_else(failed, Kind.HANDSHAKE.value, Kind.CONNECTION.value)
    out.columns["kind"] = pc.if_else(lines.is_access, kind, Kind.LOG_RECORD.value)
    tcp = pc.if_else(lines.is_access, "tcp", pa.scalar(None, _S))
    out.columns["network_transport"] = tcp


def _map_times(lines: _Lines, out: EventColumns) -> None:
    """A line is written when its connection ends; when that began follows from how long it was."""
    columns = out.columns
    written, wrong = read_times(lines.time)
    out.problems["time is not a time"] = wrong
    duration, wrong = map_distinct(
        lines.field("duration"), values.read_duration, [_I64, pa.bool_()]
    )
    out.problems["duration is not a time"] = pc.fill_null(wrong, fill_value=False)
    too_long = pc.fill_null(pc.greater(duration, written), fill_value=False)
    out.problems["start of the happening does not fit"] = too_long
    start = pc.subtract(written, pc.fill_null(duration, 0))
    columns["time"] = mask_null(start, pc.invert(too_long))
    columns["duration"] = duration
    is_complete = pc.fill_null(pc.equal(lines.message, values.COMPLETE), fill_value=False)
    columns["end_time"] = mask_null(written, pc.and_(is_complete, lines.is_access))


def _map_addresses(lines: _Lines, out: EventColumns) -> None:
    """Who called whom; where the record has the tunnel's end, what it was to lead to."""
    columns = out.columns
    found = {}
    for name in ("src.addr", "dst.addr", "dst.hbone_addr"):
        text = lines.field(name)
        found[name] = read_sockets(text)
        if name != "dst.hbone_addr":
            unread = pc.and_(pc.is_valid(text), pc.is_null(found[name][1]))
            out.problems[f"{name} is not an address"] = unread
        else:
            host = mask_null(text, pc.is_null(found[name][1]))
            columns["server_address"] = host
    columns["src_ip"], columns["src_port"] = found["src.addr"]
    (ip, port), (inner_ip, inner_port) = found["dst.addr"], found["dst.hbone_addr"]
    is_tunnel = pc.fill_null(pc.equal(port, values.HBONE_PORT), fill_value=True)
    inside = pc.and_(is_tunnel, pc.is_valid(inner_port))
    columns["dst_ip"] = pc.if_else(inside, inner_ip, ip)
    columns["dst_port"] = pc.if_else(inside, inner_port, port)


def _map_identities(lines: _Lines, facts: dict[str, pa.Array], out: EventColumns) -> None:
    """Both ends, as ztunnel reports them: its own workload's, and the one of its peer."""
    columns = out.columns
    for end in ("src", "dst"):
        columns[f"{end}_spiffe_id"] = lines.field(f"{end}.identity")
        out.trust(f"{end}_spiffe_id", Trust.REPORTED)
        columns[f"{end}_spiffe_id_trust"] = plain(columns[f"{end}_spiffe_id_trust"])
    # The callee's, on the caller's side, is whom ztunnel wants to reach. Only a handshake that was
    # done, or an answer, tells that it has.
    answered, _ = read_numbers(lines.field("bytes_recv"), to=_I64)
    unproven = pc.and_(
        pc.and_(pc.is_valid(lines.field("error")), pc.equal(columns["side"], _SOURCE)),
        pc.and_(pc.invert(facts["is_past_handshake"]), pc.equal(pc.fill_null(answered, 0), 0)),
    )
    unproven = pc.and_(
        pc.fill_null(unproven, fill_value=False), pc.is_valid(columns["dst_spiffe_id"])
    )
    columns["dst_spiffe_id_trust"] = pc.if_else(
        unproven, Trust.ASSERTED.value, columns["dst_spiffe_id_trust"]
    )


def _map_workloads(lines: _Lines, out: EventColumns) -> None:
    """What ztunnel knows of the pods by their addresses."""
    columns = out.columns
    for end in ("src", "dst"):
        domain, namespace, account = map_distinct(
            columns[f"{end}_spiffe_id"], split_spiffe_id, [_S, _S, _S]
        )
        said = lines.field(f"{end}.namespace")
        columns[f"{end}_trust_domain"] = domain
        columns[f"{end}_namespace"] = pc.dictionary_encode(pc.coalesce(plain(namespace), said))
        columns[f"{end}_service_account"] = account
        columns[f"{end}_pod"] = lines.field(f"{end}.workload")
        columns[f"{end}_cluster"] = lines.field(f"{end}.cluster")
        known = pc.or_(pc.is_valid(columns[f"{end}_pod"]), pc.is_valid(columns[f"{end}_cluster"]))
        known = pc.or_(known, pc.is_valid(said))
        if end == "dst":
            columns["dst_service"] = lines.field("dst.service")
            known = pc.or_(known, pc.is_valid(columns["dst_service"]))
        columns[f"{end}_workload_trust"] = plain(labelled(known, Trust.REPORTED.value))


def _map_sizes(lines: _Lines, out: EventColumns) -> None:
    """Bytes from the caller and to it: ztunnel counts from where its own workload stands."""
    sizes = {}
    for name in ("bytes_sent", "bytes_recv"):
        sizes[name], wrong = read_numbers(lines.field(name), to=_I64)
        out.problems[f"{name} is not a number"] = wrong
    side = out.columns["side"]
    of_caller, of_callee = pc.equal(side, _SOURCE), pc.equal(side, _DESTINATION)
    for name, at_caller, at_callee in (
        ("bytes_received", "bytes_sent", "bytes_recv"),
        ("bytes_sent", "bytes_recv", "bytes_sent"),
    ):
        out.columns[name] = pc.if_else(
            of_caller, sizes[at_caller], mask_null(sizes[at_callee], of_callee)
        )


def _map_error(error: pa.Array, facts: dict[str, pa.Array], out: EventColumns) -> None:
    columns = out.columns
    columns["envoy_connection_termination_details"] = error
    failure = plain(facts["tls_failure"])
    columns["tls_failure"] = pc.dictionary_encode(failure)
    for name, side in (("downstream", _DESTINATION), ("upstream", _SOURCE)):
        here = pc.and_(pc.is_valid(failure), pc.equal(columns["side"], side))
        columns[f"envoy_{name}_transport_failure"] = mask_null(error, here)


def _map_decision(lines: _Lines, facts: dict[str, pa.Array], out: EventColumns) -> None:
    columns = out.columns
    said = plain(facts["decision"])
    columns["decision"] = mask_null(pc.fill_null(said, Decision.UNKNOWN.value), lines.is_access)
    columns["decision_trust"] = plain(labelled(pc.is_valid(said), Trust.REPORTED.value))
    columns["decision_reason"] = plain(facts["reason"])
    columns["policy_kind"] = plain(facts["policy_kind"])
    for name in ("policy_name", "policy_namespace"):
        columns[name] = pc.dictionary_encode(plain(facts[name]))
    (dry_run,) = map_distinct(
        mask_null(lines.message, lines.is_dry_run),
        lambda message: (values.DRY_RUNS.get(message),),
        [_S],
    )
    columns["dry_run_decision"] = plain(dry_run)
    columns["dry_run_policy"] = lines.field("policy")
    out.problems[values.NO_POLICY] = pc.and_(lines.no_fields, lines.is_dry_run)


def _without_empty(column: pa.Array) -> pa.Array:
    """The column with null where it is empty: ztunnel leaves out what it does not know."""
    return mask_null(column, pc.not_equal(column, ""))
