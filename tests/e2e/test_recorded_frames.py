"""Frames recorded from real Envoys, and their repetition with new ids: what the benchmarks send."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from envoy.service.accesslog.v3 import als_pb2

from bench.harness import frames as recorded
from bench.harness.bench_mesh import make_requests
from bench.harness.recorder import record

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS_COUNT = 300
SEED = 7


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("recording") / "frames.bin"
    return {"path": path, **record(path, requests_count=REQUESTS_COUNT, seed=SEED)}


@pytest.fixture
def recording(facts: dict[str, Any]) -> Path:
    path: Path = facts["path"]
    return path


def decode(recording: recorded.Recording) -> list[Any]:
    frames = [recording.data[frame.start : frame.end].tobytes() for frame in recording.frames]
    return [als_pb2.StreamAccessLogsMessage.FromString(frame) for frame in frames]


def take_ids(messages: list[Any]) -> Counter[tuple[str, str]]:
    """Request and trace id of each record, which are blanked on the way."""
    ids: Counter[tuple[str, str]] = Counter()
    for message in messages:
        for entry in message.http_logs.log_entry:
            request = entry.request
            assert entry.common_properties.stream_id == request.request_id
            ids[request.request_id, request.request_headers["traceparent"][3:35]] += 1
            entry.common_properties.stream_id = request.request_id = ""
            del request.request_headers["traceparent"]
    return ids


def test_recording_holds_both_reports_of_every_request(facts: dict[str, Any]) -> None:
    by_log = facts["records_by_log"]
    assert by_log["callers.web http_envoy_accesslog"] == REQUESTS_COUNT
    assert by_log["services.shop http_envoy_accesslog"] == REQUESTS_COUNT
    requests = make_requests(REQUESTS_COUNT, seed=SEED)
    sent_ids = {dict(request.headers)["x-request-id"] for request in requests}
    assert facts["distinct_request_ids_count"] == len(sent_ids) == REQUESTS_COUNT


def test_varied_pass_changes_nothing_but_ids_which_stay_paired(recording: Path) -> None:
    loaded = recorded.read_recording(recording)
    first = decode(loaded)
    first_ids = take_ids(first)
    loaded.vary_ids(1)
    second = decode(loaded)
    second_ids = take_ids(second)
    assert first == second
    assert len(second_ids) == len(first_ids) == REQUESTS_COUNT
    assert set(second_ids.values()) == {2}


def test_ids_are_unique_over_many_passes(recording: Path) -> None:
    loaded = recorded.read_recording(recording)
    passes_count = 50
    request_ids: set[str] = set()
    trace_ids: set[str] = set()
    for number in range(passes_count):
        loaded.vary_ids(number)
        for request_id, trace_id in take_ids(decode(loaded)):
            request_ids.add(request_id)
            trace_ids.add(trace_id)
    assert len(request_ids) == len(trace_ids) == passes_count * REQUESTS_COUNT


def test_pass_zero_restores_the_recorded_bytes(recording: Path) -> None:
    loaded = recorded.read_recording(recording)
    loaded.vary_ids(3)
    assert loaded.data.tobytes() != recording.read_bytes()
    loaded.vary_ids(0)
    assert loaded.data.tobytes() == recording.read_bytes()


def test_first_message_splits_into_identifier_and_records(recording: Path) -> None:
    loaded = recorded.read_recording(recording)
    seen: set[int] = set()
    for frame, message in zip(loaded.frames, decode(loaded), strict=True):
        whole = loaded.data[frame.start : frame.end].tobytes()
        identifier, rest = recorded.split_identifier(whole)
        assert identifier + rest == whole
        assert bool(identifier) == (frame.stream not in seen)
        seen.add(frame.stream)
        records = als_pb2.StreamAccessLogsMessage.FromString(rest)
        assert not records.HasField("identifier")
        assert len(records.http_logs.log_entry) == len(message.http_logs.log_entry)
