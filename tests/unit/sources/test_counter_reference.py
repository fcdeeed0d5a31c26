"""The row-wise reference alone; that both mappers agree is held by the tests of the events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from meshtrail.sources.counter_detail import BAD_COUNT
from meshtrail.sources.counter_reference import (
    map_envoy_push,
    map_otlp_json_push,
    map_otlp_push,
)
from meshtrail.sources.streams import StreamFacts
from tests.counter_pushes import (
    TIME_NS,
    envoy_payload,
    family,
    metric,
    otlp_message,
    payload,
    point,
)

MapPush: TypeAlias = Callable[[bytes, dict[str, Any], list[str], StreamFacts], None]


def test_push_is_summed_number_by_number() -> None:
    row: dict[str, Any] = {}
    problems: list[str] = []
    families = [
        family("http.a.downstream_rq_total", 3.0),
        family("http.b.downstream_rq_total", 4.0),
        family("http.b.downstream_rq_active", -1.0),
        family("http.admin.downstream_rq_total", 9.0),
    ]
    map_envoy_push(envoy_payload(families), row, problems, StreamFacts())
    said = json.loads(row["detail"])
    assert said["requests_started"] == 7
    assert set(said["by_http"]) == {"a", "b"}
    assert (row["time"], problems) == (TIME_NS, [BAD_COUNT])


def test_export_is_summed_number_by_number() -> None:
    row: dict[str, Any] = {}
    message = otlp_message(metric("server.uptime", point(3)))
    map_otlp_push(payload(message, left_out=2), row, [], StreamFacts())
    assert (row["kind"], row["detail"]) == ("counter", '{"left_out":2,"uptime_s":3}')


@pytest.mark.parametrize("map_push", [map_envoy_push, map_otlp_push, map_otlp_json_push])
def test_bytes_that_are_no_push_are_undecoded(map_push: MapPush) -> None:
    for data in (b"", payload(b"\xff")):
        row: dict[str, Any] = {}
        problems: list[str] = []
        map_push(data, row, problems, StreamFacts())
        assert (row, len(problems)) == ({"kind": "undecoded"}, 1)
