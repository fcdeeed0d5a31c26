"""Records of another proxy than the one that their sender was authenticated as."""

from __future__ import annotations

import json

import pytest

from meshtrail.model.entry import EntryType, PayloadFormat
from tests.als_messages import length_delimited
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


def conflicts(*senders_and_records: bytes) -> list[str | None]:
    return [row["reporter_conflict"] for row in derive_both(*senders_and_records)]


def test_a_record_of_another_proxy_names_both_in_its_own_row_alone() -> None:
    own = entry(http_bytes(inbound()), seq=1)
    own_tcp = entry(tcp_bytes(tcp()), PayloadFormat.ALS_TCP, seq=2)
    foreign = inbound()
    tls = foreign["commonProperties"]["tlsProperties"]
    tls["localCertificateProperties"] = certificate(FRONTEND)
    other = entry(http_bytes(foreign), seq=3)
    said = f'record of "{FRONTEND}", sent by "{PAYMENTS}"'
    assert conflicts(opened(), own, other, own_tcp, other) == [None, None, said, None, said]


def test_records_of_several_others_name_each_in_its_own_row() -> None:
    senders = [opened(FRONTEND, stream=stream) for stream in (1, 2)] + [opened(stream=3)]
    records = []
    for stream in (1, 2, 3):
        for identity in (FRONTEND, PAYMENTS, "spiffe://td/x"):
            record = inbound()
            tls = record["commonProperties"]["tlsProperties"]
            tls["localCertificateProperties"] = certificate(identity)
            records.append(entry(http_bytes(record), stream=stream))
    from_frontend = [
        None,
        f'record of "{PAYMENTS}", sent by "{FRONTEND}"',
        f'record of "spiffe://td/x", sent by "{FRONTEND}"',
    ]
    from_payments = [
        f'record of "{FRONTEND}", sent by "{PAYMENTS}"',
        None,
        f'record of "spiffe://td/x", sent by "{PAYMENTS}"',
    ]
    wanted = [None, None, None, *from_frontend, *from_frontend, *from_payments]
    assert conflicts(*senders, *records) == wanted


@pytest.mark.parametrize("auth", ["token", "none"])
def test_a_sender_without_a_proven_identity_contradicts_no_record(auth: str) -> None:
    assert conflicts(opened(FRONTEND, auth=auth), entry(http_bytes(inbound()))) == [None, None]


def test_only_a_destinations_certificate_says_whose_record_it_is() -> None:
    # A gateway shows its clients a certificate that need not be the one it reports with.
    record = inbound(upstreamCluster="outbound|8080||payments.shop")
    assert conflicts(opened(FRONTEND), entry(http_bytes(record))) == [None, None]
    several = inbound()
    tls = several["commonProperties"]["tlsProperties"]
    tls["localCertificateProperties"] = certificate(FRONTEND, PAYMENTS)
    assert conflicts(opened(FRONTEND), entry(http_bytes(several))) == [None, None]


def test_conflicts_of_stream_and_record_stand_side_by_side() -> None:
    said = {
        "auth": "xfcc",
        "authenticated": {"spiffe_id": FRONTEND},
        "claimed": {"metadata": {"SERVICE_ACCOUNT": "payments"}},
    }
    lying = entry(
        json.dumps(said).encode(),
        PayloadFormat.MESHTRAIL_JSON,
        entry_type=EntryType.STREAM_OPENED,
        seq=0,
    )
    of_stream = 'claims service account "payments", is of "frontend"'
    both = f'{of_stream}; record of "{PAYMENTS}", sent by "{FRONTEND}"'
    records = [entry(http_bytes(inbound())), entry(b"\xff"), entry(http_bytes(outbound()))]
    assert conflicts(lying, *records) == [of_stream, both, of_stream, of_stream]


def test_a_record_of_which_nothing_is_told_says_of_its_sender_what_its_stream_does() -> None:
    rbac = length_delimited(1, b"envoy.filters.http.rbac") + length_delimited(2, b"\x0a\xff")
    metadata = length_delimited(17, length_delimited(1, rbac))
    unreadable = http_bytes(inbound(metadata={})) + length_delimited(1, metadata)
    rows = derive_both(opened(FRONTEND), entry(unreadable), entry(http_bytes(inbound())))
    assert [row["kind"] for row in rows[1:]] == ["undecoded", "request"]
    assert [row["reporter_conflict"] is None for row in rows] == [True, True, False]
