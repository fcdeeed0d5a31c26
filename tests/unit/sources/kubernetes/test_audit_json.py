from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.kubernetes.audit_json import read_event

EVENT = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "a", "verb": "get"}
READ = {"auditID": "a", "verb": "get"}
TEXT = json.dumps(EVENT)


@pytest.mark.parametrize(
    "record",
    [
        TEXT,
        json.dumps(EVENT | {"apiVersion": "audit.k8s.io/v1beta1"}),
        # Elements of a list, and dumps without types.
        json.dumps(READ),
        json.dumps(READ | {"kind": "", "apiVersion": None}),
        json.dumps({"time": "t", "properties": {"log": f"{TEXT}\n", "stream": "stdout"}}),
        json.dumps({"category": "kube-audit", "properties": json.dumps({"log": TEXT})}),
        json.dumps({"id": "1", "timestamp": 2, "message": TEXT}),
        json.dumps({"log": TEXT, "stream": "stdout"}),
    ],
)
def test_event_is_read_out_of_whatever_is_wrapped_around_it(record: str) -> None:
    assert read_event(record.encode()) == (READ, [])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "not an event of audit.k8s.io"),
        ('{"kind":"Pod","auditID":"a"}', "not an event of audit.k8s.io"),
        ('{"kind":"Event","apiVersion":"v1","auditID":"a"}', "not an event of audit.k8s.io"),
        ('{"kind":"Event","apiVersion":"v1","message":"text"}', "not an event of audit.k8s.io"),
        ('{"kind":"Event","apiVersion":7,"auditID":"a"}', "not an event of audit.k8s.io"),
        (
            '{"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1","auditID":"a"}',
            "an audit event of a version that is not read: v1 and v1beta1 are",
        ),
        (
            '{"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog"}}',
            "an entry of Google's Cloud Audit Logs, which is not read",
        ),
        ('{"log":"{broken"}', "a wrapped audit event that cannot be unwrapped"),
        ('{"properties":"no JSON"}', "a wrapped audit event that cannot be unwrapped"),
        ('{"message":"{\\"kind\\":\\"Pod\\"}"}', "not an event of audit.k8s.io"),
        ('{"auditID":' + "[" * 501 + "]" * 501 + "}", "JSON nested more than 500 deep"),
        ("[" * 100_000, "JSON nested more than 500 deep"),
    ],
)
def test_record_that_is_no_audit_event_says_why(record: str, reason: str) -> None:
    with pytest.raises(InputError) as raised:
        read_event(record.encode())
    assert raised.value.message == reason


def test_bytes_that_are_no_text_are_refused() -> None:
    for record in (b"\xff", b'{"auditID":"a","verb":"\xff"}', b"\x00" * 50):
        try:
            members, problems = read_event(record)
        except InputError:
            continue
        assert members == {"auditID": "a"}
        assert problems == ["verb: not UTF-8"]


def with_member(name: str, value: str) -> bytes:
    return (TEXT[:-1] + f',"{name}":{value}}}').encode()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[" * 101 + "]" * 101, "requestObject: nested too deeply"),
        ('{"spec":1e999}', "requestObject: holds a value that is not read"),
        ('{"spec":' + "9" * 5000 + "}", "requestObject: holds a value that is not read"),
    ],
)
def test_body_that_cannot_be_read_hides_nothing_else(value: str, problem: str) -> None:
    event = read_event(with_member("requestObject", value))
    assert event == (READ, [problem])


def test_half_of_a_surrogate_pair_hides_nothing_and_is_told() -> None:
    body = '{"spec":{"a":"x\\ud800y","b":"\\\\ud800","c":"\\ud83d\\ude00"}}'
    members, problems = read_event(with_member("requestObject", body))
    assert members["requestObject"] == {"spec": {"a": "x\ufffdy", "b": "\\ud800", "c": "😀"}}
    assert problems == ["half of a surrogate pair in a text"]


def test_of_equal_members_the_last_counts_as_for_the_api_server() -> None:
    assert read_event(with_member("verb", '"delete"')).members["verb"] == "delete"


@given(st.binary(max_size=60) | st.text('{}[]"auditID:,\\u', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(record: bytes) -> None:
    try:
        event = read_event(record)
    except InputError:
        return
    assert set(event.members) <= {"auditID"}
