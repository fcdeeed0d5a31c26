from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from meshtrail.sources.counter_schema import envoy_descriptor, otlp_descriptor
from meshtrail.sources.reference_parts import parse_message
from tests.counter_pushes import (
    TIME_MS,
    TIME_NS,
    envoy_message,
    family,
    metric,
    otlp_message,
    point,
)

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor


def kinds(descriptor: Descriptor) -> dict[tuple[int, ...], tuple[int, bool]]:
    """Type and repetition of every field below a message type, by the numbers that lead there."""
    found: dict[tuple[int, ...], tuple[int, bool]] = {}
    for field in descriptor.fields:
        found[(field.number,)] = (field.type, field.is_repeated)
        if field.message_type is not None and field.message_type is not descriptor:
            found |= {
                (field.number, *path): kind for path, kind in kinds(field.message_type).items()
            }
    return found


def test_otlp_fields_are_the_published_ones() -> None:
    # The published type is of an older version: other names, the same numbers and types.
    published = metrics_service_pb2.ExportMetricsServiceRequest.DESCRIPTOR
    enum, int32 = 14, 5
    for path, (kind, is_repeated) in kinds(otlp_descriptor()).items():
        found, found_repeated = walk(published, path)
        assert (int32 if found == enum else found, found_repeated) == (kind, is_repeated), path


def walk(descriptor: Descriptor, path: tuple[int, ...]) -> tuple[int, bool]:
    for number in path[:-1]:
        inner = descriptor.fields_by_number[number].message_type
        assert inner is not None
        descriptor = inner
    field = descriptor.fields_by_number[path[-1]]
    return field.type, field.is_repeated


def test_push_of_envoy_is_read_field_by_field() -> None:
    message = envoy_message(
        family("a", 2.0, labels={"k": "v"}), family("b", 3.0, is_gauge=True), claims=b"\x0a\x00"
    )
    first, second = parse_message(envoy_descriptor(), message).envoy_metrics
    assert (first.name, first.metric[0].counter.value, first.metric[0].timestamp_ms) == (
        "a",
        2.0,
        TIME_MS,
    )
    assert [(label.name, label.value) for label in first.metric[0].label] == [("k", "v")]
    assert (second.name, second.metric[0].gauge.value) == ("b", 3.0)


def test_export_of_metrics_is_read_field_by_field() -> None:
    message = otlp_message(
        metric("a", point(2, attributes={"k": "v"}), point(0.5)),
        metric("b", point(3), is_gauge=True),
    )
    [resource] = parse_message(otlp_descriptor(), message).resource_metrics
    first, second = resource.scope_metrics[0].metrics
    whole, broken = first.sum.data_points
    assert (first.name, whole.as_int, broken.as_double) == ("a", 2, 0.5)
    assert (whole.time_unix_nano, whole.attributes[0].key) == (TIME_NS, "k")
    assert whole.attributes[0].value.string_value == "v"
    assert first.sum.aggregation_temporality == 2
    assert (second.name, second.gauge.data_points[0].as_int) == ("b", 3)
