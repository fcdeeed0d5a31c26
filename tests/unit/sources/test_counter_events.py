from __future__ import annotations

import json
import math
from typing import Any

import pytest

from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat, prefix_payload
from meshtrail.sources.counter_detail import (
    BAD_COUNT,
    BAD_TIME,
    COUNT_MAX,
    DOOR_CHARS_MAX,
    DOORS_SHOWN_MAX,
)
from meshtrail.sources.counter_events import NO_JSON, TOO_SHORT
from tests.als_records import derive_both, entry
from tests.counter_pushes import (
    DELTA,
    TIME_NS,
    envoy_message,
    envoy_payload,
    family,
    metric,
    otlp_message,
    payload,
    point,
)

HTTP = "envoy.http_conn_manager_prefix"


def counters(
    data: bytes, payload_format: PayloadFormat = PayloadFormat.ENVOY_METRICS
) -> dict[str, Any]:
    """The row of a push, which both mappers agree on."""
    pushed = entry(
        data, payload_format, entry_type=EntryType.COUNTER, flags=EntryFlags.FILTERED, seq=1
    )
    [row] = derive_both(pushed)
    return row


def detail(*families: bytes) -> dict[str, Any]:
    row = counters(envoy_payload(families))
    assert row["decode_error"] is None
    said: dict[str, Any] = json.loads(row["detail"])
    return said


def otlp_detail(*metrics: bytes) -> dict[str, Any]:
    row = counters(payload(otlp_message(*metrics)), PayloadFormat.OTLP_METRICS)
    assert row["decode_error"] is None
    said: dict[str, Any] = json.loads(row["detail"])
    return said


def test_push_becomes_one_row_of_kind_counter_at_the_time_of_the_push() -> None:
    row = counters(payload(envoy_message(family("server.uptime", 8.0, is_gauge=True)), left_out=7))
    assert (row["kind"], row["time"], row["about"]) == ("counter", TIME_NS, None)
    assert (row["source"], row["payload_format"]) == ("envoy-metrics", "envoy-metrics")
    assert row["detail"] == '{"left_out":7,"uptime_s":8}'


def test_doors_are_summed_and_told_apart() -> None:
    said = detail(
        family("http.inbound.downstream_rq_total", 5.0),
        family("http.inbound.downstream_rq_active", 1.0, is_gauge=True),
        family("http.outbound.downstream_rq_total", 2.0),
        family("listener.plain.downstream_cx_total", 3.0),
        family("listener.plain.ssl.connection_error", 1.0),
        family("listener.plain.ssl.fail_verify_no_cert", 2.0),
        family("listener.plain.downstream_listener_filter_error", 1.0),
        family("access_logs.grpc_access_log.logs_dropped", 9.0),
        family("cluster.meshtrail.upstream_cx_connect_fail", 4.0),
    )
    assert said == {
        "by_http": {
            "inbound": {"requests_active": 1, "requests_started": 5},
            "outbound": {"requests_started": 2},
        },
        "by_listener": {
            "plain": {"connections_early": 1, "connections_started": 3, "handshakes_failed": 3}
        },
        "connections_early": 1,
        "connections_started": 3,
        "handshakes_failed": 3,
        "left_out": 0,
        "log_connect_failures": 4,
        "logs_dropped": 9,
        "requests_active": 1,
        "requests_started": 7,
    }


def test_tags_as_labels_say_the_same_as_names() -> None:
    by_name = detail(
        family("http.inbound.downstream_rq_total", 5.0),
        family("listener.plain.downstream_cx_total", 3.0),
    )
    by_label = detail(
        family("http.downstream_rq_total", 5.0, labels={"other": "x", HTTP: "inbound"}),
        family("listener.downstream_cx_total", 3.0, labels={"listener_address": "plain"}),
        # Those that have no door, or one that logs nothing.
        family("http.downstream_rq_total", 70.0),
        family("http.downstream_rq_total", 70.0, labels={HTTP: "admin"}),
        family("cluster.upstream_cx_connect_fail", 70.0, labels={"envoy.cluster_name": "other"}),
    )
    assert by_label == by_name


