from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.als_reference import map_http_record, map_tcp_record
from meshtrail.sources.mappings import FORMAT_NAMES, MAPPINGS, SOURCE_NAMES
from meshtrail.sources.streams import Reporters, StreamFacts


@pytest.mark.parametrize("payload_format", MAPPINGS)
def test_hostile_bytes_are_undecoded_and_never_an_error(payload_format: PayloadFormat) -> None:
    hostile = [b"\xff", b"", b"\x0a\xff\xff\xff\xff\x0f", b"{", b"null", b"\x00" * 50]
    senders = Reporters([StreamFacts()], np.zeros(len(hostile), dtype=np.int64))
    out = MAPPINGS[payload_format](pa.array(hostile, pa.binary()), senders)
    assert out.columns["kind"].to_pylist()[0] == "undecoded"
    assert set(out.columns) <= set(EVENT_SCHEMA.names)


def test_every_payload_format_has_a_name_and_a_source() -> None:
    assert FORMAT_NAMES[PayloadFormat.OTLP_LOG_JSON] == "otlp-log-json"
    assert SOURCE_NAMES[PayloadFormat.OTLP_SPAN] == "otlp"
    assert SOURCE_NAMES[PayloadFormat.ENVOY_METRICS] == "envoy-metrics"
    assert SOURCE_NAMES[PayloadFormat.MESHTRAIL_JSON] == "meshtrail"
    assert len(FORMAT_NAMES) == len(SOURCE_NAMES) == len(PayloadFormat)


@pytest.mark.parametrize("map_record", [map_http_record, map_tcp_record])
def test_the_reference_calls_hostile_bytes_undecoded_too(map_record: object) -> None:
    row: dict[str, object] = {}
    problems: list[str] = []
    assert callable(map_record)
    map_record(b"\xff", row, problems, StreamFacts())
    assert (row["kind"], problems) == ("undecoded", ["not a protobuf message"])


@pytest.mark.parametrize(
    "payload_format", [PayloadFormat.OTLP_LOG_JSON, PayloadFormat.OTLP_SPAN_JSON]
)
def test_json_that_cannot_be_read_says_why_and_stays_beside_what_can(
    payload_format: PayloadFormat,
) -> None:
    hostile = [b"{", b"null", b'{"resourceLogs":[],"resourceSpans":[]}']
    senders = Reporters([StreamFacts()], np.zeros(len(hostile), dtype=np.int64))
    out = MAPPINGS[payload_format](pa.array(hostile, pa.binary()), senders)
    assert out.columns["kind"].to_pylist() == ["undecoded"] * 3
    told = [
        [reason for reason, where in out.problems.items() if where[row].as_py()] for row in range(3)
    ]
    assert [len(reasons) for reasons in told] == [1, 1, 1]
