"""The row-wise reference of ``linkerd``: one line at a time, slow and plain.

It shares with the columnar mapper the meaning of single values (``linkerd_values``) and the shape
of what the policy writes, no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.sources.access_reference import AccessRow
from meshtrail.sources.envoy_values import mend_utf8
from meshtrail.sources.json_reference import Members, parse_members
from meshtrail.sources.lines import linkerd_values as values
from meshtrail.sources.lines.container_prefix_reference import strip_prefix
from meshtrail.sources.lines.linkerd_lines import ACCESS, FIELDS, HEAD, POLICY, PORT
from meshtrail.sources.timestamps import parse_time

if TYPE_CHECKING:
    from meshtrail.sources.streams import StreamFacts

_HEAD: Final = re.compile(HEAD)
_FIELDS: Final = re.compile(FIELDS)
_PORT: Final = re.compile(PORT)
_UPTIME: Final = re.compile(r"\[ *[0-9]+\.[0-9]{6}s\] +[A-Z]+ ")
_APACHE: Final = re.compile(
    r'([^ ]+) ([^ ]+) - \[([^ \]]+)\] "([^ "]+) ([^ ]+) (HTTP/[0-9.]+)"(?: ([0-9]{3}))?'
)
_SOCKET: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+)):([0-9]{1,5})")
_IP: Final = re.compile(r"[0-9a-fA-F:.]+")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_TRACE: Final = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)")
_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1

Row = dict[str, Any]
Texts = dict[str, str]


def map_linkerd_line(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of a line of Linkerd's proxy."""
    line, runtime_ns, problem = strip_prefix(payload)
    mapped = _Line(row, problems, facts, runtime_ns)
    text = mend_utf8(line)
    try:
        if problem is not None:
            mapped.refuse(problem)
        elif text.startswith("{"):
            mapped.map_json(parse_members(text.encode()))
        else:
            mapped.map_text(text)
    except InputError as error:
        mapped.refuse(error.message)