def test_otlp_says_the_same_in_protobuf_and_in_json() -> None:
    message = otlp_message(
        metric("http.downstream_rq_total", point(5, attributes={HTTP: "inbound"})),
        metric(
            "http.downstream_rq_active",
            point(2, attributes={HTTP: "inbound"}),
            point(9, attributes={HTTP: "admin"}),
            is_gauge=True,
        ),
        metric("server.uptime", point(8.0), is_gauge=True),
    )
    spelled = {
        "resourceMetrics": [
            {
                "scopeMetrics": [
                    {
                        "metrics": [
                            json_metric("http.downstream_rq_total", "sum", ("5", "inbound")),
                            json_metric(
                                "http.downstream_rq_active",
                                "gauge",
                                (2, "inbound"),
                                (9, "admin"),
                            ),
                            json_metric("server.uptime", "gauge", (8.0, "")),
                        ]
                    }
                ]
            }
        ]
    }
    in_protobuf = counters(payload(message), PayloadFormat.OTLP_METRICS)
    in_json = counters(payload(json.dumps(spelled).encode()), PayloadFormat.OTLP_METRICS_JSON)
    for name in ("kind", "time", "detail", "decode_error"):
        assert in_protobuf[name] == in_json[name]
    assert in_protobuf["time"] == TIME_NS
    assert json.loads(in_protobuf["detail"]) == {
        "by_http": {"inbound": {"requests_active": 2, "requests_started": 5}},
        "left_out": 0,
        "requests_active": 2,
        "requests_started": 5,
        "uptime_s": 8,
    }


def json_metric(name: str, kind: str, *points: tuple[object, str]) -> dict[str, Any]:
    def spelled(value: object, door: str) -> dict[str, Any]:
        attributes = [{"key": HTTP, "value": {"stringValue": door}}] if door else []
        number = {"asDouble" if isinstance(value, float) else "asInt": value}
        return {**number, "timeUnixNano": str(TIME_NS), "attributes": attributes}

    data = {"dataPoints": [spelled(*item) for item in points]}
    return {"name": name, kind: data | ({"aggregationTemporality": 2} if kind == "sum" else {})}


def test_counts_since_the_last_push_are_marked_as_such() -> None:
    started = metric("server.uptime", point(3), temporality=DELTA)
    assert otlp_detail(started) == {"deltas": True, "left_out": 0, "uptime_s": 3}
    assert "deltas" not in otlp_detail(metric("server.uptime", point(3)))


def test_of_several_of_one_name_the_last_counts() -> None:
    said = detail(
        family("http.inbound.downstream_rq_total", 5.0),
        family("http.downstream_rq_total", 6.0, labels={HTTP: "inbound"}),
        family("http.inbound.downstream_rq_total", 2.0),
    )
    assert said["requests_started"] == 2
    both = otlp_detail(metric("server.uptime", point(3), point(4)))
    assert both["uptime_s"] == 4


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -1.0, 0.5, 2.0**53 + 2, 1e300],
)
def test_number_that_is_no_count_is_not_taken_and_the_row_says_so(value: float) -> None:
    row = counters(envoy_payload([family("server.uptime", value), family("server.uptime", 3.0)]))
    assert (row["kind"], row["decode_error"]) == ("counter", BAD_COUNT)
    assert json.loads(row["detail"]) == {"left_out": 0, "uptime_s": 3}
    exported = payload(otlp_message(metric("server.uptime", point(value))))
    row = counters(exported, PayloadFormat.OTLP_METRICS)
    assert (row["detail"], row["decode_error"]) == ('{"left_out":0}', BAD_COUNT)


def test_integers_are_held_to_the_same_bounds() -> None:
    for value, is_taken in ((-1, False), (COUNT_MAX, True), (COUNT_MAX + 1, False)):
        exported = payload(otlp_message(metric("server.uptime", point(value))))
        row = counters(exported, PayloadFormat.OTLP_METRICS)
        assert (row["decode_error"] is None) == is_taken
        assert ("uptime_s" in json.loads(row["detail"])) == is_taken


