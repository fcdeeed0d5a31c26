from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import struct_pb2

from meshtrail.sources.jwt_payloads import (
    SEVERAL_USERS,
    JwtFacts,
    read_payloads,
    read_payloads_json,
)
from tests.als_messages import length_delimited

ISSUER = "https://login.example"
PAYLOAD = {
    "sub": "alice",
    "iss": ISSUER,
    "aud": ["shop"],
    "exp": 1795224684,
    "email": "a@b.example",
}
ALICE = JwtFacts("alice", ISSUER)
NOBODY = JwtFacts()


def read_both(written: dict[str, Any]) -> JwtFacts:
    """What metadata says, which it must say alike as protobuf and as JSON."""
    struct = struct_pb2.Struct()
    struct.update(written)
    facts = read_payloads(struct.SerializeToString())
    assert facts == read_payloads_json(json.dumps(written))
    return facts


@pytest.mark.parametrize("key", ["payload", "jwt_payload", ISSUER, "", "sub"])
def test_payload_names_its_subject_and_issuer_under_whatever_key(key: str) -> None:
    assert read_both({key: PAYLOAD}) == ALICE


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"sub": "mallory", "iss": ISSUER},
        {"payload": "mallory"},
        {"payload": ["mallory"]},
        {"payload": {}},
        {"payload": {"iss": ISSUER}},
        {"payload": {"sub": ""}},
        {"payload": {"sub": 7}},
        {"payload": {"sub": ["mallory"]}},
        {"payload": {"sub": {"sub": "mallory"}}},
        {"payload": {"claims": {"sub": "mallory"}}},
        {"failed_status": {"code": 16, "message": "Jwt is expired"}},
        {"header": {"alg": "RS256", "kid": "k1", "typ": "JWT"}},
        {"payload": None},
    ],
)
def test_what_holds_no_subject_in_its_place_names_nobody(written: dict[str, Any]) -> None:
    assert read_both(written) == NOBODY


@pytest.mark.parametrize("issuer", ["", 7, None, [ISSUER]])
def test_issuer_that_is_no_text_is_none(issuer: object) -> None:
    assert read_both({"payload": {"sub": "alice", "iss": issuer}}) == JwtFacts("alice")


def test_of_several_users_the_one_whose_key_comes_first_counts_and_that_is_said() -> None:
    other = {"sub": "bob", "iss": ISSUER}
    for first, second in (({"a": PAYLOAD}, {"b": other}), ({"b": other}, {"a": PAYLOAD})):
        assert read_both(first | second) == JwtFacts("alice", ISSUER, SEVERAL_USERS)
    elsewhere = PAYLOAD | {"iss": "https://other.example"}
    assert read_both({"a": PAYLOAD, "b": elsewhere}).problem == SEVERAL_USERS


def test_same_user_twice_is_one_and_what_names_nobody_is_no_other() -> None:
    head = {"alg": "RS256"}
    assert read_both({"0": head, "a": PAYLOAD, "b": PAYLOAD | {"exp": 1}}) == ALICE


def test_of_equal_keys_the_last_counts() -> None:
    def field(key: str, value: bytes) -> bytes:
        inner = length_delimited(1, key.encode()) + length_delimited(2, value)
        return length_delimited(1, inner)

    def payload(*subjects: str) -> bytes:
        claims = b"".join(field("sub", length_delimited(3, one.encode())) for one in subjects)
        return length_delimited(5, claims)

    whole = field("p", payload("mallory")) + field("p", payload("bob", "alice"))
    assert read_payloads(whole) == JwtFacts("alice")
    text = '{"p":{"sub":"mallory"},"p":{"sub":"bob","sub":"alice"}}'
    assert read_payloads_json(text) == JwtFacts("alice")


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05\x0a\x01", b"\x0b" * 200])
def test_bytes_that_are_no_protobuf_name_nobody_and_say_why(data: bytes) -> None:
    assert read_payloads(data) == JwtFacts(
        problem="metadata of the JWT filter: not a protobuf message"
    )


def test_text_that_is_no_utf8_says_so() -> None:
    whole = length_delimited(1, length_delimited(1, b"\xff"))
    assert read_payloads(whole).problem == "metadata of the JWT filter: invalid UTF-8 in a string"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "null",
        "[]",
        '"alice"',
        '[["payload",{"sub":"alice"}]]',
        '{"payload":{"sub":"alice"}',
        '{"payload":{"sub":"\\ud800"}}',
        '{"payload":{"sub":"alice","iss":"\\ud800"}}',
        '{"a":{"sub":"alice"},"b":{"sub":"\\ud800"}}',
        '{"payload":' + "[" * 100_000,
        '{"payload":{"exp":' + "9" * 10_000 + "}}",
    ],
)
def test_text_that_is_no_json_object_names_nobody_and_says_why(text: str) -> None:
    assert read_payloads_json(text) == JwtFacts(
        problem="metadata of the JWT filter: not a JSON object"
    )


@pytest.mark.parametrize("absent", [None, ""])
def test_no_metadata_is_no_problem(absent: str | None) -> None:
    assert read_payloads_json(absent) == NOBODY
    assert read_payloads(None if absent is None else b"") == NOBODY


def test_deeply_nested_claims_are_stepped_over() -> None:
    nested: Any = struct_pb2.Value(string_value="end")
    for _ in range(40):
        nested = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[nested]))
    claims: dict[str, Any] = {"payload": PAYLOAD}
    struct = struct_pb2.Struct()
    struct.update(claims)
    struct.fields["payload"].struct_value.fields["deep"].CopyFrom(nested)
    assert read_payloads(struct.SerializeToString()) == ALICE


def test_thousands_of_payloads_are_read_in_one_pass() -> None:
    # Each compared with all others, this would take minutes.
    payloads = {f"{at:06}": {"sub": f"user-{at}"} for at in range(20_000)}
    assert read_both(payloads) == JwtFacts("user-0", None, SEVERAL_USERS)
