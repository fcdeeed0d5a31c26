from __future__ import annotations

from typing import Any

from meshtrail.sources.envoy_attributes_reference import AttributeRow
from meshtrail.sources.streams import UNKNOWN_SENDER


def tell(texts: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    row: dict[str, Any] = {}
    problems: list[str] = []
    filled = AttributeRow(row, problems, UNKNOWN_SENDER)
    filled.tell_attributes(texts, time=(10, None), beside=(b"t" * 16, b"s" * 8))
    return row, problems


def test_attributes_become_a_row() -> None:
    said = {"envoy.access_log_type": "DownstreamEnd", "envoy.duration": "1.5ms"}
    row, problems = tell(said | {"envoy.bytes_sent": "x"})
    assert (row["kind"], row["end_time"], row["trace_id"]) == ("request", 1_500_010, b"t" * 16)
    assert problems == ["envoy.bytes_sent is not a number"]


def test_a_decision_that_cannot_be_read_leaves_nothing() -> None:
    row, problems = tell({"envoy.access_log_type": "DownstreamEnd", "envoy.rbac.http": "{"})
    assert row == {"kind": "undecoded"}
    assert len(problems) == 1
