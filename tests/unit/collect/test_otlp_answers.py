from __future__ import annotations

import json

import pytest
from google.rpc import error_details_pb2, status_pb2

from meshtrail import errors
from meshtrail.collect.otlp_answers import Code, encode_response, refusal_of
from meshtrail.errors import MeshtrailError
from meshtrail.sources.otlp_frame import Signal
from tests.otlp_messages import fields_of

ANSWERS = [
    (errors.InputError("m"), 400, Code.INVALID_ARGUMENT, False),
    (errors.UnauthenticatedError("m"), 401, Code.UNAUTHENTICATED, False),
    (errors.RequestError("m", http_status=404), 404, Code.UNIMPLEMENTED, False),
    (errors.RequestError("m", http_status=413), 413, Code.RESOURCE_EXHAUSTED, False),
    (errors.RequestError("m", http_status=415), 415, Code.INVALID_ARGUMENT, False),
    (errors.BusyError("m"), 429, Code.RESOURCE_EXHAUSTED, True),
    (errors.UnavailableError("m"), 503, Code.UNAVAILABLE, True),
    (errors.DurabilityError("/var/secret/path"), 503, Code.UNAVAILABLE, True),
    (MeshtrailError("m"), 500, Code.INTERNAL, False),
]


@pytest.mark.parametrize(("error", "status", "code", "is_retryable"), ANSWERS, ids=str)
def test_an_error_is_answered_as_the_specification_wants(
    error: MeshtrailError, status: int, code: Code, *, is_retryable: bool
) -> None:
    refusal = refusal_of(error)
    assert (refusal.http_status, refusal.code) == (status, code)
    assert refusal.is_retryable is is_retryable
    assert refusal.message
    assert "/var" not in refusal.message


def test_every_status_is_one_that_senders_know_as_retryable_or_not() -> None:
    # OTLP/HTTP: these four and no others are sent again.
    for error, status, _, is_retryable in ANSWERS:
        assert (status in {429, 502, 503, 504}) is is_retryable, error


@pytest.mark.parametrize("error", [errors.BusyError("wäit"), errors.InputError("no")])
def test_a_status_reads_back_with_the_library_of_google(error: MeshtrailError) -> None:
    refusal = refusal_of(error)
    status = status_pb2.Status.FromString(refusal.encode(is_json=False))
    assert (status.code, status.message) == (refusal.code, error.message)
    said = json.loads(refusal.encode(is_json=True))
    assert (said["code"], said["message"]) == (refusal.code, error.message)
    if not refusal.is_retryable:
        assert not status.details
        assert "details" not in said
        return
    retry_info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry_info)
    assert retry_info.retry_delay.seconds == 1
    kind = f"type.googleapis.com/{retry_info.DESCRIPTOR.full_name}"
    assert said["details"] == [{"@type": kind, "retryDelay": "1s"}]


@pytest.mark.parametrize("signal", Signal)
def test_what_was_taken_whole_is_answered_with_nothing(signal: Signal) -> None:
    assert encode_response(signal, rejected_count=0, reason="", is_json=False) == b""
    assert encode_response(signal, rejected_count=0, reason="", is_json=True) == b"{}"


def test_what_was_rejected_is_told_with_count_and_reason() -> None:
    answer = encode_response(Signal.LOGS, rejected_count=300, reason="why", is_json=False)
    ((number, partial),) = fields_of(answer)
    assert number == 1
    assert partial == b"\x08\xac\x02\x12\x03why"
    names = {
        Signal.LOGS: "rejectedLogRecords",
        Signal.TRACES: "rejectedSpans",
        Signal.METRICS: "rejectedDataPoints",
    }
    for signal, name in names.items():
        said = json.loads(encode_response(signal, rejected_count=3, reason="why", is_json=True))
        assert said == {"partialSuccess": {name: "3", "errorMessage": "why"}}
