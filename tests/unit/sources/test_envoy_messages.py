from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from google.protobuf import message_factory, struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.sources.als_schema import http_descriptor
from meshtrail.sources.envoy_messages import (
    RbacFacts,
    TlsFacts,
    read_flags,
    read_rbac,
    read_rbac_json,
    read_tls,
)
from tests.als_records import PAYMENTS, derive, derive_both, entry, http_bytes, inbound, opened

if TYPE_CHECKING:
    from collections.abc import Callable

HTTP_RBAC = "envoy.filters.http.rbac"
TRUNCATED, NO_UTF8 = b"\x0a\x05a", b"\x1a\x01\xff"


def http_record(*, tls: bytes = b"", rbac: bytes | None = None) -> bytes:
    """A record of a request for ``/`` with these bytes where its messages stand."""
    record: Any = message_factory.GetMessageClass(http_descriptor())()
    record.request.path = "/"
    record.common_properties.tls_properties = tls
    if rbac is not None:
        record.common_properties.metadata.filter_metadata.add(key=HTTP_RBAC, value=rbac)
    data: bytes = record.SerializeToString()
    return data


def tls_bytes(*, peer: list[str], local: list[str]) -> bytes:
    tls = accesslog_pb2.TLSProperties(tls_version=4)
    for uris, certificate in (
        (peer, tls.peer_certificate_properties),
        (local, tls.local_certificate_properties),
    ):
        for uri in uris:
            certificate.subject_alt_name.add(uri=uri)
    data: bytes = tls.SerializeToString()
    return data


def test_an_identity_is_the_only_uri_name_of_a_certificate() -> None:
    facts = read_tls(tls_bytes(peer=["spiffe://a/b"], local=["spiffe://a/b", "spiffe://a/c"]))
    assert (facts.caller, facts.caller_many) == ("spiffe://a/b", False)
    assert (facts.callee, facts.callee_many) == (None, True)


@pytest.mark.parametrize("read", [read_tls, read_rbac, read_flags])
def test_what_is_absent_says_nothing(read: Callable[[bytes | None], tuple[object, ...]]) -> None:
    assert not any(read(b"")), "an empty message"
    assert not any(read(None)), "no message"


@pytest.mark.parametrize(
    ("tls", "reason"),
    [(TRUNCATED, "not a protobuf message"), (NO_UTF8, "invalid UTF-8 in a string")],
)
def test_nothing_is_told_of_a_record_whose_tls_cannot_be_read(tls: bytes, reason: str) -> None:
    # Without its certificates a destination's record would pass for one of a source.
    odd = accesslog_pb2.HTTPAccessLogEntry()
    odd.common_properties.duration.seconds = -5
    good = http_bytes(inbound(upstreamCluster="payments")) + odd.SerializeToString()
    bad = good + http_record(tls=VALID + tls)
    rows = derive(opened(), entry(good), entry(bad, seq=2))
    assert rows[1]["side"] == "destination"
    assert rows[2]["decode_error"] == f"tls_properties: {reason}"
    assert rows[2]["kind"] == "undecoded"
    assert rows[2].keys() == rows[0].keys() | {"decode_error"}, "what header and stream say"


@pytest.mark.parametrize("rbac", [TRUNCATED, b"\x0a\x03\x0a\x01\xff"])
def test_nothing_is_told_of_a_record_whose_decision_cannot_be_read(rbac: bytes) -> None:
    # Another filter's word would stand as the decision.
    (row,) = derive(entry(http_bytes(inbound()) + http_record(rbac=rbac)))
    assert row["kind"] == "undecoded"
    assert row["decode_error"].startswith("metadata of an RBAC filter: ")
    assert "decision" not in row


def test_each_message_that_cannot_be_read_is_named() -> None:
    (row,) = derive(entry(http_record(tls=TRUNCATED, rbac=TRUNCATED)))
    assert row["decode_error"] == (
        "tls_properties: not a protobuf message; metadata of an RBAC filter: not a protobuf message"
    )


def test_one_bad_connection_does_not_touch_the_others() -> None:
    rows = derive(entry(http_bytes(inbound())), entry(http_record(tls=TRUNCATED), seq=2))
    assert rows[0]["dst_spiffe_id"] == PAYMENTS
    assert "decode_error" not in rows[0]


def test_of_two_tls_messages_the_last_counts_whole() -> None:
    first = tls_bytes(peer=["spiffe://a/first"], local=["spiffe://a/own"])
    last = tls_bytes(peer=["spiffe://a/last"], local=[])
    (row,) = derive(entry(http_record(tls=first) + http_record(tls=last)))
    assert row["src_spiffe_id"] == "spiffe://a/last"
    assert "dst_spiffe_id" not in row


def test_the_last_field_with_an_ending_counts_and_a_shadow_denial_always() -> None:
    struct = struct_pb2.Struct()
    # A Struct sorts its keys when it is encoded, so the order here is that of the letters.
    struct.update(
        {
            "a_enforced_engine_result": "denied",
            "b_enforced_engine_result": "allowed",
            "c_enforced_engine_result": "",
            "a_shadow_engine_result": "denied",
            "b_shadow_engine_result": "allowed",
        }
    )
    facts = read_rbac(struct.SerializeToString(deterministic=True))
    assert (facts.result, facts.dry_run_result) == ("allowed", "denied")


VALID = tls_bytes(peer=["spiffe://a/b"], local=["spiffe://a/c"])


@settings(max_examples=60, deadline=None)
@given(
    cases=st.lists(
        st.binary(max_size=40)
        | st.builds(
            lambda at, byte: VALID[:at] + bytes([byte]) + VALID[at + 1 :],
            st.integers(0, len(VALID) - 1),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_both_mappers_agree_on_any_bytes_of_small_messages(cases: list[bytes]) -> None:
    pairs = zip(cases, reversed(cases), strict=True)
    derive_both(
        *(
            entry(http_record(tls=data, rbac=other), seq=seq)
            for seq, (data, other) in enumerate(pairs, 1)
        )
    )


def test_facts_of_connections_are_remembered_without_their_bytes_growing_the_memory() -> None:
    long = tls_bytes(peer=["spiffe://a/" + "b" * 100_000], local=[])
    assert read_tls(long) == read_tls(long)
    assert read_tls(long) is not read_tls(long)
    assert read_tls(VALID) is read_tls(VALID)
    assert isinstance(read_tls(VALID), TlsFacts)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"enforced_engine_result":"allowed"}', RbacFacts(result="allowed")),
        (
            '{"p_shadow_engine_result":"denied","shadow_engine_result":"allowed"}',
            RbacFacts(dry_run_result="denied"),
        ),
        ('{"enforced_engine_result":{"enforced_engine_result":"denied"}}', RbacFacts()),
        ('{"enforced_engine_result":1}', RbacFacts()),
        ("", RbacFacts()),
        (None, RbacFacts()),
        ("[1]", RbacFacts(problem="metadata of an RBAC filter: not a JSON object")),
        ('{"a":"\\udc00"}', RbacFacts(problem="metadata of an RBAC filter: not a JSON object")),
    ],
)
def test_rbac_metadata_is_read_of_json_by_the_same_rules(
    text: str | None, wanted: RbacFacts
) -> None:
    assert read_rbac_json(text) == wanted
