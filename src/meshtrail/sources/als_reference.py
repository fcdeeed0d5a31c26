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

from meshtrail.model.users import JWT_FILTER
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_reference import AccessRow, SocketFacts
from meshtrail.sources.als_schema import (
    ADDRESSES,
    address_descriptor,
    http_descriptor,
    payloads_descriptor,
    tcp_descriptor,
    tls_descriptor,
)
from meshtrail.sources.envoy_messages import plain_reason, read_flags
from meshtrail.sources.reference_parts import (
    RbacFields,
    parse_message,
    read_message,
)
from meshtrail.sources.tls_failures import read_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.sources.streams import StreamFacts

_NANOS: Final = 1_000_000_000
_INT64_MAX: Final = 2**63 - 1
_SECONDS_MAX: Final = 9_223_372_035

Row = dict[str, Any]


def map_http_record(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of an HTTP record."""
    AlsRecord(row, problems, facts).map(payload, is_http=True)


def map_tcp_record(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of a TCP record."""
    AlsRecord(row, problems, facts).map(payload, is_http=False)


class AlsRecord(AccessRow):
    """Fills the row of one access log record."""

    def map(self, payload: bytes, *, is_http: bool) -> None:
        """Fill the row."""
        try:
            record = parse_message(http_descriptor() if is_http else tcp_descriptor(), payload)
        except DecodeError as error:
            self.refuse([plain_reason(error)])
            return
        common = record.common_properties
        tls, reason = read_message("tls_properties", tls_descriptor(), common.tls_properties)
        rbac = RbacFields(common.metadata.filter_metadata)
        if reason or rbac.reason:
            self.refuse([reason, rbac.reason])
            return
        self._times(common)
        self._tls(tls)
        self._envoy(common)
        tags = _last(common.custom_tags)
        self._tags(tags)
        self.tell_identities(
            _uris(tls.peer_certificate_properties),
            _uris(tls.local_certificate_properties),
            upstream=tags.get(b"upstream_peer_uri_san", b""),
        )
        self._addresses(common)
        if is_http:
            self._request(record)
            self._response(record.response)
            self._correlation(record)
        self.tell_decision(rbac)
        if is_http:
            self._user(record)
        self._kind(record, is_http=is_http)

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
            self.tell_handshake()

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
        self.tell_end()

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

    def _addresses(self, common: Any) -> None:
        sockets: dict[str, SocketFacts] = {}
        for field in ADDRESSES:
            message, reason = read_message(field, address_descriptor(), getattr(common, field))
            socket = message.socket_address
            is_port = socket.address and socket.port_value < 2**31
            sockets[field] = (socket.address or None, socket.port_value if is_port else None)
            if reason:
                self.problems.append(reason)
        self.tell_addresses(
            peer=sockets["downstream_direct_remote_address"],
            local=sockets["downstream_local_address"],
            upstream=sockets["upstream_remote_address"],
            upstream_local=sockets["upstream_local_address"],
        )

    def _request(self, record: Any) -> None:
        row, request = self.row, record.request
        row["http_request_method"] = envoy.enum_name(request.request_method, envoy.REQUEST_METHODS)
        row["url_scheme"] = request.scheme or None
        row["server_address"] = request.authority or None
        row["user_agent_original"] = request.user_agent or None
        row["http_request_forwarded_for"] = request.forwarded_for or None
        if record.HasField("request"):
            row["http_request_body_size"] = _fitting(request.request_body_bytes)
        row["network_protocol_version"] = envoy.enum_name(
            record.protocol_version, envoy.PROTOCOL_VERSIONS
        )
        content_type = _last(request.request_headers).get("content-type")
        self.tell_path(request.path or None, content_type=content_type)

    def _response(self, response: Any) -> None:
        row = self.row
        status = response.response_code.value
        row["http_response_status_code"] = status if 0 < status < 2**31 else None
        row["envoy_response_code_details"] = response.response_code_details or None
        headers, trailers = _last(response.response_headers), _last(response.response_trailers)
        row["http_response_content_type"] = headers.get("content-type")
        self.tell_grpc_status(trailers.get("grpc-status", headers.get("grpc-status")))

    def _correlation(self, record: Any) -> None:
        row = self.row
        if record.HasField("response"):
            row["http_response_body_size"] = _fitting(record.response.response_body_bytes)
        stream_id = envoy.mend_utf8(record.common_properties.stream_id)
        request_id = record.request.request_id or stream_id
        self.tell_correlation(_last(record.request.request_headers), request_id or None)

    def _user(self, record: Any) -> None:
        written = _last(record.common_properties.metadata.filter_metadata)
        what = "metadata of the JWT filter"
        struct, reason = read_message(what, payloads_descriptor(), written.get(JWT_FILTER, b""))
        if reason:
            self.problems.append(reason)
        payloads = {
            key: {
                claim: value.string_value for claim, value in _last(one.struct_value.fields).items()
            }
            for key, one in _last(struct.fields).items()
        }
        self.tell_user(payloads, _last(record.request.request_headers))


def _uris(certificate: Any) -> list[str]:
    return [name.uri for name in certificate.subject_alt_name if name.uri]


def _fitting(value: int) -> int | None:
    return value if value <= _INT64_MAX else None


def _last(entries: Iterable[Any]) -> dict[Any, Any]:
    return {item.key: item.value for item in entries}
