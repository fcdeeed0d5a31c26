"""The row-wise reference of ``envoy_attributes``: one record at a time, slow and plain.

It follows docs/formats/event.md and shares with the columnar mapper only the meaning of single
values (``envoy_values``) and the table of attributes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.model import otlp_attributes as known
from meshtrail.model.users import USER_HEADERS
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_reference import AccessRow, SocketFacts
from meshtrail.sources.envoy_messages import NOT_JSON
from meshtrail.sources.tls_failures import read_failure

if TYPE_CHECKING:
    from meshtrail.sources.access_reference import Payloads
    from meshtrail.sources.streams import StreamFacts

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_DURATION: Final = re.compile(
    r"(?:([0-9]{1,6})h)?(?:([0-9]{1,2})m)?(?:([0-9]{1,3})(?:\.([0-9]{1,15}))?(s|ms|us|ns))?"
)
_SOCKET: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+)):([0-9]{1,5})")
_DIGITS_BELOW: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0}
_HEADER: Final = "http.request.header."
_TRACED: Final = ("traceparent", "b3", "x-b3-traceid", "x-b3-spanid")
_JWT_UNREAD: Final = f"metadata of the JWT filter: {NOT_JSON}"
_RBAC_REFUSED: Final = f"metadata of an RBAC filter: {NOT_JSON}"

Row = dict[str, Any]
Ids = tuple[bytes | None, bytes | None]
"""Trace and span id."""


class AttributeRow(AccessRow):
    """Fills the row of one record of Envoy's access log from its attributes."""

    def __init__(self, row: Row, problems: list[str], facts: StreamFacts) -> None:
        super().__init__(row, problems, facts)
        self._said: dict[str, str] = {}

    def tell_attributes(
        self, texts: dict[str, str], *, time: tuple[int | None, str | None], beside: Ids
    ) -> None:
        """Fill the row.

        Args:
            texts: by key.
            time: start in nanoseconds, and why there is none.
            beside: ids that count where no header has any.
        """
        log_type = texts[known.ACCESS_LOG_TYPE]
        is_request = log_type.startswith(("Downstream", "Upstream"))
        told = known.Told.REQUEST if is_request else known.Told.CONNECTION
        keys = {one.key for one in known.ATTRIBUTES if told in one.told}
        self._said = {
            key: text for key, text in texts.items() if key in keys and text not in ("", "-")
        }
        try:
            rbac = _JsonFields(
                [self._said.get(key) for key in (known.RBAC_HTTP, known.RBAC_NETWORK)]
            )
        except ValueError:
            self.refuse([_RBAC_REFUSED])
            return
        self.tell_time(*time)
        self._access(rbac, beside, is_request=is_request)

    def tell_time(self, time_ns: int | None, problem: str | None) -> None:
        """``time``, or why there is none."""
        self.row["time"] = time_ns
        self.problems += [problem] if problem is not None else []

    def tell_ids(self, ids: Ids) -> None:
        """The ids that stand beside the attributes."""
        trace, span = ids
        if trace is not None:
            self.row |= {"trace_id": trace, "trace_id_trust": "asserted", "span_id": span}

    def _access(self, rbac: _JsonFields, beside: Ids, *, is_request: bool) -> None:
        self._durations()
        self._envoy()
        self._tls()
        self._request()
        self._response()
        self._sizes(is_request=is_request)
        self._correlation(beside)
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
        self._user()
        if is_request:
            self.row["kind"] = "request"
            self.row["tls_failure"] = read_failure(self.row["envoy_upstream_transport_failure"])
        else:
            self.tell_handshake()

    def _durations(self) -> None:
        self.row["duration"] = self._duration("envoy.duration")
        for name in ("request_duration", "response_start_duration"):
            self.row[name] = self._number(f"envoy.{name}")
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

    def _correlation(self, beside: Ids) -> None:
        said = self._said
        headers = {name: said.get(f"{_HEADER}{name}", "") for name in _TRACED}
        request_id = said.get(f"{_HEADER}x-request-id") or said.get("envoy.stream_id")
        self.tell_correlation(headers, request_id)
        if self.row["trace_id"] is None:
            self.tell_ids(beside)

    def _user(self) -> None:
        headers = {name: self._said.get(f"{_HEADER}{name}", "") for name in USER_HEADERS}
        try:
            payloads = _payloads(self._said.get(known.JWT_AUTHN, "{}"))
        except ValueError:
            payloads = {}
            self.problems.append(_JWT_UNREAD)
        self.tell_user(payloads, headers)

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


def _payloads(text: str) -> Payloads:
    """The claims that are texts of what names a subject, by key.

    Raises:
        ValueError: it is no JSON object, or a name holds half of a surrogate pair.
    """
    try:
        whole = json.loads(text)
    except RecursionError as error:
        raise ValueError(text) from error
    if not isinstance(whole, dict):
        raise ValueError(text)  # noqa: TRY004 - one kind of error
    found: Payloads = {}
    for key, one in whole.items():
        claims = one if isinstance(one, dict) else {}
        named = {
            claim: value
            for claim, value in claims.items()
            if claim in ("sub", "iss") and isinstance(value, str)
        }
        if named.get("sub"):
            "".join(named.values()).encode()
            found[key] = named
    return found


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
