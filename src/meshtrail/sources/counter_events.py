"""Pushes of an Envoy's counters to event columns: one row for each push.

Specified in docs/formats/event.md; what the numbers hold exactly is in docs/completeness.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import InputError
from meshtrail.model.event import Kind
from meshtrail.sources.counter_detail import Tally
from meshtrail.sources.counter_families import DOOR_LABELS, find_counter, is_logged
from meshtrail.sources.counter_json import convert_json
from meshtrail.sources.counter_points import read_envoy_points, read_otlp_points
from meshtrail.sources.counter_slices import split_payload
from meshtrail.sources.event_columns import EventColumns

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.sources.counter_points import Points
    from meshtrail.sources.streams import Reporters

TOO_SHORT: Final = "a push of counters that is shorter than what stands before it"
NO_JSON: Final = "not an export of metrics in JSON"


def map_envoy_metrics(records: pa.Array, reporters: Reporters) -> EventColumns:  # noqa: ARG001 - as every mapping
    """Event columns of pushes to Envoy's metrics service.

    Args:
        records: binary[n], payloads.
        reporters: who sent them; the row says it already.
    """
    return _map_pushes(records, read_envoy_points)


def map_otlp_metrics(records: pa.Array, reporters: Reporters) -> EventColumns:  # noqa: ARG001 - as every mapping
    """Event columns of exports of OTLP metrics; otherwise as ``map_envoy_metrics``."""
    return _map_pushes(records, read_otlp_points)


def map_otlp_metrics_json(records: pa.Array, reporters: Reporters) -> EventColumns:  # noqa: ARG001 - as every mapping
    """Event columns of exports of OTLP metrics in JSON; otherwise as ``map_envoy_metrics``."""
    return _map_pushes(records, read_otlp_points, convert=convert_json)


def _map_pushes(
    records: pa.Array,
    read_points: Callable[[pa.Array], tuple[Points, dict[int, str]]],
    *,
    convert: Callable[[bytes], bytes] | None = None,
) -> EventColumns:
    bad: dict[int, str] = {}
    messages: list[bytes] = []
    left_out: list[int] = []
    for row, payload in enumerate(records.to_pylist()):
        split = split_payload(payload)
        if split is None:
            bad[row] = TOO_SHORT
        left_out_count, message = split or (0, b"")
        left_out.append(left_out_count)
        messages.append(message)
    if convert is not None:
        messages = _convert(messages, bad, convert)
    points, undecoded = read_points(pa.array(messages, pa.binary()))
    bad = undecoded | bad
    tallies = _tally(points, len(records))
    details = [
        tally.detail(left_out_count=count) for tally, count in zip(tallies, left_out, strict=True)
    ]
    out = EventColumns(len(records))
    out.columns["kind"] = pa.array([Kind.COUNTER.value] * len(records), pa.string())
    out.columns["time"] = pa.array([tally.time_ns for tally in tallies], pa.int64())
    out.columns["detail"] = pa.array(details, pa.string())
    for reason in sorted({reason for tally in tallies for reason in tally.problems}):
        out.problems[reason] = pa.array([reason in tally.problems for tally in tallies])
    out.blank_refused(bad)
    return out


def _convert(
    messages: list[bytes], bad: dict[int, str], convert: Callable[[bytes], bytes]
) -> list[bytes]:
    converted = []
    for row, message in enumerate(messages):
        try:
            converted.append(b"" if row in bad else convert(message))
        except InputError:
            bad[row] = NO_JSON
            converted.append(b"")
    return converted


def _tally(points: Points, rows_count: int) -> list[Tally]:
    """What each push says; names are looked at once each, numbers only where a name is known."""
    tallies = [Tally() for _ in range(rows_count)]
    encoded = pc.dictionary_encode(points.names)
    known = [find_counter(name.encode()) for name in encoded.dictionary.to_pylist()]
    codes = np.asarray(encoded.indices)
    is_known = np.array([counter is not None for counter in known], dtype=np.bool_)
    for place in np.flatnonzero(is_known[codes]).tolist() if len(codes) else []:
        counter = known[codes[place]]
        assert counter is not None  # noqa: S101 - chosen by being known
        tally = tallies[points.rows[place]]
        tally.note_time(points.read_time(points.times[place]))
        family, door = counter
        if door is None and family.scope in DOOR_LABELS:
            door = points.labels.get((place, DOOR_LABELS[family.scope]))
        if is_logged(family.scope, door):
            is_delta = bool(points.is_delta[place])
            tally.count(family, door, points.values[place], is_delta=is_delta)
    return tallies
