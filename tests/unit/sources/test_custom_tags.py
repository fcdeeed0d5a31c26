from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.custom_tags import UpstreamName, read_custom_tags, read_upstream_name
from tests.als_records import (
    FRONTEND,
    PAYMENTS,
    certificate,
    derive_both,
    entry,
    http_bytes,
    inbound,
    opened,
    outbound,
    tcp,
    tcp_bytes,
)

HASH = "0123456789abcdef" * 4
LEDGER = "spiffe://cluster.local/ns/shop/sa/ledger"
REFUSED = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"


def event(record: dict[str, Any], *, sender: bytes | None = None) -> dict[str, Any]:
    """The event of an HTTP record on which both mappers agree, without nulls."""
    row = derive_both(sender or opened(FRONTEND), entry(http_bytes(record)))[1]
    return {name: value for name, value in row.items() if value is not None}


def test_tags_fill_their_columns_in_requests_and_connections() -> None:
    tags = {"connection_id": "42", "peer_certificate_sha256": HASH, "team": "shop"}
    tcp_entry = entry(tcp_bytes(tcp(customTags=tags)), PayloadFormat.ALS_TCP, seq=2)
    _, request, connection = derive_both(
        opened(), entry(http_bytes(inbound(customTags=tags))), tcp_entry
    )
    for row in (request, connection):
        assert row["envoy_connection_id"] == 42
        assert row["tls_client_hash_sha256"] == bytes.fromhex(HASH)


@pytest.mark.parametrize("value", ["0", "-1", "+1", "01", "1.5", "", "1" * 19, "x", "12\n", "١"])
def test_connection_id_that_is_none_of_envoys_is_null(value: str) -> None:
    # 0 is what Envoy says of a socket that never became a connection: all of them share it.
    row = event(inbound(customTags={"connection_id": value}))
    assert "envoy_connection_id" not in row
    assert "decode_error" not in row


@pytest.mark.parametrize("value", ["", "ab", HASH.upper(), HASH + "00", "g" * 64])
def test_hash_of_another_shape_is_null(value: str) -> None:
    assert "tls_client_hash_sha256" not in event(
        inbound(customTags={"peer_certificate_sha256": value})
    )


def test_upstreams_name_is_the_callee_at_the_source() -> None:
    row = event(outbound(customTags={"upstream_peer_uri_san": PAYMENTS}))
    assert (row["dst_spiffe_id"], row["dst_spiffe_id_trust"]) == (PAYMENTS, "attested")
    assert (row["dst_namespace"], row["dst_service_account"]) == ("shop", "payments")
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "derived")


@pytest.mark.parametrize("auth", ["none", "token"])
def test_upstreams_name_is_reported_by_whom_no_certificate_authenticated(auth: str) -> None:
    record = outbound(customTags={"upstream_peer_uri_san": PAYMENTS})
    assert event(record, sender=opened(None, auth=auth))["dst_spiffe_id_trust"] == "reported"


def test_upstreams_name_is_reported_by_whom_is_not_the_proxy_of_the_record() -> None:
    tls = {"tlsVersion": "TLSv1_3", "localCertificateProperties": certificate(LEDGER)}
    record = outbound(customTags={"upstream_peer_uri_san": PAYMENTS}, tlsProperties=tls)
    assert event(record)["dst_spiffe_id_trust"] == "reported"
    assert event(record, sender=opened(LEDGER))["dst_spiffe_id_trust"] == "attested"


def test_upstream_that_was_refused_is_only_asserted() -> None:
    record = outbound(
        customTags={"upstream_peer_uri_san": LEDGER}, upstreamTransportFailureReason=REFUSED
    )
    row = event(record)
    assert (row["dst_spiffe_id"], row["dst_spiffe_id_trust"]) == (LEDGER, "asserted")


def test_own_certificate_of_a_proxy_is_never_the_callee_at_the_source() -> None:
    tls = {"tlsVersion": "TLSv1_3", "localCertificateProperties": certificate(LEDGER)}
    row = event(outbound(tlsProperties=tls), sender=opened(LEDGER))
    assert row["side"] == "source"
    assert not [name for name in row if name.startswith("dst_") and name[4:] not in {"ip", "port"}]


def test_upstreams_name_is_no_callee_at_the_destination() -> None:
    row = event(inbound(customTags={"upstream_peer_uri_san": LEDGER}), sender=opened(PAYMENTS))
    assert (row["dst_spiffe_id"], row["dst_spiffe_id_trust"]) == (PAYMENTS, "attested")


def test_several_names_of_an_upstream_are_no_identity_and_say_so() -> None:
    row = event(outbound(customTags={"upstream_peer_uri_san": f"{PAYMENTS},{LEDGER}"}))
    assert "dst_spiffe_id" not in row
    assert row["decode_error"] == "upstream certificate with several URI SANs"


def test_decision_stays_held_to_the_proxys_own_certificate() -> None:
    tls = {"tlsVersion": "TLSv1_3", "localCertificateProperties": certificate(LEDGER)}
    record = inbound(
        upstreamCluster="outbound|80||x",
        tlsProperties=tls,
        customTags={"upstream_peer_uri_san": FRONTEND},
    )
    assert event(record, sender=opened(LEDGER))["decision_trust"] == "attested"
    assert event(record, sender=opened(FRONTEND))["decision_trust"] == "reported"


def test_bytes_that_are_no_text_cost_a_tag_and_not_the_record() -> None:
    # Tags can hold what a caller sent; proto3 would refuse the whole record for it.
    tag = b"\x0a\x15upstream_peer_uri_san\x12\x02\xff\xfe"
    common = b"\xb2\x01" + bytes([len(tag)]) + tag
    base = accesslog_pb2.HTTPAccessLogEntry()
    base.common_properties.upstream_cluster = "outbound|80||x"
    inner = base.common_properties.SerializeToString() + common
    row = derive_both(opened(FRONTEND), entry(b"\x0a" + bytes([len(inner)]) + inner))[1]
    assert row["kind"] == "request"
    assert row["dst_spiffe_id"] is None
    assert row["decode_error"] is None


def test_of_equal_tags_the_last_counts() -> None:
    parts = []
    for number in ("1", "2"):
        part = accesslog_pb2.HTTPAccessLogEntry()
        part.common_properties.custom_tags["connection_id"] = number
        parts.append(part.SerializeToString())
    assert derive_both(entry(b"".join(parts)))[0]["envoy_connection_id"] == 2


def test_records_without_tags_are_told_at_once() -> None:
    tag = pa.struct([("key", pa.binary()), ("value", pa.binary())])
    assert read_custom_tags(pa.array([[], None], pa.list_(tag))) is None


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (None, UpstreamName()),
        (b"", UpstreamName()),
        (b"\xff", UpstreamName()),
        (b"spiffe://a/b", UpstreamName(uri="spiffe://a/b")),
        (b"spiffe://a/b,spiffe://a/c", UpstreamName(has_many=True)),
        (b",", UpstreamName(has_many=True)),
    ],
)
def test_upstreams_names_are_one_or_none(names: bytes | None, wanted: UpstreamName) -> None:
    assert read_upstream_name(names) == wanted
