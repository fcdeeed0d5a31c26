"""The row-wise reference of OTLP spans: protobuf's own parser, one span at a time.

Slow and plain on purpose. It follows docs/formats/event.md and shares with the columnar mapper only
the meaning of single values and the spellings (``span_values``), and the cut descriptors.
"""

# ruff: noqa: ANN401 - generated classes have no types
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from meshtrail.sources import span_values as spans
from meshtrail.sources.any_values_reference import AttributeMap
from meshtrail.sources.envoy_messages import plain_reason
from meshtrail.sources.envoy_values import enum_name, mend_utf8, side_of
from meshtrail.sources.otlp_span_schema import SPAN_PATH, export_spans_descriptor
from meshtrail.sources.reference_parts import parse_message

if TYPE_CHECKING:
    from meshtrail.sources.streams import StreamFacts

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_AUTHORITY_END: Final = re.compile(r"[/?#]")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Row = dict[str, Any]


def map_span_record(payload: bytes, row: Row, problems: list[str], _: StreamFacts) -> None:
    """Fill the row of a span."""
    try:
        request = parse_message(export_spans_descriptor(), payload)
    except DecodeError as error:
        row["kind"] = "undecoded"
        problems.append(plain_reason(error))
        return
    resources, scopes, records = SPAN_PATH
    found = [
        span
        for resource in getattr(request, resources)
        for scope in getattr(resource, scopes)
        for span in getattr(scope, records)
    ]
    if len(found) != 1:
        row["kind"] = "undecoded"
        problems.append("not exactly one span")
        return
    SpanRecord(found[0], row, problems).map()


