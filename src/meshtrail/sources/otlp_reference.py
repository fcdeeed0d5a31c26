"""The row-wise reference of OTLP log records: protobuf's own parser, one record at a time.

Slow and plain on purpose. It follows docs/formats/event.md and shares with the columnar mapper only
the meaning of single values (``envoy_values``), the table of attributes, the cut descriptor and the
stream facts.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from meshtrail.model import otlp_attributes as known
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_reference import AccessRow, SocketFacts
from meshtrail.sources.envoy_messages import NOT_JSON, plain_reason
from meshtrail.sources.otlp_log_records import NOT_ONE_RECORD
from meshtrail.sources.otlp_log_schema import RECORDS, RESOURCES, SCOPES, log_export_descriptor
from meshtrail.sources.reference_parts import parse_message
from meshtrail.sources.tls_failures import read_failure

if TYPE_CHECKING:
    from meshtrail.sources.streams import StreamFacts

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_DURATION: Final = re.compile(
    r"(?:([0-9]{1,6})h)?(?:([0-9]{1,2})m)?(?:([0-9]{1,3})(?:\.([0-9]{1,15}))?(s|ms|us|ns))?"
)
_SOCKET: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+)):([0-9]{1,5})")
_DIGITS_BELOW: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0}
_HEADER: Final = "http.request.header."
_TRACED: Final = ("traceparent", "b3", "x-b3-traceid", "x-b3-spanid")
_RBAC_REFUSED: Final = f"metadata of an RBAC filter: {NOT_JSON}"

Row = dict[str, Any]


def map_otlp_log(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of an OTLP log record."""
    OtlpLogRow(row, problems, facts).map(payload)