def test_sum_that_no_double_holds_is_left_out() -> None:
    row = counters(
        envoy_payload(
            [family(f"http.{door}.downstream_rq_total", float(COUNT_MAX)) for door in "ab"]
        )
    )
    said = json.loads(row["detail"])
    assert row["decode_error"] == BAD_COUNT
    assert "requests_started" not in said
    assert said["by_http"]["a"] == {"requests_started": COUNT_MAX}


@pytest.mark.parametrize("time_ms", [-1, 2**63 - 1])
def test_time_that_fits_no_clock_is_not_taken_and_the_row_says_so(time_ms: int) -> None:
    row = counters(envoy_payload([family("server.uptime", 3.0, time_ms=time_ms)]))
    assert (row["time"], row["decode_error"]) == (None, BAD_TIME)
    exported = payload(otlp_message(metric("server.uptime", point(3, time_ns=2**63))))
    row = counters(exported, PayloadFormat.OTLP_METRICS)
    assert (row["time"], row["decode_error"]) == (None, BAD_TIME)


def test_time_is_the_latest_and_absent_where_there_is_none() -> None:
    later = family("server.uptime", 3.0, time_ms=5)
    assert counters(envoy_payload([later, family("server.uptime", time_ms=2)]))["time"] == 5_000_000
    assert counters(envoy_payload([family("server.uptime", time_ms=0)]))["time"] is None


def test_doors_are_bounded_and_the_others_are_counted() -> None:
    names = [f"p{number:03}" for number in range(DOORS_SHOWN_MAX + 1)]
    names += ["x" * DOOR_CHARS_MAX, "a" * (DOOR_CHARS_MAX + 1)]
    said = detail(*(family(f"http.{name}.downstream_rq_total") for name in reversed(names)))
    assert sorted(said["by_http"]) == names[:DOORS_SHOWN_MAX]
    assert said["doors_omitted"] == 3
    assert said["requests_started"] == len(names)


def test_push_over_the_size_of_an_entry_is_read_from_its_blob() -> None:
    whole = envoy_payload([family(f"http.{n:0100}.downstream_rq_total") for n in range(600)])
    cut = prefix_payload(whole)
    flags = EntryFlags.FILTERED | EntryFlags.PREFIX
    pushed = entry(cut, PayloadFormat.ENVOY_METRICS, entry_type=EntryType.COUNTER, flags=flags)
    [row] = derive_both(pushed, read_blob=lambda _: whole)
    assert json.loads(row["detail"])["requests_started"] == 600


@pytest.mark.parametrize(
    ("data", "payload_format", "reason"),
    [
        (b"", PayloadFormat.ENVOY_METRICS, TOO_SHORT),
        (b"x" * 39, PayloadFormat.OTLP_METRICS, TOO_SHORT),
        (b"x" * 39, PayloadFormat.OTLP_METRICS_JSON, TOO_SHORT),
        (payload(b"\xff"), PayloadFormat.ENVOY_METRICS, "not a protobuf message"),
        (payload(b"\xff"), PayloadFormat.OTLP_METRICS, "not a protobuf message"),
        (payload(b"{"), PayloadFormat.OTLP_METRICS_JSON, NO_JSON),
        (payload(b""), PayloadFormat.OTLP_METRICS_JSON, NO_JSON),
        (payload(b"[" * 60_000), PayloadFormat.OTLP_METRICS_JSON, NO_JSON),
    ],
)
def test_what_cannot_be_read_is_undecoded_and_says_why(
    data: bytes, payload_format: PayloadFormat, reason: str
) -> None:
    row = counters(data, payload_format)
    assert (row["kind"], row["decode_error"]) == ("undecoded", reason)
    assert (row["time"], row["detail"]) == (None, None)


def test_whole_metrics_message_is_undecoded() -> None:
    [row] = derive_both(entry(b"\xff", PayloadFormat.ENVOY_METRICS_FRAME))
    assert (row["kind"], row["source"]) == ("undecoded", "envoy-metrics")
