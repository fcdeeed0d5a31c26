"""Whose word on the user counts, at both doors and in lines: the same request, the same columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import JWT_AUTHN
from meshtrail.model.users import JWT_FILTER, USER_HEADERS
from meshtrail.sources.jwt_payloads import SEVERAL_USERS
from tests.als_records import (
    FRONTEND,
    PAYMENTS,
    derive,
    derive_both,
    entry,
    http_bytes,
    inbound,
    opened,
    outbound,
    tcp,
    tcp_bytes,
)
from tests.otlp_records import log_entry, request

ISSUER = "https://login.example"
TOKEN = {"payload": {"sub": "alice", "iss": ISSUER}}
USER_COLUMNS = ("user_id", "user_id_trust", "user_issuer", "decode_error")

User = tuple[str | None, ...]


def of_als(sender: bytes, verified: dict[str, Any], headers: dict[str, str]) -> User:
    """The user columns of a record of the access log service."""
    record = inbound(metadata={"filterMetadata": {JWT_FILTER: verified}})
    record["request"]["requestHeaders"] |= headers
    return told(sender, entry(http_bytes(record)))


def of_otlp(sender: bytes, verified: dict[str, Any], headers: dict[str, str]) -> User:
    """The same of a log record."""
    return told(sender, log_entry(attributes(verified, headers)))


def attributes(verified: dict[str, Any], headers: dict[str, str]) -> dict[str, str | bytes]:
    named = {f"http.request.header.{name}": value for name, value in headers.items()}
    return request() | {JWT_AUTHN: json.dumps(verified)} | named


def told(sender: bytes, record: bytes) -> User:
    derive_both(sender, record)
    row = derive(sender, record)[1]
    return tuple(row.get(name) for name in USER_COLUMNS)


def of_both(
    verified: dict[str, Any], headers: dict[str, str] | None = None, *, sender: bytes | None = None
) -> User:
    """The user columns, which are the same whatever carries a request."""
    stream = sender or opened()
    user = of_als(stream, verified, headers or {})
    assert user == of_otlp(stream, verified, headers or {})
    return user


def test_user_of_a_verified_token_is_attested_of_the_proxy_that_verified_it() -> None:
    assert of_both(TOKEN) == ("alice", "attested", ISSUER, None)


@pytest.mark.parametrize(
    "sender", [opened(FRONTEND), opened(None, auth="none"), opened(None, auth="token")]
)
def test_user_is_only_reported_by_whom_nobody_can_hold_to_it(sender: bytes) -> None:
    assert of_both(TOKEN, sender=sender) == ("alice", "reported", ISSUER, None)


def test_user_of_a_line_is_reported_whoever_sends_it() -> None:
    line = entry(json.dumps(attributes(TOKEN, {})).encode(), PayloadFormat.ENVOY_JSON)
    assert told(opened(PAYMENTS), line) == ("alice", "reported", ISSUER, None)
    inside = attributes(TOKEN, {}) | {JWT_AUTHN: TOKEN}
    line = entry(json.dumps(inside).encode(), PayloadFormat.ENVOY_JSON)
    assert told(opened(PAYMENTS), line) == ("alice", "reported", ISSUER, None)


@pytest.mark.parametrize("name", USER_HEADERS)
def test_user_of_a_header_is_asserted_whoever_reports_it(name: str) -> None:
    assert of_both({}, {name: "mallory"}) == ("mallory", "asserted", None, None)


def test_header_counts_for_nothing_beside_a_verified_token() -> None:
    assert of_both(TOKEN, {"x-user-id": "mallory"}) == ("alice", "attested", ISSUER, None)


def test_first_header_that_says_something_counts() -> None:
    said = dict.fromkeys(USER_HEADERS, "other") | {USER_HEADERS[0]: "", USER_HEADERS[1]: "bob"}
    assert of_both({}, said)[0] == "bob"


def test_token_that_names_nobody_leaves_it_to_the_headers() -> None:
    service = {"payload": {"iss": ISSUER, "client_id": "batch"}}
    assert of_both(service) == (None, None, None, None)
    assert of_both(service, {"x-user-id": "bob"}) == ("bob", "asserted", None, None)


def test_other_headers_and_authorization_name_nobody() -> None:
    bearer = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYWxsb3J5In0."
    said = {"authorization": bearer, "x-user": "mallory", "from": "mallory@b.example"}
    assert of_both({}, said) == (None, None, None, None)


def test_tokens_of_several_users_are_a_problem_that_is_said() -> None:
    both = {"a": {"sub": "alice", "iss": ISSUER}, "b": {"sub": "bob", "iss": ISSUER}}
    assert of_both(both) == ("alice", "attested", ISSUER, SEVERAL_USERS)


def test_metadata_that_cannot_be_read_costs_the_user_and_nothing_else() -> None:
    record = http_bytes(inbound())
    key = JWT_FILTER.encode()
    filter_entry = b"\x0a" + bytes([len(key)]) + key + b"\x12\x01\xff"
    metadata = b"\x0a" + bytes([len(filter_entry)]) + filter_entry
    common = b"\x8a\x01" + bytes([len(metadata)]) + metadata
    broken = entry(record + b"\x0a" + bytes([len(common)]) + common)
    reason = "metadata of the JWT filter: not a protobuf message"
    assert told(opened(), broken) == (None, None, None, reason)
    row = derive(opened(), broken)[1]
    assert (row["kind"], row["decision"], row["src_spiffe_id"]) == ("request", "allowed", FRONTEND)
    said = attributes({}, {"x-user-id": "bob"}) | {JWT_AUTHN: "{"}
    reason = "metadata of the JWT filter: not a JSON object"
    assert told(opened(), log_entry(said)) == ("bob", "asserted", None, reason)


def test_of_equal_filters_only_the_last_counts() -> None:
    parts = [
        http_bytes({"commonProperties": {"metadata": {"filterMetadata": {JWT_FILTER: one}}}})
        for one in (TOKEN, {"payload": {"sub": "bob"}})
    ]
    assert told(opened(), entry(b"".join(parts))) == ("bob", "attested", None, None)


@pytest.mark.parametrize("other", ["istio_authn", "envoy.filters.http.lua", "zz"])
def test_what_other_filters_wrote_names_nobody(other: str) -> None:
    written = {"payload": {"sub": "mallory"}, "request.auth.principal": "i/mallory"}
    for verified, user in (({}, None), ({JWT_FILTER: TOKEN}, "alice")):
        record = inbound(metadata={"filterMetadata": verified | {other: written}})
        assert told(opened(), entry(http_bytes(record)))[0] == user


def test_user_at_the_source_is_attested_of_an_authenticated_proxy() -> None:
    # It shows its own application no certificate: as for decisions, the stream's identity counts.
    record = outbound(metadata={"filterMetadata": {JWT_FILTER: TOKEN}})
    assert told(opened(FRONTEND), entry(http_bytes(record)))[:2] == ("alice", "attested")


def test_connections_have_no_user() -> None:
    record = tcp(metadata={"filterMetadata": {JWT_FILTER: TOKEN}})
    payload = entry(tcp_bytes(record), PayloadFormat.ALS_TCP)
    assert told(opened(), payload) == (None, None, None, None)


def test_users_stand_in_their_own_rows() -> None:
    users = ["alice", None, "bob", None, "alice"]
    records = []
    for seq, user in enumerate(users, 1):
        verified = {JWT_FILTER: {"p": {"sub": user}}} if user else {}
        record = inbound(metadata={"filterMetadata": verified})
        records.append(entry(http_bytes(record), seq=seq))
    rows = derive_both(opened(), *records)[1:]
    assert [row["user_id"] for row in rows] == users