class SpanRecord:
    """Fills the row of one span."""

    def __init__(self, span: Any, row: Row, problems: list[str]) -> None:
        self.span = span
        self.row = row
        self.problems = problems
        self.attributes = AttributeMap(span.attributes)
        self.is_envoy = self.attributes.text("component") == "proxy"

    def map(self) -> None:
        """Fill the row."""
        row, span, attributes = self.row, self.span, self.attributes
        row["kind"] = "span"
        row["span_name"] = mend_utf8(span.name) or None
        row["span_kind"] = enum_name(span.kind, spans.KINDS)
        status = enum_name(span.status.code, spans.STATUSES)
        is_error = attributes.text("error") == "true"
        row["span_status"] = status or ("error" if is_error else None)
        self._times()
        self._ids()
        self._plain()
        self._url()
        self._rpc()
        self._addresses()
        self._dry_run()
        if self.is_envoy:
            row["side"] = side_of(
                upstream_cluster=row["envoy_upstream_cluster"],
                has_peer_certificate=False,
                has_downstream_tls=True,
            )

    def _times(self) -> None:
        row = self.row
        for name, source in (("time", "start_time_unix_nano"), ("end_time", "end_time_unix_nano")):
            value = getattr(self.span, source)
            row[name] = value if 0 < value <= _INT64_MAX else None
            if value > _INT64_MAX:
                self.problems.append(f"{source} is not a time")
        if row["time"] is not None and row["end_time"] is not None:
            if row["end_time"] >= row["time"]:
                row["duration"] = row["end_time"] - row["time"]
            else:
                self.problems.append("span ends before it starts")

    def _ids(self) -> None:
        for name, length in (("trace_id", 16), ("span_id", 8), ("parent_span_id", 8)):
            value = getattr(self.span, name)
            if len(value) == length and any(value):
                self.row[name] = value
            elif value or name != "parent_span_id":
                self.problems.append(f"{name} is not an id of {length} bytes")
        self.row["trace_id_trust"] = "asserted" if "trace_id" in self.row else None
        text = self.attributes.text(*spans.REQUEST_IDS)
        if text is not None:
            self.row["request_id_trust"] = "asserted"
            if _UUID.fullmatch(text):
                self.row["request_id"] = bytes.fromhex(text.replace("-", ""))
            else:
                self.row["request_id_text"] = text

    def _plain(self) -> None:
        row, attributes = self.row, self.attributes
        for name, keys in spans.SPELLINGS.items():
            text = attributes.text(*keys)
            row[name] = None if text == "-" else text
        for name, keys in spans.SIZES.items():
            row[name] = attributes.integer(*keys, maximum=_INT64_MAX)
        status = attributes.integer(*spans.HTTP_STATUSES, maximum=_INT32_MAX)
        row["http_response_status_code"] = status or None
        row["network_protocol_version"] = spans.protocol_version(attributes.text(*spans.PROTOCOLS))

    def _url(self) -> None:
        row, attributes = self.row, self.attributes
        full, old = (_split_url(attributes.text(key)) for key in spans.URLS)
        target = full[2] or attributes.text("http.target") or old[2]
        path, mark, query = (target or "").partition("?")
        own_path = attributes.text("url.path")
        row["url_path"] = own_path or (path if target else None)
        row["url_query"] = attributes.text("url.query") or (
            query if mark and not own_path else None
        )
        row["url_scheme"] = row["url_scheme"] or full[0] or old[0]
        kind = row["span_kind"]
        row["server_address"] = (
            attributes.text(*spans.HOSTS)
            or (attributes.text("net.host.name") if kind in spans.CALLED_KINDS else None)
            or (attributes.text("net.peer.name") if kind in spans.CALLING_KINDS else None)
            or attributes.text("grpc.authority")
            or full[1]
            or old[1]
        )

    def _rpc(self) -> None:
        attributes = self.attributes
        if attributes.text(*spans.RPC_SYSTEMS) not in (None, "grpc"):
            return
        method, service = attributes.text("rpc.method"), attributes.text("rpc.service")
        if method and service and "/" not in method:
            method = f"{service}/{method}"
        method = method or attributes.text("grpc.path")
        self.row["rpc_method"] = method.removeprefix("/") if method is not None else None
        status = spans.grpc_status(attributes.text(spans.RPC_STATUSES[0]))
        if status is None:
            status = attributes.integer(*spans.RPC_STATUSES, maximum=_INT32_MAX)
        self.row["rpc_grpc_status_code"] = status

    def _addresses(self) -> None:
        row, attributes = self.row, self.attributes
        upstream = attributes.text("upstream_address") if self.is_envoy else None
        caller = attributes.text("peer.address") if self.is_envoy else None
        row["src_ip"], row["src_port"] = spans.read_socket(caller if caller != upstream else None)
        row["dst_ip"], row["dst_port"] = spans.read_socket(upstream)
        peer = self._connected(spans.PEERS, spans.PEER_PORTS)
        local = self._connected(spans.LOCALS, spans.LOCAL_PORTS)
        if row["span_kind"] in spans.CALLED_KINDS:
            ends = {"src": peer, "dst": local}
        elif row["span_kind"] in spans.CALLING_KINDS:
            ends = {"src": local, "dst": peer}
        else:
            ends = {}
        for end, (ip, port) in ends.items():
            if ip is not None:
                row[f"{end}_ip"], row[f"{end}_port"] = ip, port

    def _connected(
        self, addresses: tuple[str, ...], ports: tuple[str, ...]
    ) -> tuple[str | None, int | None]:
        port = self.attributes.integer(*ports, maximum=_INT32_MAX)
        is_port = port is not None and port <= spans.PORT_MAX
        return spans.read_ip(self.attributes.text(*addresses)), port if is_port else None

    def _dry_run(self) -> None:
        said = []
        for action in ("deny", "allow"):
            name = f"{spans.DRY_RUN}.{action}_policy"
            result, policy = (self.attributes.text(f"{name}.{word}") for word in ("result", "name"))
            said.append((result, policy))
        denials = [one for one in said if one[0] == "denied"]
        results = [one for one in said if one[0] is not None]
        self.row["dry_run_decision"], self.row["dry_run_policy"] = (*denials, *results, said[1])[0]


def _split_url(url: str | None) -> tuple[str | None, str | None, str | None]:
    """Scheme, authority without a user, and all that stands behind it; null where empty."""
    scheme, mark, rest = (url or "").partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        return None, None, None
    end = _AUTHORITY_END.search(rest)
    at = end.start() if end else len(rest)
    return scheme, rest[:at].rpartition("@")[2] or None, rest[at:] or None