class _Line:
    """Fills the row of one line."""

    def __init__(
        self, row: Row, problems: list[str], facts: StreamFacts, runtime_ns: int | None
    ) -> None:
        self.row = row
        self.problems = problems
        self.rules = AccessRow(row, problems, facts)
        self.runtime_ns = runtime_ns
        self.trust = "asserted"
        self.said: Texts = {}

    def refuse(self, reason: str) -> None:
        """Tell nothing of it but why."""
        self.row["kind"] = "undecoded"
        self.problems.append(reason)

    def map_json(self, members: Members) -> None:
        """Fill it from JSON.

        Raises:
            InputError: it is no line of the proxy.
        """
        self.trust = "reported"
        told = {name: members.text(name) for name in (*ACCESS, "level", "target")}
        if all(told[name] is not None for name in ("client.addr", "timestamp", "method")):
            self._access({name: text for name, text in told.items() if text})
            return
        fields = members.get("fields")
        said = fields if isinstance(fields, Members) else Members([])
        message, layer = said.text("message"), values.read_layer(told["target"])
        if message in values.MESSAGES and layer is not None:
            named = {name: said.text(name) for name in POLICY}
            named["client.tls"] = named["client.tls"] or named["tls"]
            named["client.ip"] = named["client.ip"] or named["client"]
            self.said = {name: text for name, text in named.items() if text}
            self._policy(message, layer)
        elif told["level"] is not None and told["target"] is not None:
            self._other()
        else:
            raise InputError(values.NOT_A_LINE)

    def map_text(self, text: str) -> None:
        """Fill it from text.

        Raises:
            InputError: it is no line of the proxy, or one that cannot be read.
        """
        if found := _APACHE.fullmatch(text):
            told = zip(ACCESS, found.groups(), strict=False)
            self._access({name: value for name, value in told if value})
        elif head := _HEAD.fullmatch(text):
            fields = _FIELDS.fullmatch(head["fields"] or "")
            if fields is None:
                raise InputError(values.NO_FIELDS)
            named = {name: fields.groupdict().get(name.replace(".", "_")) for name in POLICY}
            self.said = {name: value for name, value in named.items() if value}
            port = _PORT.match(head["spans"])
            self.row["dst_port"] = int(port["port"]) if port else None
            self._policy(head["message"], head["layer"])
        elif _UPTIME.match(text):
            self._other()
        else:
            raise InputError(values.NOT_A_LINE)

    def _access(self, said: Texts) -> None:
        row, self.said = self.row, said
        row["kind"] = "request"
        row["side"], row["network_transport"] = "destination", "tcp"
        if "timestamp" in said:
            row["time"] = parse_time(said["timestamp"])
            if row["time"] is None:
                self.problems.append("timestamp is not a time")
        row["response_start_duration"] = self._number("total_ns", _INT64_MAX)
        self._client(said.get("client.addr"), said.get("client.id"), is_policy=False)
        row["http_request_method"] = said.get("method")
        row["network_protocol_version"] = values.read_version(said.get("version"))
        self._uri(said.get("uri", ""))
        row["user_agent_original"] = said.get("user_agent")
        row["http_response_status_code"] = self._number("status", _INT32_MAX)
        for body in ("request", "response"):
            row[f"http_{body}_body_size"] = self._number(f"{body}_bytes", _INT64_MAX)
        text = said.get("trace_id", "")
        is_trace = _TRACE.fullmatch(text) is not None
        self.rules.tell_correlation(
            {"x-b3-traceid": text} if is_trace else {}, None if is_trace else text
        )
        row["decision"] = "unknown"

    def _uri(self, uri: str) -> None:
        row = self.row
        rest, authority = uri, ""
        if found := _SCHEME.match(uri):
            row["url_scheme"], authority = found[1], found[2]
            rest = uri[found.end() :]
        if rest and rest[0] not in "/*?":
            row["url_scheme"], authority, rest = None, uri, ""
        row["server_address"] = self.said.get("host") or authority or None
        self.rules.tell_path(rest, content_type=None)

    def _policy(self, message: str, layer: str) -> None:
        row, said = self.row, self.said
        self._other()
        row["kind"] = "request" if layer == "http" else "connection"
        row["side"], row["network_transport"] = "destination", "tcp"
        tls = values.read_tls(said.get("client.tls"))
        self._client(said.get("client.ip"), tls.client_id, is_policy=True, has_bad_tls=tls.is_wrong)
        verdict = values.read_verdict(message)
        row["decision"], row["decision_trust"] = verdict.decision, self.trust
        row["decision_reason"], row["dry_run_decision"] = verdict.reason, verdict.dry_run
        decided_by = "authz" if verdict.dry_run else "server"
        row["policy_name"] = said.get(f"{decided_by}.name")
        row["policy_kind"] = said.get(f"{decided_by}.kind")
        row["dry_run_policy"] = said.get("server.name") if verdict.dry_run else None
        if "route.kind" in said and "route.name" in said:
            row["policy_rule"] = f"{said['route.kind']}/{said['route.name']}"

    def _other(self) -> None:
        self.row["kind"], self.row["time"] = "log_record", self.runtime_ns
        if self.runtime_ns is None:
            self.problems.append(values.NO_TIME)

    def _client(
        self, address: str | None, name: str | None, *, is_policy: bool, has_bad_tls: bool = False
    ) -> None:
        row = self.row
        if found := _SOCKET.fullmatch(address or ""):
            row["src_ip"], row["src_port"] = found[1] or found[2], int(found[3])
        elif address and is_policy and _IP.fullmatch(address):
            row["src_ip"] = address
        elif address:
            self.problems.append("address of the client cannot be read")
        if has_bad_tls:
            self.problems.append("TLS of the client cannot be read")
        client = values.read_client(name)
        if client.is_unknown:
            self.problems.append("name of the client is no identity")
        row["src_spiffe_id"] = client.spiffe_id
        row["src_trust_domain"] = client.trust_domain
        row["src_namespace"] = client.namespace
        row["src_service_account"] = client.service_account
        if client.spiffe_id:
            row["src_spiffe_id_trust"] = self.trust
        elif client.trust_domain:
            row["src_workload_trust"] = self.trust

    def _number(self, name: str, maximum: int) -> int | None:
        text = self.said.get(name)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            self.problems.append(f"{name} is not a number")
            return None
        return int(text) if int(text) <= maximum else None
