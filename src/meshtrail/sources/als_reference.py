"""The row-wise reference of access log records: protobuf's own parser, one record at a time.

Slow and plain on purpose. It follows docs/formats/event.md and shares with the columnar mapper only
the meaning of single values (``envoy_values``, response flags), the cut descriptors and the stream
facts.
"""

# ruff: noqa: ANN401 - generated classes have no types
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.als_schema import (
    ADDRESSES,
    address_descriptor,
    http_descriptor,
    tcp_descriptor,
    tls_descriptor,
)
from meshtrail.sources.conflicts import format_other_identity
from meshtrail.sources.custom_tags import read_upstream_name
from meshtrail.sources.envoy_messages import plain_reason, read_flags
from meshtrail.sources.handshakes import LASTING
from meshtrail.sources.reference_parts import (
    RbacFields,
    parse_message,
    read_ids,
    read_message,
)
from meshtrail.sources.tls_failures import read_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.sources.streams import StreamFacts

_NANOS: Final = 1_000_000_000
_INT64_MAX: Final = 2**63 - 1
_SECONDS_MAX: Final = 9_223_372_035
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Row = dict[str, Any]


def map_http_record(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of an HTTP record."""
    AlsRecord(row, problems, facts).map(payload, is_http=True)


def map_tcp_record(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of a TCP record."""
    AlsRecord(row, problems, facts).map(payload, is_http=False)


class AlsRecord:
    """Fills the row of one access log record."""

    def __init__(self, row: Row, problems: list[str], facts: StreamFacts) -> None:
        self.row = row
        self.problems = problems
        self.facts = facts
        self.callee: str | None = None
        self.ends_tls = False

    def map(self, payload: bytes, *, is_http: bool) -> None:
        """Fill the row."""
        try:
            record = parse_message(http_descriptor() if is_http else tcp_descriptor(), payload)
        except DecodeError as error:
            self._refuse([plain_reason(error)])
            return
        common = record.common_properties
        tls, reason = read_message("tls_properties", tls_descriptor(), common.tls_properties)
        rbac = RbacFields(common.metadata.filter_metadata)
        if reason or rbac.reason:
            self._refuse([reason, rbac.reason])
            return
        self._times(common)
        self._tls(tls)
        self._envoy(common)
        tags = _last(common.custom_tags)
        self._tags(tags)
        self._identities(tls, tags)
        self._addresses(common)
        if is_http:
            self._request(record)
            self._response(record.response)
            self._correlation(record)
        self._decision(rbac)
        self._kind(record, is_http=is_http)

    def _refuse(self, reasons: Iterable[str | None]) -> None:
        self.row["kind"] = "undecoded"
        self.problems += filter(None, reasons)

    def _kind(self, record: Any, *, is_http: bool) -> None:
        row, common = self.row, record.common_properties
        if is_http:
            row["kind"] = "request"
            present = record.HasField("common_properties")
            received = common.downstream_wire_bytes_received
            sent = common.downstream_wire_bytes_sent
        else:
            present = record.HasField("connection_properties")
            received = record.connection_properties.received_bytes
            sent = record.connection_properties.sent_bytes
        row["bytes_received"] = _fitting(received) if present else None
        row["bytes_sent"] = _fitting(sent) if present else None
        if is_http:
            row["tls_failure"] = read_failure(row["envoy_upstream_transport_failure"])
        else:
            self._handshake()

    def _handshake(self) -> None:
        row = self.row
        reason = row["envoy_downstream_transport_failure"]
        row["tls_failure"] = read_failure(reason or row["envoy_upstream_transport_failure"])
        is_proven = (row["bytes_received"] or 0) > 0
        has_ended = row["envoy_access_log_type"] not in LASTING
        is_untaken = "NR" in (row["envoy_response_flags"] or "").split(",")
        failed = (
            reason is not None and not is_proven and has_ended and (self.ends_tls or is_untaken)
        )
        row["kind"] = "handshake" if failed else "connection"
        if not is_proven and row["src_spiffe_id_trust"] in ("attested", "reported"):
            row["src_spiffe_id_trust"] = "asserted"

    def _times(self, common: Any) -> None:
        for name, field in (
            ("time", "start_time"),
            ("duration", "duration"),
            ("request_duration", "time_to_last_rx_byte"),
            ("response_start_duration", "time_to_first_downstream_tx_byte"),
        ):
            self.row[name] = None
            if not common.HasField(field):
                continue
            period = getattr(common, field)
            value = period.seconds * _NANOS + period.nanos
            possible = abs(period.seconds) <= _SECONDS_MAX and 0 <= period.nanos < _NANOS
            if possible and (value >= 0 or name == "time"):
                self.row[name] = value
            else:
                self.problems.append(f"{field} is not a time")
        time, duration = self.row["time"], self.row["duration"]
        if time is not None and duration is not None:
            if time + duration <= _INT64_MAX:
                self.row["end_time"] = time + duration
            else:
                self.problems.append("end of the happening does not fit")

    def _tls(self, tls: Any) -> None:
        row = self.row
        suite = tls.tls_cipher_suite.value if tls.HasField("tls_cipher_suite") else None
        row["tls_protocol_version"] = envoy.tls_version_name(tls.tls_version, suite)
        row["tls_cipher"] = envoy.cipher_suite_name(suite)
        self.ends_tls = tls.tls_version != 0
        row["tls_server_name"] = tls.tls_sni_hostname or None
        row["tls_client_ja3"] = tls.ja3_fingerprint or None
        row["tls_client_subject"] = tls.peer_certificate_properties.subject or None
        row["tls_client_issuer"] = tls.peer_certificate_properties.issuer or None

    def _envoy(self, common: Any) -> None:
        row = self.row
        row["envoy_access_log_type"] = envoy.enum_name(
            common.access_log_type, envoy.ACCESS_LOG_TYPES
        )
        flags = read_flags(common.response_flags)
        row["envoy_response_flags"] = flags.codes
        if flags.problem:
            self.problems.append(flags.problem)
        row["envoy_connection_termination_details"] = common.connection_termination_details or None
        row["envoy_upstream_cluster"] = common.upstream_cluster or None
        row["envoy_route_name"] = common.route_name or None
        row["envoy_upstream_transport_failure"] = common.upstream_transport_failure_reason or None
        row["envoy_downstream_transport_failure"] = (
            common.downstream_transport_failure_reason or None
        )
        attempts = common.upstream_request_attempt_count
        row["envoy_attempt_count"] = attempts if 0 < attempts < 2**31 else None

    def _tags(self, tags: dict[bytes, bytes]) -> None:
        number = tags.get(b"connection_id", b"")
        if re.fullmatch(rb"[1-9][0-9]{0,17}", number):
            self.row["envoy_connection_id"] = int(number)
        fingerprint = tags.get(b"peer_certificate_sha256", b"")
        if re.fullmatch(rb"[0-9a-f]{64}", fingerprint):
            self.row["tls_client_hash_sha256"] = bytes.fromhex(fingerprint.decode())

    def _upstream(self, names: bytes) -> None:
        """The callee of a source-side record is its upstream; several names are none."""
        row = self.row
        upstream = read_upstream_name(names)
        if upstream.has_many:
            self.problems.append("upstream certificate with several URI SANs")
        label = None
        if upstream.uri is not None:
            is_held = self.facts.is_authenticated and self.callee in (None, self.facts.spiffe_id)
            label = "attested" if is_held else "reported"
            if row["envoy_upstream_transport_failure"] is not None:
                label = "asserted"
        row["dst_spiffe_id"], row["dst_spiffe_id_trust"] = upstream.uri, label

    def _identities(self, tls: Any, tags: dict[bytes, bytes]) -> None:
        row, facts = self.row, self.facts
        caller = self._only_uri(tls.peer_certificate_properties, "peer")
        callee = self._only_uri(tls.local_certificate_properties, "local")
        row["side"] = envoy.side_of(
            upstream_cluster=row["envoy_upstream_cluster"],
            has_peer_certificate=caller is not None,
            has_downstream_tls=self.ends_tls,
        )
        is_held = facts.is_authenticated and callee == facts.spiffe_id
        if facts.is_authenticated and row["side"] == "destination" and callee and not is_held:
            other = format_other_identity(callee, facts.spiffe_id or "", facts.conflict)
            row["reporter_conflict"] = other
        label = "attested" if is_held else "reported"
        refused = row["envoy_downstream_transport_failure"] is not None
        caller_label = "asserted" if refused else label
        row["src_spiffe_id"], row["src_spiffe_id_trust"] = caller, caller_label if caller else None
        if row["side"] == "source" and caller is None and facts.spiffe_id is not None:
            row["src_spiffe_id"], row["src_spiffe_id_trust"] = facts.spiffe_id, "derived"
        row["dst_spiffe_id"], row["dst_spiffe_id_trust"] = callee, label if callee else None
        self.callee = callee
        if row["side"] == "source":
            self._upstream(tags.get(b"upstream_peer_uri_san", b""))
        for end in ("src", "dst"):
            parts = envoy.split_spiffe_id(row[f"{end}_spiffe_id"])
            row[f"{end}_trust_domain"] = parts.trust_domain
            row[f"{end}_namespace"] = parts.namespace
            row[f"{end}_service_account"] = parts.service_account

    def _addresses(self, common: Any) -> None:
        row = self.row
        sockets = {}
        for field in ADDRESSES:
            message, reason = read_message(field, address_descriptor(), getattr(common, field))
            sockets[field] = message.socket_address
            if reason:
                self.problems.append(reason)
        callee = "downstream_local_address"
        if row["side"] == "source":
            callee = "upstream_remote_address"
        for end, field in (
            ("src", "downstream_direct_remote_address"),
            ("dst", callee),
            ("envoy_upstream_local", "upstream_local_address"),
        ):
            socket = sockets[field]
            row[f"{end}_ip"] = socket.address or None
            is_port = socket.address and socket.port_value < 2**31
            row[f"{end}_port"] = socket.port_value if is_port else None

    def _request(self, record: Any) -> None:
        row, request = self.row, record.request
        row["http_request_method"] = envoy.enum_name(request.request_method, envoy.REQUEST_METHODS)
        row["url_scheme"] = request.scheme or None
        if request.path:
            row["url_path"], mark, query = request.path.partition("?")
            row["url_query"] = query if mark else None
        row["server_address"] = request.authority or None
        row["user_agent_original"] = request.user_agent or None
        row["http_request_forwarded_for"] = request.forwarded_for or None
        if record.HasField("request"):
            row["http_request_body_size"] = _fitting(request.request_body_bytes)
        row["network_protocol_version"] = envoy.enum_name(
            record.protocol_version, envoy.PROTOCOL_VERSIONS
        )
        content_type = _last(request.request_headers).get("content-type")
        row["http_request_content_type"] = content_type
        if content_type and content_type.startswith("application/grpc") and request.path:
            row["rpc_method"] = row["url_path"][1:]

    def _response(self, response: Any) -> None:
        row = self.row
        status = response.response_code.value
        row["http_response_status_code"] = status if 0 < status < 2**31 else None
        row["envoy_response_code_details"] = response.response_code_details or None
        headers, trailers = _last(response.response_headers), _last(response.response_trailers)
        row["http_response_content_type"] = headers.get("content-type")
        grpc_status = trailers.get("grpc-status", headers.get("grpc-status"))
        if grpc_status and re.fullmatch(r"[0-9]{1,3}", grpc_status):
            row["rpc_grpc_status_code"] = int(grpc_status)

    def _correlation(self, record: Any) -> None:
        row = self.row
        if record.HasField("response"):
            row["http_response_body_size"] = _fitting(record.response.response_body_bytes)
        trace, span = read_ids(_last(record.request.request_headers))
        row["trace_id"], row["span_id"] = trace, span
        row["trace_id_trust"] = "asserted" if trace else None
        request_id = record.request.request_id or record.common_properties.stream_id
        if request_id:
            row["request_id_trust"] = "asserted"
            if _UUID.fullmatch(request_id):
                row["request_id"] = bytes.fromhex(request_id.replace("-", ""))
            else:
                row["request_id_text"] = request_id

    def _decision(self, rbac: RbacFields) -> None:
        row = self.row
        result = rbac.last("enforced_engine_result")
        said = envoy.read_denial(row.get("envoy_response_code_details"))
        said_tcp = envoy.read_denial(row["envoy_connection_termination_details"])
        word = result if result in ("allowed", "denied") else None
        refusal = said.decision or said_tcp.decision
        row["decision"] = "denied" if word == "denied" else refusal or word or "unknown"
        policy = rbac.last("enforced_effective_policy_id") or said.policy_id or said_tcp.policy_id
        parts = envoy.split_policy_id(policy)
        row["policy_name"], row["policy_namespace"], row["policy_rule"] = parts
        row["decision_reason"] = said.reason or said_tcp.reason or ("rbac" if word else None)
        shadow = rbac.last("shadow_engine_result", "denied") or rbac.last("shadow_engine_result")
        row["dry_run_decision"] = shadow
        row["dry_run_policy"] = rbac.last("shadow_effective_policy_id")
        if row["decision"] != "unknown":
            is_held = self.facts.is_authenticated and self.callee in (None, self.facts.spiffe_id)
            row["decision_trust"] = "attested" if is_held else "reported"

    def _only_uri(self, certificate: Any, whose: str) -> str | None:
        uris: list[str] = [name.uri for name in certificate.subject_alt_name if name.uri]
        if len(uris) > 1:
            self.problems.append(f"{whose} certificate with several URI SANs")
        return uris[0] if len(uris) == 1 else None


def _fitting(value: int) -> int | None:
    return value if value <= _INT64_MAX else None


def _last(entries: Iterable[Any]) -> dict[Any, Any]:
    return {item.key: item.value for item in entries}
