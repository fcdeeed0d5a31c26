"""OTLP's JSON of metrics: the slices that are kept, and the same as protobuf.

Whoever decodes it goes on with the protobuf, so that both spellings say the same.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from google.protobuf import json_format, message_factory

from meshtrail.errors import InputError
from meshtrail.sources.counter_families import find_counter
from meshtrail.sources.counter_schema import otlp_descriptor
from meshtrail.sources.counter_slices import (
    FIELDS_COUNT_MAX,
    KEPT_JSON_BYTES_MAX,
    LeftOut,
    check_density,
)

if TYPE_CHECKING:
    from meshtrail.sources.counter_slices import CutCounters

BODY_BYTES_MAX: Final = 4 << 20
"""Of a larger export nothing is read: taking JSON apart costs 0.2 s a MiB at worst. One of a proxy
with 300 clusters has 1 MB."""

_ABSENT: Final = msgspec.UNSET
_NOT_AN_EXPORT: Final = "not an export of metrics in JSON"
"""Without the parsers' words, which repeat what they were given: this is told to the sender, to
people, and in the opening of its stream."""


class _Spelled(
    msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """An object of OTLP's JSON; a key that is none of its own is an error."""


class _Scope(_Spelled):
    scope: msgspec.Raw | msgspec.UnsetType = _ABSENT
    schema_url: msgspec.Raw | msgspec.UnsetType = _ABSENT
    metrics: list[msgspec.Raw] = []


class _Resource(_Spelled):
    resource: msgspec.Raw | msgspec.UnsetType = _ABSENT
    schema_url: msgspec.Raw | msgspec.UnsetType = _ABSENT
    scope_metrics: list[_Scope] = []


class _Export(_Spelled):
    resource_metrics: list[_Resource] = []


class _Named(msgspec.Struct, gc=False):
    name: str = ""


_EXPORT: Final = msgspec.json.Decoder(_Export)
_NAMED: Final = msgspec.json.Decoder(_Named)


def cut_otlp_json(body: bytes) -> CutCounters:
    """The metrics of an export in JSON that are kept.

    Raises:
        InputError: it is no such export, an object around the metrics has keys of its own, or it
            holds more than anyone sends in earnest.
    """
    if len(body) > BODY_BYTES_MAX:
        raise InputError(f"{len(body)} bytes of JSON, of which at most {BODY_BYTES_MAX} are read")
    left_out = LeftOut()
    kept_count = 0
    try:
        export = _EXPORT.decode(body)
        _check_size(export)
        for resource in export.resource_metrics:
            for scope in resource.scope_metrics:
                kept = []
                for metric in scope.metrics:
                    if find_counter(_NAMED.decode(metric).name.encode()) is None:
                        left_out.add(bytes(metric))
                    else:
                        kept.append(metric)
                scope.metrics = kept
                kept_count += len(kept)
        message = msgspec.json.encode(export)
    except (ValueError, RecursionError) as error:
        raise InputError(_NOT_AN_EXPORT) from error
    if len(message) > KEPT_JSON_BYTES_MAX:
        raise InputError(f"{len(message)} bytes would be kept, at most {KEPT_JSON_BYTES_MAX} are")
    check_density(count_otlp_points(_parse(message)), len(message))
    return left_out.cut(message, kept_count)


def convert_json(message: bytes) -> bytes:
    """An export of metrics in JSON as protobuf, as far as anything of it is read.

    Raises:
        InputError: it says what no such message can.
    """
    encoded: bytes = _parse(message).SerializeToString()
    return encoded


def count_otlp_points(message: Any) -> int:  # noqa: ANN401 - generated classes have no types
    """How many numbers an export of metrics holds."""
    return sum(
        len(metric.gauge.data_points) + len(metric.sum.data_points)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _check_size(export: _Export) -> None:
    scopes = [scope for resource in export.resource_metrics for scope in resource.scope_metrics]
    count = len(export.resource_metrics) + len(scopes) + sum(len(one.metrics) for one in scopes)
    if count > FIELDS_COUNT_MAX:
        raise InputError(f"an export of more than {FIELDS_COUNT_MAX} metrics")


def _parse(message: bytes) -> Any:  # noqa: ANN401 - generated classes have no types
    try:
        return json_format.Parse(message, _message_class()(), ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.Error) as error:
        raise InputError(_NOT_AN_EXPORT) from error


@cache
def _message_class() -> Any:  # noqa: ANN401 - generated classes have no types
    return message_factory.GetMessageClass(otlp_descriptor())
