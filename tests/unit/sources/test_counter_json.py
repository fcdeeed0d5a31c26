from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.counter_json import convert_json, cut_otlp_json
from meshtrail.sources.counter_schema import otlp_descriptor
from meshtrail.sources.counter_slices import split_payload
from meshtrail.sources.reference_parts import parse_message
from tests.counter_pushes import TIME_NS, metric, otlp_message, point

if TYPE_CHECKING:
    from collections.abc import Callable


def export(*metrics: object) -> bytes:
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()


def test_integers_may_be_texts_and_what_is_not_read_is_skipped() -> None:
    spelled = export(
        {
            "name": "server.uptime",
            "unit": "s",
            "gauge": {"dataPoints": [{"asInt": "8", "timeUnixNano": str(TIME_NS), "flags": 0}]},
        }
    )
    converted = parse_message(otlp_descriptor(), convert_json(spelled))
    wanted = otlp_message(metric("server.uptime", point(8), is_gauge=True), resource=None)
    assert converted == parse_message(otlp_descriptor(), wanted)


@pytest.mark.parametrize("value", ["NaN", "Infinity", 0.5])
def test_doubles_are_what_protobuf_says_they_are(value: object) -> None:
    spelled = export({"name": "n", "gauge": {"dataPoints": [{"asDouble": value}]}})
    [resource] = parse_message(otlp_descriptor(), convert_json(spelled)).resource_metrics
    found = resource.scope_metrics[0].metrics[0].gauge.data_points[0].as_double
    assert str(found) == str(float(str(value)))


@pytest.mark.parametrize(
    "text", [b"", b"[7]", b'{"resourceMetrics": 7}', b"\xff", b"1" * 5_000, b"[" * 60_000]
)
def test_what_protobuf_cannot_say_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="not an export of metrics in JSON"):
        convert_json(text)


@pytest.mark.parametrize("read", [convert_json, cut_otlp_json])
def test_refusal_repeats_nothing_of_what_was_sent(read: Callable[[bytes], object]) -> None:
    point = {"asInt": "9" * 100_000}
    with pytest.raises(InputError) as caught:
        read(export({"name": "server.uptime", "gauge": {"dataPoints": [point]}}))
    assert caught.value.message == "not an export of metrics in JSON"


def test_keys_that_are_absent_stay_absent() -> None:
    cut = cut_otlp_json(b'{"resourceMetrics":[{"scopeMetrics":[{}]},{}]}')
    assert split_payload(cut.payload) == (0, b'{"resourceMetrics":[{"scopeMetrics":[{}]},{}]}')
