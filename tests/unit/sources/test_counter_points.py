from __future__ import annotations

import pyarrow as pa

from meshtrail.sources.counter_points import Points, read_envoy_points, read_otlp_points
from tests.als_messages import length_delimited
from tests.counter_pushes import (
    DELTA,
    TIME_MS,
    TIME_NS,
    envoy_message,
    family,
    metric,
    otlp_message,
    point,
)


def flat(points: Points) -> list[tuple[object, ...]]:
    names = points.names.to_pylist()
    return list(zip(points.rows.tolist(), names, points.values, strict=True))


def test_numbers_of_several_pushes_stay_with_their_rows() -> None:
    messages = [
        envoy_message(family("a", 1.0), family("b", 2.0, is_gauge=True)),
        b"\xff",
        b"",
        envoy_message(family("a", 0.0), family("c", 3.0)),
    ]
    points, bad = read_envoy_points(pa.array(messages, pa.binary()))
    assert flat(points) == [(0, "a", 1.0), (0, "b", 2.0), (3, "a", 0.0), (3, "c", 3.0)]
    assert bad == {1: "not a protobuf message"}
    assert points.times == [TIME_MS] * 4
    assert points.read_time(TIME_MS) == TIME_NS


def test_labels_that_name_doors_are_kept_by_place_and_no_others() -> None:
    labels = {"envoy.listener_address": "plain", "tcp_prefix": "t", "other": "x"}
    messages = [envoy_message(family("a"), family("b", labels=labels))]
    points, _ = read_envoy_points(pa.array(messages, pa.binary()))
    assert points.labels == {(1, "listener_address"): "plain", (1, "tcp_prefix"): "t"}


def test_exported_numbers_stand_as_the_metrics_do_gauges_first() -> None:
    both = metric("x", point(3)) + metric("x", point(4), is_gauge=True)
    messages = [
        otlp_message(metric("s", point(1), point(0.5), temporality=DELTA), both),
        otlp_message(metric("g", point(7), is_gauge=True)),
    ]
    points, bad = read_otlp_points(pa.array(messages, pa.binary()))
    assert flat(points) == [
        (0, "s", 1),
        (0, "s", 0.5),
        (0, "x", 4),
        (0, "x", 3),
        (1, "g", 7),
    ]
    assert points.is_delta.tolist() == [True, True, False, False, False]
    assert bad == {}


def test_pushes_without_any_number_have_no_points() -> None:
    for read in (read_envoy_points, read_otlp_points):
        points, bad = read(pa.array([b"", length_delimited(1, b"")], pa.binary()))
        assert (flat(points), bad) == ([], {})
