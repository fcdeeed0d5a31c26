"""Envoy's access log as attributes, whatever carries them, to event columns.

Here the facts are read, of ``model.otlp_attributes``; what follows from them is in
``access_rules``, as for records of Envoy's access log service. In words: docs/formats/event.md,
"How OTLP log records become events". Row-wise reference: ``envoy_attributes_reference``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model import otlp_attributes as known
from meshtrail.model.event import Kind
from meshtrail.model.users import USER_HEADERS
from meshtrail.sources import access_rules as rules
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_decisions import RbacWords
from meshtrail.sources.access_rules import Ends, Socket
from meshtrail.sources.access_users import make_words, tell_user
from meshtrail.sources.attribute_values import read_durations, read_numbers, read_sockets
from meshtrail.sources.columns import (
    decode_hex,
    map_distinct,
    mask_null,
    plain,
    read_distinct,
    without,
)
from meshtrail.sources.custom_tags import CustomTags, map_tags, read_upstream_name
from meshtrail.sources.envoy_messages import RbacFacts, read_rbac_json
from meshtrail.sources.handshakes import judge_handshakes
from meshtrail.sources.jwt_payloads import JwtFacts, read_payloads_json
from meshtrail.sources.tls_failures import map_failures

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.streams import Reporters

_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
_SHA256: Final = "x" * 64
_NOT_SET: Final = "NotSet"
_HEADER: Final = "http.request.header."


class AttributeFacts(ABC):
    """What the attributes of some records say.

    Attributes:
        rows_count: records.
        is_envoy: bool[n], whether it is of Envoy's access log.
        is_request: bool[n], whether it is of a request there, not of a connection.
    """

    rows_count: int
    is_envoy: npt.NDArray[np.bool_]
    is_request: npt.NDArray[np.bool_]

    @abstractmethod
    def text(self, key: str) -> pa.Array:
        """The text of an attribute.

        Args:
            key: one of ``ATTRIBUTES``.

        Returns:
            string[n], null where it is absent, empty or ``-``, and in records that it is not of.
        """

    def number(
        self, key: str, out: EventColumns, *, to: pa.DataType, zero_is_null: bool = False
    ) -> pa.Array:
        """The number that an attribute writes out; what is none is noted as a problem.

        Returns:
            to[n], null also where it does not fit.
        """
        number, wrong = read_numbers(self.text(key), to=to)
        out.problems[f"{key} is not a number"] = wrong
        return without(number, pc.equal(number, 0)) if zero_is_null else number

    def duration(self, key: str, out: EventColumns) -> pa.Array:
        """The duration that an attribute writes out with its units; otherwise as ``number``."""
        duration, wrong = read_durations(self.text(key))
        out.problems[f"{key} is not a time"] = wrong
        return duration


def map_attributes(
    facts: AttributeFacts,
    out: EventColumns,
    reporters: Reporters,
    *,
    beside: tuple[pa.Array, pa.Array],
) -> None:
    """Fill the columns of records.

    Args:
        facts: what their attributes say.
        out: what to fill; ``time`` is there.
        reporters: the sender of each.
        beside: trace and span ids that count where no header has any, binary(16)[n], binary(8)[n].
    """
    _map_durations(facts, out)
    _map_envoy(facts, out)
    _map_tls(facts, out)
    _map_request(facts, out)
    _map_response(facts, out)
    _map_sizes(facts, out)
    _map_correlation(facts, out, beside)
    ends, tags = _read_ends(facts), _read_tags(facts, out)
    map_tags(out, tags)
    rules.tell_identities(ends, tags, out, reporters)
    _map_addresses(facts, out)
    rules.tell_decision(out, _read_rbac(facts), own=ends.callee, reporters=reporters)
    _map_user(facts, ends, out, reporters)
    # That nothing is known of a decision is said of requests and connections alone.
    out.columns["decision"] = mask_null(out.columns["decision"], facts.is_envoy)
    _map_kind(facts, ends, out)


def is_of_request(log_type: pa.Array) -> npt.NDArray[np.bool_]:
    """Which access log types are of requests, not of connections: bool[n]."""
    starts = [pc.starts_with(log_type, start) for start in known.REQUEST_TYPES]
    return np.asarray(pc.fill_null(pc.or_(*starts), fill_value=False))


def _map_durations(facts: AttributeFacts, out: EventColumns) -> None:
    columns = out.columns
    columns["duration"] = facts.duration("envoy.duration", out)
    for name in ("request_duration", "response_start_duration"):
        columns[name] = facts.number(f"envoy.{name}", out, to=_I64)
    rules.tell_end(out)


def _map_envoy(facts: AttributeFacts, out: EventColumns) -> None:
    columns = out.columns
    columns["envoy_access_log_type"] = _of_distinct(
        facts.text(known.ACCESS_LOG_TYPE), lambda name: None if name == _NOT_SET else name
    )
    columns["envoy_response_flags"] = _of_distinct(
        facts.text("envoy.response_flags"), envoy.flags_of_text
    )
    for name in (
        "connection_termination_details",
        "response_code_details",
        "upstream_cluster",
        "route_name",
        "upstream_transport_failure",
        "downstream_transport_failure",
    ):
        columns[f"envoy_{name}"] = facts.text(f"envoy.{name}")
    columns["envoy_attempt_count"] = facts.number(
        "envoy.attempt_count", out, to=_I32, zero_is_null=True
    )


def _map_tls(facts: AttributeFacts, out: EventColumns) -> None:
    columns = out.columns
    version = _of_distinct(facts.text("envoy.tls_version"), envoy.tls_version_of_text)
    cipher = facts.text("envoy.tls_cipher")
    implied = _of_distinct(cipher, envoy.tls_version_of_cipher)
    agreed = pc.coalesce(plain(implied), mask_null(plain(version), pc.is_valid(cipher)))
    columns["tls_protocol_version"] = pc.dictionary_encode(agreed)
    columns["tls_cipher"] = _of_distinct(cipher, envoy.cipher_of_text)
    for name, source in (
        ("tls_server_name", "envoy.tls_server_name"),
        ("tls_client_ja3", "envoy.tls_ja3"),
        ("tls_client_subject", "envoy.peer_subject"),
        ("tls_client_issuer", "envoy.peer_issuer"),
    ):
        columns[name] = pc.dictionary_encode(facts.text(source))


def _map_request(facts: AttributeFacts, out: EventColumns) -> None:
    columns = out.columns
    columns["http_request_method"] = pc.dictionary_encode(facts.text("http.request.method"))
    columns["url_scheme"] = facts.text("url.scheme")
    columns["server_address"] = facts.text("server.address")
    columns["user_agent_original"] = facts.text("user_agent.original")
    columns["http_request_forwarded_for"] = facts.text(f"{_HEADER}x-forwarded-for")
    columns["network_protocol_version"] = _of_distinct(
        facts.text("envoy.protocol"), envoy.protocol_of_text
    )
    content_type = facts.text(f"{_HEADER}content-type")
    rules.tell_path(out, facts.text("envoy.request_path"), content_type=content_type)


def _map_response(facts: AttributeFacts, out: EventColumns) -> None:
    columns = out.columns
    columns["http_response_status_code"] = facts.number(
        "http.response.status_code", out, to=_I32, zero_is_null=True
    )
    columns["http_response_content_type"] = facts.text("http.response.header.content-type")
    rules.tell_grpc_status(
        out,
        trailer=facts.text("envoy.response_trailer.grpc-status"),
        header=facts.text("http.response.header.grpc-status"),
    )


def _map_sizes(facts: AttributeFacts, out: EventColumns) -> None:
    """Bodies and the wire of a request; what one operator calls a body is all of a connection."""
    is_request = pa.array(facts.is_request)
    for end, body in (("received", "request"), ("sent", "response")):
        size = facts.number(f"envoy.bytes_{end}", out, to=_I64)
        on_wire = facts.number(f"envoy.wire_bytes_{end}", out, to=_I64)
        out.columns[f"http_{body}_body_size"] = mask_null(size, is_request)
        out.columns[f"bytes_{end}"] = pc.if_else(is_request, on_wire, size)


def _map_correlation(
    facts: AttributeFacts, out: EventColumns, beside: tuple[pa.Array, pa.Array]
) -> None:
    request_id = pc.coalesce(facts.text(f"{_HEADER}x-request-id"), facts.text("envoy.stream_id"))
    headers = {name: facts.text(f"{_HEADER}{name}") for name in rules.TRACE_HEADERS}
    rules.tell_correlation(out, headers, request_id=request_id, beside=beside)


def _read_ends(facts: AttributeFacts) -> Ends:
    found = []
    for whose in ("peer", "local"):
        only, is_many = map_distinct(
            facts.text(f"envoy.{whose}_uri_san"), envoy.uris_of_text, [_S, pa.bool_()]
        )
        found.append((only, pc.fill_null(is_many, fill_value=False)))
    (caller, caller_many), (callee, callee_many) = found
    ends_tls = pc.is_valid(facts.text("envoy.tls_version"))
    return Ends(caller, callee, caller_many, callee_many, ends_tls)


def _read_tags(facts: AttributeFacts, out: EventColumns) -> CustomTags:
    """What the access log service tells in custom tags."""
    names = facts.text("envoy.upstream_peer_uri_san")
    uri, has_many = map_distinct(
        names, lambda text: read_upstream_name((text or "").encode()), [_S, pa.bool_()]
    )
    client_hash, _ = decode_hex(facts.text("envoy.peer_certificate_sha256"), _SHA256)
    return CustomTags(
        connection_id=facts.number("envoy.connection_id", out, to=_I64, zero_is_null=True),
        client_hash=client_hash,
        upstream_uri=plain(uri),
        upstream_has_many=pc.fill_null(has_many, fill_value=False),
    )


def _map_addresses(facts: AttributeFacts, out: EventColumns) -> None:
    def socket(name: str) -> Socket:
        ip = facts.text(f"{name}address")
        port = facts.number(f"{name}port", out, to=_I32)
        # The address of a pipe is its path, and it has no port.
        return Socket(mask_null(ip, pc.is_valid(port)), mask_null(port, pc.is_valid(ip)))

    rules.tell_addresses(
        out,
        peer=socket("network.peer."),
        local=socket("network.local."),
        upstream=Socket(*read_sockets(facts.text("envoy.upstream_host"))),
        upstream_local=socket("envoy.upstream_local_"),
    )


def _read_rbac(facts: AttributeFacts) -> RbacWords:
    """What the RBAC filter of requests wrote, then that of connections."""
    written = [facts.text(key) for key in (known.RBAC_HTTP, known.RBAC_NETWORK)]
    rows = [np.flatnonzero(np.asarray(pc.is_valid(text))) for text in written]
    texts = pa.concat_arrays(
        [text.take(pa.array(row)) for text, row in zip(written, rows, strict=True)]
    )
    words = {
        name: plain(column)
        for name, column in read_distinct(texts, read_rbac_json, RbacFacts).items()
    }
    return RbacWords(words, np.concatenate(rows), facts.rows_count)


def _map_user(facts: AttributeFacts, ends: Ends, out: EventColumns, reporters: Reporters) -> None:
    payloads = read_distinct(facts.text(known.JWT_AUTHN), read_payloads_json, JwtFacts)
    headers = [facts.text(f"{_HEADER}{name}") for name in USER_HEADERS]
    tell_user(out, make_words(payloads, headers), own=ends.callee, reporters=reporters)


def _map_kind(facts: AttributeFacts, ends: Ends, out: EventColumns) -> None:
    """Kind, and what a handshake that failed is of: all of a connection, not of a request."""
    columns, is_request = out.columns, pa.array(facts.is_request)
    caller_trust = columns["src_spiffe_id_trust"]
    judge_handshakes(out, ends_tls=ends.ends_tls)
    columns["src_spiffe_id_trust"] = pc.if_else(
        is_request, caller_trust, columns["src_spiffe_id_trust"]
    )
    of_upstream = plain(map_failures(columns["envoy_upstream_transport_failure"]))
    failure = pc.if_else(is_request, of_upstream, plain(columns["tls_failure"]))
    columns["tls_failure"] = pc.dictionary_encode(failure)
    kind = pc.if_else(is_request, Kind.REQUEST.value, columns["kind"])
    columns["kind"] = pc.if_else(pa.array(facts.is_envoy), kind, Kind.LOG_RECORD.value)


def _of_distinct(column: pa.Array, read: Callable[[str | None], str | None]) -> pa.Array:
    """What each text means, each distinct one read once, ``coded``."""
    (meant,) = map_distinct(column, lambda value: (read(value),), [_S])
    return meant
