from __future__ import annotations

import json

import pyarrow as pa
import pytest

from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.sources.streams import (
    CLOCK_COLUMNS,
    REPORTER_COLUMNS,
    STREAM_COLUMNS,
    StreamFacts,
    Streams,
    parse_stream_opened,
    streams_from_events,
)
from tests.als_records import (
    PAYMENTS,
    closed,
    derive,
    derive_both,
    entry,
    http_bytes,
    inbound,
    opened,
)


def test_an_opening_says_who_was_authenticated_and_what_is_claimed() -> None:
    facts = parse_stream_opened(opened()[32:])
    assert facts == StreamFacts("sidecar~10.0.0.7", "payments", PAYMENTS, "mtls", "in")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[1",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        b'{"auth":"\\ud800"}',
        b'{"claimed":{"node_id":"a\\udfffb"}}',
    ],
)
def test_what_is_no_opening_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it
        parse_stream_opened(payload)


@pytest.mark.parametrize("payload", [b"[" * 60_000, b'{"auth":"\\ud800"}'])
def test_a_strange_opening_leaves_the_sender_unknown(payload: bytes) -> None:
    strange = entry(
        payload, PayloadFormat.MESHTRAIL_JSON, entry_type=EntryType.STREAM_OPENED, seq=0
    )
    (_, row) = derive(strange, entry(http_bytes(inbound())))
    assert "reporter_auth" not in row


def test_a_long_claim_is_cut_since_it_stands_in_every_row_of_its_stream() -> None:
    claimed = {"node_id": "é" * 5_000, "node_cluster": "c" * 5_000, "log_name": "n" * 1_024}
    facts = parse_stream_opened(json.dumps({"claimed": claimed}).encode())
    assert facts == StreamFacts("é" * 1_024, "c" * 1_024, log_name="n" * 1_024)


def test_values_of_another_type_are_absent() -> None:
    opening = {"claimed": {"node_id": 1, "log_name": None}, "authenticated": [], "auth": {}}
    assert parse_stream_opened(json.dumps(opening).encode()) == StreamFacts()


def test_open_streams_are_found_again_in_their_events() -> None:
    rows = derive(opened(stream=1), opened(stream=2), closed(stream=1), opened(None, stream=3))
    names = dict.fromkeys((*STREAM_COLUMNS, *CLOCK_COLUMNS))
    events = pa.table({name: [row.get(name) for row in rows] for name in names})
    streams = streams_from_events(events)
    assert list(streams) == [2, 3]
    assert streams.get(2) == parse_stream_opened(opened()[32:])
    assert streams.get(3).spiffe_id is None


def test_a_copy_of_streams_goes_its_own_way() -> None:
    streams = Streams({1: StreamFacts("a")})
    copy = streams.copy()
    copy.close(1)
    copy.close(1)
    assert (len(streams), len(copy)) == (1, 0)
    assert copy.get(1) == StreamFacts()


def facts(auth: str, spiffe_id: str | None, **claimed: object) -> StreamFacts:
    said = {"auth": auth, "authenticated": {"spiffe_id": spiffe_id}, "claimed": claimed}
    return parse_stream_opened(json.dumps(said).encode())


@pytest.mark.parametrize(
    ("auth", "is_proof"),
    [("mtls", True), ("xfcc", True), ("token", False), ("none", False), ("kerberos", False)],
)
def test_only_a_certificate_can_attest(auth: str, *, is_proof: bool) -> None:
    assert facts(auth, PAYMENTS).is_authenticated is is_proof
    assert not facts(auth, None).is_authenticated
    (_, row) = derive(opened(auth=auth), entry(http_bytes(inbound())))
    trust = "attested" if is_proof else "reported"
    assert (row["dst_spiffe_id_trust"], row["decision_trust"]) == (trust, trust)


def test_claims_against_the_certificate_stand_in_every_row_of_the_stream() -> None:
    lying = {
        "claimed": {"metadata": {"NAMESPACE": "bank"}},
        "authenticated": {"spiffe_id": PAYMENTS},
    }
    first = entry(
        json.dumps({"auth": "mtls", **lying}).encode(),
        PayloadFormat.MESHTRAIL_JSON,
        entry_type=EntryType.STREAM_OPENED,
        seq=0,
    )
    rows = derive_both(first, entry(http_bytes(inbound())), entry(b"\xff"), closed(seq=3))
    conflict = 'claims namespace "bank", is of "shop"'
    assert [row["reporter_conflict"] for row in rows] == [conflict] * 4


def test_claims_against_the_token_are_a_conflict() -> None:
    said = {
        "auth": "token",
        "authenticated": {"token": "t", "reporters": ["shop-*", 7]},
        "claimed": {"node_id": "bank-1"},
    }
    found = parse_stream_opened(json.dumps(said).encode())
    assert (found.token, found.conflict) == ("t", 'node id "bank-1" is none of token "t"')


@pytest.mark.parametrize("reporters", [None, "x", {}])
def test_reporters_that_are_no_list_are_no_conflict(reporters: object) -> None:
    said = {"auth": "token", "authenticated": {"token": "t", "reporters": reporters}}
    assert parse_stream_opened(json.dumps(said).encode()).conflict is None


def test_conflict_of_a_stream_is_found_again_in_its_events() -> None:
    lying = facts("mtls", PAYMENTS, node_id="sidecar~ip~x.bank~bank.svc")
    columns = [lying.node_id, None, PAYMENTS, "mtls", None, None, None, lying.conflict]
    events = pa.table(
        {
            "kind": ["stream_opened"],
            "stream": [4],
            "received_time": [5],
            **{
                name: pa.array([value], pa.string())
                for name, value in zip(
                    (*REPORTER_COLUMNS, "about", "detail"), (*columns, None, None), strict=True
                )
            },
        }
    )
    assert lying.conflict is not None
    assert streams_from_events(events).get(4) == lying
