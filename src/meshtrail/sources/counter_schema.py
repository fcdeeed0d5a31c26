"""The parts that are read of the two protocols in which an Envoy sends its counters.

Written out here, because no package that is installed publishes Envoy's metrics service, and the
published OTLP metrics are of a version that has other names for the same fields.

Source: envoy/service/metrics/v3/metrics_service.proto, io/prometheus/client/metrics.proto,
opentelemetry/proto/metrics/v1/metrics.proto.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_Field = descriptor_pb2.FieldDescriptorProto

Layout: TypeAlias = "dict[str, tuple[int, _Field.Type.ValueType | Layout]]"
"""Field name -> number and type; a name that ends in ``*`` is repeated. Oneofs are dissolved."""

_S: Final = _Field.TYPE_STRING
_DOUBLE: Final = _Field.TYPE_DOUBLE

_NUMBER: Final[Layout] = {"value": (1, _DOUBLE)}
ENVOY_METRICS: Final[Layout] = {
    "envoy_metrics*": (
        2,
        {
            "name": (1, _S),
            "metric*": (
                4,
                {
                    "label*": (1, {"name": (1, _S), "value": (2, _S)}),
                    "gauge": (2, _NUMBER),
                    "counter": (3, _NUMBER),
                    "timestamp_ms": (6, _Field.TYPE_INT64),
                },
            ),
        },
    )
}

_POINT: Final[Layout] = {
    "attributes*": (7, {"key": (1, _S), "value": (2, {"string_value": (1, _S)})}),
    "time_unix_nano": (3, _Field.TYPE_FIXED64),
    "as_double": (4, _DOUBLE),
    "as_int": (6, _Field.TYPE_SFIXED64),
}
OTLP_METRICS: Final[Layout] = {
    "resource_metrics*": (
        1,
        {
            "scope_metrics*": (
                2,
                {
                    "metrics*": (
                        2,
                        {
                            "name": (1, _S),
                            "gauge": (5, {"data_points*": (1, _POINT)}),
                            "sum": (
                                7,
                                {
                                    "data_points*": (1, _POINT),
                                    "aggregation_temporality": (2, _Field.TYPE_INT32),
                                },
                            ),
                        },
                    )
                },
            )
        },
    )
}

TEMPORALITY_DELTA: Final = 1
"""``AGGREGATION_TEMPORALITY_DELTA``: what was counted since the push before."""


@cache
def envoy_descriptor() -> Descriptor:
    """What is read of a ``StreamMetricsMessage``."""
    return _describe(ENVOY_METRICS, "meshtrail.shim.metrics.envoy")


@cache
def otlp_descriptor() -> Descriptor:
    """What is read of an ``ExportMetricsServiceRequest``."""
    return _describe(OTLP_METRICS, "meshtrail.shim.metrics.otlp")


def _describe(layout: Layout, package: str) -> Descriptor:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    _add_message(file, layout, "Root")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName(f"{package}.Root")


def _add_message(file: descriptor_pb2.FileDescriptorProto, layout: Layout, name: str) -> None:
    message = file.message_type.add(name=name)
    for spelled, (number, kind) in layout.items():
        field_name = spelled.rstrip("*")
        field = message.field.add(name=field_name, number=number)
        is_repeated = spelled.endswith("*")
        field.label = _Field.LABEL_REPEATED if is_repeated else _Field.LABEL_OPTIONAL
        if isinstance(kind, dict):
            child = f"{name}_{field_name}"
            field.type = _Field.TYPE_MESSAGE
            field.type_name = f".{file.package}.{child}"
            _add_message(file, kind, child)
        else:
            field.type = kind
