from __future__ import annotations

from typing import Any

from meshtrail.sources.otlp_reference import map_otlp_log
from meshtrail.sources.streams import StreamFacts
from tests.otlp_records import export, log_record, request


def mapped(payload: bytes) -> tuple[dict[str, Any], list[str]]:
    row: dict[str, Any] = {}
    problems: list[str] = []
    map_otlp_log(payload, row, problems, StreamFacts())
    return row, problems


def test_durations_and_numbers_are_read_by_themselves() -> None:
    row, problems = mapped(export(log_record(request(duration="1h2m3.5s", attempt_count="x"))))
    assert row["duration"] == 3_723_500_000_000
    assert row["envoy_attempt_count"] is None
    assert problems == ["envoy.attempt_count is not a number"]


def test_bytes_that_are_no_export_of_one_record_are_refused() -> None:
    assert mapped(b"\xff") == ({"kind": "undecoded"}, ["not a protobuf message"])
    assert mapped(b"") == ({"kind": "undecoded"}, ["not one log record"])
