"""The row-wise reference of a push of counters: protobuf's own parser, one number at a time.

Slow and plain on purpose; shares with the columnar mapper the meaning of a name, of a count and of
a time, and the schema.
"""

# ruff: noqa: ANN401 - generated classes have no types
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from meshtrail.errors import InputError
from meshtrail.model.event import Kind
from meshtrail.sources.counter_detail import (
    BAD_COUNT,
    BAD_TIME,
    COUNT_MAX,
    DOOR_CHARS_MAX,
    DOORS_SHOWN_MAX,
    read_count,
    read_millis,
    read_nanos,
)
from meshtrail.sources.counter_families import (
    DOOR_LABELS,
    LABEL_PREFIX,
    SHOWN_BY_DOOR,
    Family,
    find_counter,
    is_logged,
)
from meshtrail.sources.counter_json import convert_json
from meshtrail.sources.counter_schema import TEMPORALITY_DELTA, envoy_descriptor, otlp_descriptor
from meshtrail.sources.counter_slices import HEAD, split_payload
from meshtrail.sources.envoy_messages import plain_reason
from meshtrail.sources.reference_parts import parse_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor

    from meshtrail.sources.streams import StreamFacts

Row = dict[str, Any]

_TOO_SHORT: Final = "a push of counters that is shorter than what stands before it"
_NO_JSON: Final = "not an export of metrics in JSON"


class _Point(NamedTuple):
    name: str
    value: float
    time_ns: int | None
    labels: dict[str, str]
    is_delta: bool


def map_envoy_push(payload: bytes, row: Row, problems: list[str], _: StreamFacts) -> None:
    """Fill the row of a push to Envoy's metrics service."""
    split = split_payload(payload)
    if split is None:
        _refuse(_TOO_SHORT, row, problems)
        return
    message = _parse(envoy_descriptor(), split[1], row, problems)
    if message is not None:
        _fill(_envoy_points(message), split[0], row, problems)


def map_otlp_push(payload: bytes, row: Row, problems: list[str], _: StreamFacts) -> None:
    """Fill the row of an export of OTLP metrics."""
    split = split_payload(payload)
    if split is None:
        _refuse(_TOO_SHORT, row, problems)
        return
    message = _parse(otlp_descriptor(), split[1], row, problems)
    if message is not None:
        _fill(_otlp_points(message), split[0], row, problems)


def map_otlp_json_push(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of an export of OTLP metrics in JSON."""
    split = split_payload(payload)
    if split is None:
        _refuse(_TOO_SHORT, row, problems)
        return
    try:
        converted = convert_json(split[1])
    except InputError:
        _refuse(_NO_JSON, row, problems)
        return
    map_otlp_push(payload[: HEAD.size] + converted, row, problems, facts)


def _refuse(reason: str, row: Row, problems: list[str]) -> None:
    row["kind"] = Kind.UNDECODED.value
    problems.append(reason)


def _parse(descriptor: Descriptor, message: bytes, row: Row, problems: list[str]) -> Any:
    try:
        return parse_message(descriptor, message)
    except DecodeError as error:
        _refuse(plain_reason(error), row, problems)
        return None


def _envoy_points(message: Any) -> Iterator[_Point]:
    for family in message.envoy_metrics:
        for metric in family.metric:
            has_counter = metric.HasField("counter")
            value = metric.counter.value if has_counter else metric.gauge.value
            labels = {
                label.name.removeprefix(LABEL_PREFIX): label.value
                for label in metric.label
                if label.value
            }
            time_ns = read_millis(metric.timestamp_ms)
            yield _Point(family.name, value, time_ns, labels, is_delta=False)


def _otlp_points(message: Any) -> Iterator[_Point]:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from _points_of(metric)


def _points_of(metric: Any) -> Iterator[_Point]:
    is_sum_delta = metric.sum.aggregation_temporality == TEMPORALITY_DELTA
    for kind, is_delta in ((metric.gauge, False), (metric.sum, is_sum_delta)):
        for point in kind.data_points:
            labels = {
                item.key.removeprefix(LABEL_PREFIX): item.value.string_value
                for item in point.attributes
                if item.value.string_value
            }
            value = point.as_int or point.as_double
            yield _Point(
                metric.name, value, read_nanos(point.time_unix_nano), labels, is_delta=is_delta
            )


def _fill(points: Iterator[_Point], left_out: int, row: Row, problems: list[str]) -> None:
    counts: dict[tuple[Family, str | None], int] = {}
    times = []
    found: set[str] = set()
    said: dict[str, Any] = {"left_out": left_out}
    for point in points:
        counter = find_counter(point.name.encode())
        if counter is None:
            continue
        times.append(point.time_ns)
        family, door = counter
        if door is None and family.scope in DOOR_LABELS:
            door = point.labels.get(DOOR_LABELS[family.scope])
        if not is_logged(family.scope, door):
            continue
        count = read_count(point.value)
        if count is None:
            found.add(BAD_COUNT)
            continue
        counts[family, door] = count
        if point.is_delta:
            said["deltas"] = True
    if None in times:
        found.add(BAD_TIME)
    known_times = [time for time in times if time]
    row["kind"] = Kind.COUNTER.value
    row["time"] = max(known_times) if known_times else None
    for field in {family.field for family, _ in counts}:
        total = sum(count for (family, _), count in counts.items() if family.field == field)
        if total > COUNT_MAX:
            found.add(BAD_COUNT)
        else:
            said[field] = total
    _add_doors(said, counts)
    row["detail"] = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    problems += sorted(found)


def _add_doors(said: Row, counts: dict[tuple[Family, str | None], int]) -> None:
    omitted_count = 0
    for scope, part in SHOWN_BY_DOOR.items():
        doors = {door for family, door in counts if family.scope == scope and door is not None}
        shown = sorted(door for door in doors if len(door) <= DOOR_CHARS_MAX)[:DOORS_SHOWN_MAX]
        omitted_count += len(doors) - len(shown)
        for door in shown:
            fields: dict[str, int] = {}
            for (family, where), count in counts.items():
                if family.scope == scope and where == door:
                    fields[family.field] = min(fields.get(family.field, 0) + count, COUNT_MAX)
            said.setdefault(part, {})[door] = fields
    if omitted_count:
        said["doors_omitted"] = omitted_count
