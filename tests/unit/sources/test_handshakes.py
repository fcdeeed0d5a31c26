from __future__ import annotations

from typing import Any

import pytest

from meshtrail.model.entry import PayloadFormat
from tests.als_records import (
    FRONTEND,
    derive_both,
    entry,
    http_bytes,
    inbound,
    opened,
    outbound,
    tcp,
    tcp_bytes,
)

NO_CERTIFICATE = (
    "TLS_error:|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE"
)
INSPECTED = "TLS_error|error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end"
BROKEN = "TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer"
NO_TLS: dict[str, Any] = {"tlsProperties": {}}


def connection(received: int = 0, sent: int = 0, **common: Any) -> dict[str, Any]:
    """The event of a connection's record on which both mappers agree."""
    record = tcp(accessLogType="NotSet", **common)
    record["connectionProperties"] = {"receivedBytes": str(received), "sentBytes": str(sent)}
    return derive_both(opened(), entry(tcp_bytes(record), PayloadFormat.ALS_TCP))[1]


@pytest.mark.parametrize(
    ("received", "sent", "kind"),
    [(0, 0, "handshake"), (0, 19, "handshake"), (5, 0, "connection"), (5, 7, "connection")],
)
def test_handshake_has_failed_where_a_reason_stands_and_no_byte_came_in(
    received: int, sent: int, kind: str
) -> None:
    # What an upstream says at once is counted as sent before any handshake is done.
    row = connection(received, sent, downstreamTransportFailureReason=NO_CERTIFICATE)
    assert row["kind"] == kind
    assert row["tls_failure"] == "no_peer_certificate"


def test_connection_without_a_reason_has_no_failure() -> None:
    row = connection()
    assert (row["kind"], row["tls_failure"]) == ("connection", None)


def test_plaintext_is_welcome_where_a_listener_ends_no_tls() -> None:
    flags = {"upstreamConnectionFailure": True}
    row = connection(downstreamTransportFailureReason=INSPECTED, responseFlags=flags, **NO_TLS)
    assert (row["kind"], row["tls_failure"]) == ("connection", "plaintext")


def test_plaintext_that_no_filter_chain_takes_has_failed() -> None:
    flags = {"noRouteFound": True, "localReset": True}
    row = connection(downstreamTransportFailureReason=INSPECTED, responseFlags=flags, **NO_TLS)
    assert (row["kind"], row["tls_failure"]) == ("handshake", "plaintext")


@pytest.mark.parametrize("moment", ["TcpUpstreamConnected", "TcpPeriodic"])
def test_connection_that_lasts_is_no_failed_handshake(moment: str) -> None:
    record = tcp(downstreamTransportFailureReason=INSPECTED, accessLogType=moment)
    record["connectionProperties"] = {}
    row = derive_both(opened(), entry(tcp_bytes(record), PayloadFormat.ALS_TCP))[1]
    assert row["kind"] == "connection"


@pytest.mark.parametrize(("received", "trust"), [(0, "asserted"), (1, "attested")])
@pytest.mark.parametrize("reason", ["", BROKEN])
def test_caller_is_attested_only_once_a_byte_proves_that_the_handshake_was_done(
    received: int, trust: str, reason: str
) -> None:
    # Envoy reports a certificate before the caller has shown that it holds the key.
    row = connection(received, 19, downstreamTransportFailureReason=reason)
    assert row["src_spiffe_id"] == FRONTEND
    assert row["src_spiffe_id_trust"] == ("asserted" if reason else trust)


def test_caller_at_the_source_stays_derived_where_no_byte_came_in() -> None:
    record = {"commonProperties": outbound()["commonProperties"]}
    row = derive_both(opened(FRONTEND), entry(tcp_bytes(record), PayloadFormat.ALS_TCP))[1]
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "derived")


def test_upstreams_failure_is_a_connections_where_the_caller_had_none() -> None:
    upstream = "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER"
    row = connection(upstreamTransportFailureReason=upstream)
    assert (row["kind"], row["tls_failure"]) == ("connection", "plaintext")
    both = connection(
        upstreamTransportFailureReason=upstream, downstreamTransportFailureReason=NO_CERTIFICATE
    )
    assert both["tls_failure"] == "no_peer_certificate"


def test_requests_failure_is_that_of_its_upstream() -> None:
    record = inbound(
        upstreamTransportFailureReason=NO_CERTIFICATE, downstreamTransportFailureReason=BROKEN
    )
    row = derive_both(opened(), entry(http_bytes(record)))[1]
    assert (row["kind"], row["tls_failure"]) == ("request", "no_peer_certificate")