class OtlpLogRow(AccessRow):
    """Fills the row of one OTLP log record."""

    def __init__(self, row: Row, problems: list[str], facts: StreamFacts) -> None:
        super().__init__(row, problems, facts)
        self._said: dict[str, str] = {}

    def map(self, payload: bytes) -> None:
        """Fill the row."""
        try:
            export = parse_message(log_export_descriptor(), payload)
        except DecodeError as error:
            self.refuse([plain_reason(error)])
            return
        records = [
            record
            for resource in getattr(export, RESOURCES)
            for scope in getattr(resource, SCOPES)
            for record in getattr(scope, RECORDS)
        ]
        if len(records) != 1:
            self.refuse([NOT_ONE_RECORD])
            return
        [record] = records
        attributes = {item.key: item.value.string_value for item in record.attributes}
        if known.ACCESS_LOG_TYPE not in attributes:
            self._times(record)
            self._trace(record)
            self.row["kind"] = "log_record"
            return
        is_request = self._select(attributes)
        try:
            rbac = _JsonFields(
                [self._said.get(key) for key in (known.RBAC_HTTP, known.RBAC_NETWORK)]
            )
        except ValueError:
            self.refuse([_RBAC_REFUSED])
            return
        self._times(record)
        self._access(record, rbac, is_request=is_request)

    def _select(self, attributes: dict[str, bytes]) -> bool:
        """Keep what is read of a record of this kind; whether it is of a request."""
        texts = {key: envoy.mend_utf8(value) for key, value in attributes.items()}
        log_type = texts[known.ACCESS_LOG_TYPE]
        is_request = log_type.startswith(("Downstream", "Upstream"))
        told = known.Told.REQUEST if is_request else known.Told.CONNECTION
        keys = {one.key for one in known.ATTRIBUTES if told in one.told}
        self._said = {
            key: text for key, text in texts.items() if key in keys and text not in ("", "-")
        }
        return is_request

    def _access(self, record: Any, rbac: _JsonFields, *, is_request: bool) -> None:  # noqa: ANN401 - generated classes have no types
        self._envoy()
        self._tls()
        self._request()
        self._response()
        self._sizes(is_request=is_request)
        self._correlation(record)
        upstream = self._said.get("envoy.upstream_peer_uri_san", "")
        self._connection()
        self.tell_identities(self._uris("peer"), self._uris("local"), upstream=upstream.encode())
        self.tell_addresses(
            peer=self._socket("network.peer."),
            local=self._socket("network.local."),
            upstream=self._host(),
            upstream_local=self._socket("envoy.upstream_local_"),
        )
        self.tell_decision(rbac)
        if is_request:
            self.row["kind"] = "request"
            self.row["tls_failure"] = read_failure(self.row["envoy_upstream_transport_failure"])
        else:
            self.tell_handshake()

    def _times(self, record: Any) -> None:  # noqa: ANN401 - as above
        row, moment = self.row, record.time_unix_nano
        row["time"] = moment if 0 < moment <= _INT64_MAX else None
        if moment > _INT64_MAX:
            self.problems.append("time_unix_nano is not a time")
        row["duration"] = self._duration("envoy.duration")
        for name in ("request_duration", "response_start_duration"):
            row[name] = self._number(f"envoy.{name}")
        self.tell_end()

    def _envoy(self) -> None:
        row, said = self.row, self._said
        log_type = said.get(known.ACCESS_LOG_TYPE)
        row["envoy_access_log_type"] = None if log_type == "NotSet" else log_type
        row["envoy_response_flags"] = envoy.flags_of_text(said.get("envoy.response_flags"))
        for name in (
            "connection_termination_details",
            "response_code_details",
            "upstream_cluster",
            "route_name",
            "upstream_transport_failure",
            "downstream_transport_failure",
        ):
            row[f"envoy_{name}"] = said.get(f"envoy.{name}")
        row["envoy_attempt_count"] = self._number("envoy.attempt_count", _INT32_MAX) or None

    def _tls(self) -> None:
        row, said = self.row, self._said
        version, cipher = said.get("envoy.tls_version"), said.get("envoy.tls_cipher")
        agreed = envoy.tls_version_of_text(version) if cipher else None
        row["tls_protocol_version"] = envoy.tls_version_of_cipher(cipher) or agreed
        row["tls_cipher"] = envoy.cipher_of_text(cipher)
        self.ends_tls = version is not None
        row["tls_server_name"] = said.get("envoy.tls_server_name")
        row["tls_client_ja3"] = said.get("envoy.tls_ja3")
        row["tls_client_subject"] = said.get("envoy.peer_subject")
        row["tls_client_issuer"] = said.get("envoy.peer_issuer")

    def _connection(self) -> None:
        self.row["envoy_connection_id"] = self._number("envoy.connection_id") or None
        digest = self._said.get("envoy.peer_certificate_sha256", "")
        if re.fullmatch("[0-9a-f]{64}", digest):
            self.row["tls_client_hash_sha256"] = bytes.fromhex(digest)

    def _request(self) -> None:
        row, said = self.row, self._said
        row["http_request_method"] = said.get("http.request.method")
        row["url_scheme"] = said.get("url.scheme")
        row["server_address"] = said.get("server.address")
        row["user_agent_original"] = said.get("user_agent.original")
        row["http_request_forwarded_for"] = said.get(f"{_HEADER}x-forwarded-for")
        row["network_protocol_version"] = envoy.protocol_of_text(said.get("envoy.protocol"))
        self.tell_path(
            said.get("envoy.request_path"), content_type=said.get(f"{_HEADER}content-type")
        )

    def _response(self) -> None:
        row, said = self.row, self._said
        row["http_response_status_code"] = (
            self._number("http.response.status_code", _INT32_MAX) or None
        )
        row["http_response_content_type"] = said.get("http.response.header.content-type")
        trailer = said.get("envoy.response_trailer.grpc-status")
        self.tell_grpc_status(trailer or said.get("http.response.header.grpc-status"))

    def _sizes(self, *, is_request: bool) -> None:
        for end, body in (("received", "request"), ("sent", "response")):
            size = self._number(f"envoy.bytes_{end}")
            on_wire = self._number(f"envoy.wire_bytes_{end}")
            self.row[f"http_{body}_body_size"] = size if is_request else None
            self.row[f"bytes_{end}"] = on_wire if is_request else size

    def _correlation(self, record: Any) -> None:  # noqa: ANN401 - as above
        said = self._said
        headers = {name: said.get(f"{_HEADER}{name}", "") for name in _TRACED}
        request_id = said.get(f"{_HEADER}x-request-id") or said.get("envoy.stream_id")
        self.tell_correlation(headers, request_id)
        if self.row["trace_id"] is None:
            self._trace(record)

    def _trace(self, record: Any) -> None:  # noqa: ANN401 - as above
        """The ids that stand beside the attributes."""
        row, trace, span = self.row, record.trace_id, record.span_id
        if len(trace) == _TRACE_BYTES and any(trace):
            row["trace_id"], row["trace_id_trust"] = trace, "asserted"
            row["span_id"] = span if len(span) == _SPAN_BYTES and any(span) else None

    def _uris(self, whose: str) -> list[str]:
        names = self._said.get(f"envoy.{whose}_uri_san", "")
        return [uri for uri in names.split(",") if uri]

    def _socket(self, name: str) -> SocketFacts:
        ip, port = self._said.get(f"{name}address"), self._number(f"{name}port", _INT32_MAX)
        return (None, None) if ip is None or port is None else (ip, port)

    def _host(self) -> SocketFacts:
        match = _SOCKET.fullmatch(self._said.get("envoy.upstream_host", ""))
        return (match[1] or match[2], int(match[3])) if match else (None, None)

    def _number(self, key: str, maximum: int = _INT64_MAX) -> int | None:
        text = self._said.get(key)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            self.problems.append(f"{key} is not a number")
            return None
        return int(text) if int(text) <= maximum else None

    def _duration(self, key: str) -> int | None:
        text = self._said.get(key)
        if text is None or text == "0":
            return None if text is None else 0
        match = _DURATION.fullmatch(text)
        if match is None:
            self.problems.append(f"{key} is not a time")
            return None
        hours, minutes, whole, fraction, unit = match.groups()
        small = 0
        if unit:
            below = _DIGITS_BELOW[unit]
            small = int(whole + (fraction or "").ljust(below, "0")[:below])
        return (int(hours or 0) * 60 + int(minutes or 0)) * 60 * 10**9 + small


class _JsonFields:
    """The texts that RBAC filters wrote, in order."""

    def __init__(self, written: list[str | None]) -> None:
        """Read what filters wrote.

        Raises:
            ValueError: one of it is no JSON object, or holds half of a surrogate pair.
        """
        self._fields: list[tuple[str, str]] = []
        for text in filter(None, written):
            self._fields += _json_pairs(text)

    def last(self, suffix: str, value: str | None = None) -> str | None:
        """The value of the last field whose key ends so and that is not empty."""
        found = [word for key, word in self._fields if key.endswith(suffix) and word]
        if value is not None:
            found = [word for word in found if word == value]
        return found[-1] if found else None


def _json_pairs(text: str) -> list[tuple[str, str]]:
    pairs: list[list[tuple[str, Any]]] = []

    def keep(one: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.append(one)
        return dict(one)

    try:
        whole = json.loads(text, object_pairs_hook=keep)
    except RecursionError as error:
        raise ValueError(text) from error
    if not isinstance(whole, dict):
        raise ValueError(text)  # noqa: TRY004 - one kind of error
    # The outermost object ends last.
    words = [(key, word) for key, word in pairs[-1] if isinstance(word, str)]
    for key, word in words:
        key.encode()
        word.encode()
    return words
