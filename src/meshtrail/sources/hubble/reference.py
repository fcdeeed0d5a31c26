"""The row-wise reference of ``records``: one line at a time, slow and plain.

It follows docs/sources/hubble.md and shares with the columnar mapper only what single values mean
(``values``, ``node_events``).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.model.event import Kind
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_reference import AccessRow
from meshtrail.sources.hubble import values
from meshtrail.sources.hubble.flow_decisions import BY_NAME, BY_PROXY, BY_VERDICT
from meshtrail.sources.hubble.flow_ends import IP, OF_WORKLOAD, PORT_MAX, PORTED, TRANSPORTS
from meshtrail.sources.hubble.flows import (
    DETAILS,
    HEADERS,
    HTTP_MEMBERS,
    KEPT,
    STATUS_MAX,
    TRACE_ID,
    URL,
)
from meshtrail.sources.hubble.json_objects import BARE
from meshtrail.sources.hubble.lines import (
    BARE_FLOW,
    NO_EVENT,
    SAYING,
    SAYS_NOTHING,
    SEVERAL_EVENTS,
)
from meshtrail.sources.hubble.node_events import COLUMNS, read_node_event
from meshtrail.sources.hubble.schema import OTHERS, POLICY_LISTS, camel_path
from meshtrail.sources.json_reference import Members, parse_members
from meshtrail.sources.lines.container_prefix_reference import strip_prefix
from meshtrail.sources.timestamps import parse_time
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.sources.json_reference import Value
    from meshtrail.sources.streams import StreamFacts

_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_HEX: Final = re.compile(f"[0-9a-f]{{{len(TRACE_ID)}}}")

Row = dict[str, Any]
End = dict[str, str | None]


def map_hubble_line(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """The event of one line of Hubble."""
    try:
        line = _Line(payload)
    except InputError as error:
        row["kind"] = Kind.UNDECODED.value
        problems.append(error.message)
        return
    if line.other is None:
        _Flow(line, row, problems, facts).tell()
        return
    event = read_node_event(
        line.other, line.text(line.other) or "", node=line.text("node_name"), time=line.text("time")
    )
    if event.refusal:
        row["kind"] = Kind.UNDECODED.value
        problems.append(event.refusal)
        return
    row |= {name: getattr(event, name) for name in COLUMNS}
    problems += event.problems


class _Line:
    """The members of one line, and which event it holds."""

    def __init__(self, payload: bytes) -> None:
        bare = strip_prefix(payload)
        if bare.problem:
            raise InputError(bare.problem)
        self._members = parse_members(bare.line)
        held = [name for name in ("flow", *OTHERS) if self._value((name,)) is not None]
        if len(held) > 1:
            raise InputError(SEVERAL_EVENTS)
        if not held:
            self._members = parse_members(b'{"flow":%b}' % bare.line)
            if not any(self.flow(*path) for path in BARE_FLOW):
                raise InputError(NO_EVENT)
        elif held == ["flow"] and not any(self.flow(*path) for path in SAYING):
            raise InputError(SAYS_NOTHING)
        self.other = next((name for name in held if name != "flow"), None)

    def text(self, *path: str) -> str | None:
        """A member, in the spelling that the line has."""
        value = self._value(path)
        if value is None:
            return None
        return Members([("it", value)]).text("it")

    def flow(self, *path: str) -> str | None:
        """A member of the flow; null where it is empty."""
        return self.text("flow", *path) or None

    def header(self, name: str) -> str | None:
        """The last header of that name that says anything."""
        headers = self._value(("flow", "l7", "http", "headers"))
        items = headers if isinstance(headers, list) else []
        pairs = [one for one in items if isinstance(one, Members)]
        found = [one.text("value") for one in pairs if _lower(one.text("key")) == name]
        return next((value for value in reversed(found) if value), None)

    def _value(self, path: tuple[str, ...]) -> Value:
        for spelled in (path, camel_path(path)):
            value: Value = self._members
            for name in spelled:
                value = value.get(name) if isinstance(value, Members) else None
            if value is not None:
                return value
        return None


class _Flow:
    """Fills the row of one flow."""

    def __init__(self, line: _Line, row: Row, problems: list[str], facts: StreamFacts) -> None:
        self.flow = line.flow
        self.line = line
        self.row = row
        self.problems = problems
        self.access = AccessRow(row, problems, facts)
        self.detail: list[str] = []
        self.verdict = values.named(self.flow("verdict"), values.VERDICTS)
        self.reason = values.named(
            self.flow("drop_reason_desc"), values.DROP_REASONS
        ) or values.named(self.flow("drop_reason"), values.DROP_REASONS)
        self.type = values.named(self.flow("Type"), values.FLOW_TYPES)
        self.l7_type = values.named(self.flow("l7", "type"), values.L7_TYPES)
        told = values.TRUTHS.get(self.flow("is_reply") or "")
        older = values.TRUTHS.get(self.flow("reply") or "") or None
        self.is_reply: bool | None = older if told is None else told

    def tell(self) -> None:
        """The whole row."""
        self.row["envoy_access_log_type"] = self.l7_type
        self.add_text("verdict", self.verdict)
        self.add_text("drop_reason", self.reason)
        self.add_text("type", self.type)
        self.add_text("uuid", self.flow("uuid"))
        for name, path in DETAILS.items():
            self.add_text(name, self.flow(*path))
        self.add_text("is_reply", None if self.is_reply is None else str(self.is_reply).lower())
        self.tell_ends()
        self.tell_transport()
        self.tell_decision()
        self.tell_times()
        self.tell_http()
        dns = values.read_dns(self.flow("l7", "dns") or "")
        self.row["dns_question_name"] = dns.question
        self.add_json("dns", dns.json)
        for name, path in KEPT.items():
            self.add_json(name, values.keep_json(self.flow(*path) or ""))
        self.row["detail"] = "{" + ",".join(self.detail) + "}" if self.detail else None

    def add_text(self, name: str, text: str | None) -> None:
        """Add to the detail."""
        if text is not None:
            is_bare = re.fullmatch(BARE, text)
            self.add_json(name, text if is_bare else json.dumps(text, ensure_ascii=False))

    def add_json(self, name: str, text: str | None) -> None:
        """Add JSON to the detail."""
        if text is not None:
            self.detail.append(f'"{name}":{text}')

    def tell_ends(self) -> None:
        """Who was at both ends, of the connection and not of the packet."""
        direction = values.named(self.flow("traffic_direction"), values.DIRECTIONS)
        side = values.SIDES.get(direction or "")
        self.row["side"] = side
        packet = ("source", "destination")
        ends = packet[::-1] if self.is_reply else packet
        sockets = {end: self.read_socket(end) for end in packet}
        name = self.flow("node_name") or self.line.text("node_name")
        is_placed = False
        for short, its_side, end in zip(("src", "dst"), packet, ends, strict=True):
            is_here = side == its_side or self.flow(end, "ID") not in (None, "0")
            is_placed |= is_here
            node = values.read_node(name) if name and is_here else values.NodeFacts()
            self.tell_end(short, end, node)
            self.row[f"{short}_ip"], self.row[f"{short}_port"] = sockets[end]
        self.add_text("node", None if is_placed else name)
        self.add_text("direction", None if side else direction)

    def tell_end(self, short: str, end: str, node: values.NodeFacts) -> None:
        """One end."""
        row, flow = self.row, self.flow
        labels = values.read_labels(flow(end, "labels") or "")
        found: End = {
            "namespace": flow(end, "namespace") or labels.namespace,
            "service_account": labels.service_account,
            "workload": values.read_workloads(flow(end, "workloads") or ""),
            "service": flow(f"{end}_service", "name"),
            "version": labels.version,
            "pod": flow(end, "pod_name"),
            "node": node.node,
            "cluster": flow(end, "cluster_name") or labels.cluster or node.cluster,
        }
        row |= {f"{short}_{name}": value for name, value in found.items()}
        if any(found[name] is not None for name in OF_WORKLOAD):
            row[f"{short}_workload_trust"] = "reported"
        self.add_text(f"{short}_identity", flow(end, "identity"))
        self.add_text(f"{short}_entity", labels.entity)

    def read_socket(self, end: str) -> tuple[str | None, int | None]:
        """Address and port of one end of packets."""
        ip = self.flow("IP", end)
        if ip is not None and not re.fullmatch(IP, ip):
            self.problems.append(f"IP.{end} is no address")
            ip = None
        ports = (self.flow("l4", protocol, f"{end}_port") for protocol in PORTED)
        port = next((port for port in ports if port is not None), None)
        return ip, self.number(port, f"{end}_port is no port", PORT_MAX) or None

    def tell_transport(self) -> None:
        """``network_transport``."""
        for protocol, name in TRANSPORTS.items():
            paths: list[tuple[str, ...]] = [(protocol,)]
            if protocol in PORTED:
                paths = [(protocol, f"{end}_port") for end in ("source", "destination")]
            if any(self.flow("l4", *path) for path in paths):
                self.row["network_transport"] = name
                return

    def tell_decision(self) -> None:
        """What policies decided."""
        lists = {}
        for name in POLICY_LISTS:
            lists[name] = values.read_policies(self.flow(name) or "")
            self.add_json(name, lists[name].json)
        allowing = [lists["egress_allowed_by"], lists["ingress_allowed_by"]]
        denying = [lists["egress_denied_by"], lists["ingress_denied_by"]]
        decision, why = self.decide(
            is_allowing=any(one.are_there for one in allowing),
            is_denying=any(one.are_there for one in denying),
        )
        row = self.row
        row["decision"], row["decision_reason"] = decision, why
        if decision != "unknown":
            row["decision_trust"] = "reported"
        if self.verdict == "AUDIT":
            row["dry_run_decision"] = "denied"
            row["dry_run_policy"] = _all(one.names for one in denying)
            return
        chosen = denying if self.verdict == "DROPPED" else allowing
        row["policy_name"] = _all(one.names for one in chosen)
        row["policy_namespace"] = _all(one.namespaces for one in chosen)
        row["policy_kind"] = _all(one.kinds for one in chosen)

    def decide(self, *, is_allowing: bool, is_denying: bool) -> tuple[str, str | None]:
        """The decision, and what it was read from."""
        event = self.flow("event_type", "type")
        is_l7 = self.type == values.TYPE_L7 or event == values.EVENT_ACCESS_LOG or self.l7_type
        is_denied = is_denying or self.reason in values.REASONS_OF_POLICIES
        by = BY_NAME["denied"] if is_denying else BY_PROXY
        if self.verdict == "DROPPED" and (is_denied or (is_l7 and self.reason is None)):
            return "denied", self.reason or by
        is_undecided = self.verdict == "DROPPED" and self.reason == values.REASON_UNDECIDED
        if self.verdict == "ERROR" or is_undecided:
            return "error", self.reason or self.verdict
        is_verdict = event == values.EVENT_POLICY_VERDICT
        if self.verdict == "FORWARDED" and (is_allowing or is_verdict):
            return "allowed", BY_NAME["allowed"] if is_allowing else BY_VERDICT
        return "unknown", None

    def tell_times(self) -> None:
        """When it was, and how long it took."""
        row = self.row
        told = self.flow("time") or self.line.text("time")
        time_ns = parse_time(told) if told is not None else None
        if told is not None and time_ns is None:
            self.problems.append("time is no time")
        duration = self.number(self.flow("l7", "latency_ns"), "latency_ns is no number", INT64_MAX)
        row["time"], row["duration"] = time_ns, duration or None
        if not duration:
            return
        row["end_time"] = time_ns
        if time_ns is not None and duration > time_ns:
            self.problems.append("latency_ns leads out of time")
            row["time"] = None
        elif time_ns is not None:
            row["time"] = time_ns - duration

    def tell_http(self) -> None:
        """A request, and the ids that anyone can put into one."""
        row = self.row
        http = {name: self.flow("l7", "http", name) for name in HTTP_MEMBERS}
        row["kind"] = "request" if any(http.values()) else "flow"
        code = self.number(http["code"], "code is no status", STATUS_MAX)
        row["http_response_status_code"] = code or None
        row["http_request_method"] = http["method"]
        row["network_protocol_version"] = envoy.protocol_of_text(http["protocol"])
        headers = {name: self.line.header(name) for name in HEADERS}
        target = re.fullmatch(URL, http["url"], re.DOTALL) if http["url"] else None
        if target:
            row["url_scheme"], row["server_address"] = target["scheme"], target["host"] or None
        content_type = headers["content-type"] if self.l7_type == "REQUEST" else None
        self.access.tell_path(target and target["path"], content_type=content_type)
        row["user_agent_original"] = headers["user-agent"]
        row["http_request_forwarded_for"] = headers["x-forwarded-for"]
        given = {name: value for name, value in headers.items() if value is not None}
        self.access.tell_correlation(given, headers["x-request-id"])
        beside = _lower(self.flow("trace_context", "parent", "trace_id")) or ""
        if row.get("trace_id") is None and _HEX.fullmatch(beside) and int(beside, 16):
            row["trace_id"], row["trace_id_trust"] = bytes.fromhex(beside), "asserted"

    def number(self, text: str | None, problem: str, maximum: int) -> int | None:
        """A number of digits; null, with a problem, where it is none or too large."""
        if text is None:
            return None
        if _DIGITS.fullmatch(text) and int(text) <= maximum:
            return int(text)
        self.problems.append(problem)
        return None


def _lower(text: str | None) -> str | None:
    """In lower case, as far as it is ASCII."""
    return text.encode().lower().decode() if text is not None else None


def _all(facts: Any) -> str | None:  # noqa: ANN401 - a generator of texts
    return ",".join(fact for fact in facts if fact is not None) or None
