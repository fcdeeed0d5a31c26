from __future__ import annotations

import json

import pyarrow as pa
import pytest

from meshtrail.model.entry import EntryType, PayloadFormat, headers_array
from meshtrail.sources.own_entries import OwnFacts, map_own, read_own

GAP = {
    "about": "sidecar~10.0.0.1~web",
    "cause": "dropped",
    "from_ns": 5,
    "until_ns": 9,
    "missing_min": 2,
    "missing_max": 3,
}


def encode(said: object) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def test_a_gap_says_whom_it_is_about_when_and_how_much() -> None:
    payload = encode(GAP)
    assert read_own(EntryType.GAP, payload) == OwnFacts(
        time=5,
        end_time=9,
        about="sidecar~10.0.0.1~web",
        cause="dropped",
        missing_min=2,
        missing_max=3,
        detail=payload.decode(),
    )


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"[]", b"7", b"{", b"[" * 100_000, b'{"about":NaN'],
    ids=["empty", "no UTF-8", "a list", "a number", "cut off", "deep", "no value"],
)
def test_what_meshtrail_never_writes_says_nothing(payload: bytes) -> None:
    assert read_own(EntryType.GAP, payload) == OwnFacts()


@pytest.mark.parametrize("value", [True, 1.5, "7", 2**63, -(2**63), None, [1]])
def test_a_number_that_no_column_holds_is_left_out(value: object) -> None:
    assert read_own(EntryType.GAP, encode(GAP | {"missing_min": value})).missing_min is None


@pytest.mark.parametrize("payload", [b'{"about":"\\ud800"}', b'{"about":7}'])
def test_a_text_that_no_column_holds_is_left_out(payload: bytes) -> None:
    assert read_own(EntryType.FINDING, payload).about is None


def test_of_an_opened_stream_only_the_writer_is_told() -> None:
    assert read_own(EntryType.STREAM_OPENED, encode(GAP)) == OwnFacts()
    opened = encode({"transport": "self", "writer": "collect"})
    assert read_own(EntryType.STREAM_OPENED, opened) == OwnFacts(about="collect")


def test_each_entry_has_its_kind_and_whole_frames_say_what_they_are() -> None:
    headers = headers_array(4)
    headers["entry_type"] = [EntryType.CLOCK, EntryType.RECORD, EntryType.RECORD, EntryType.FINDING]
    headers["payload_format"] = [
        PayloadFormat.MESHTRAIL_JSON,
        PayloadFormat.ALS_FRAME,
        PayloadFormat.OTLP_FRAME,
        PayloadFormat.MESHTRAIL_JSON,
    ]
    out = map_own(headers, pa.array([b"{}", b"a", b"{}", encode(GAP)], pa.binary()))
    assert out.columns["kind"].to_pylist() == ["clock", "undecoded", "undecoded", "finding"]
    assert out.columns["detail"].to_pylist() == ["{}", None, None, encode(GAP).decode()]
    assert out.columns["missing_max"].to_pylist() == [None, None, None, 3]
    reasons = {name: where.to_pylist() for name, where in out.problems.items()}
    assert reasons["a whole OTLP export, sealed as it came"] == [False, False, True, False]
