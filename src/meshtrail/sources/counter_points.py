"""Pushes of counters as flat columns: a point for each number, whichever protocol it came in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.als_decode import RecordDecoder
from meshtrail.sources.columns import Entries
from meshtrail.sources.counter_detail import read_millis, read_nanos
from meshtrail.sources.counter_families import DOOR_LABELS, LABEL_PREFIX
from meshtrail.sources.counter_schema import TEMPORALITY_DELTA, envoy_descriptor, otlp_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

_LABEL_NAMES: Final = pa.array(
    [before + name for name in sorted(DOOR_LABELS.values()) for before in ("", LABEL_PREFIX)]
)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Numbers in the order in which they stand.

    Attributes:
        rows: int64[n], the push of each.
        names: string[n].
        values: of the numbers, integers where they came as such.
        times: in the protocol's own unit.
        is_delta: bool[n], whether it says what was counted since the push before.
        labels: by the place of a point and the name of a label that can name a door.
        read_time: nanoseconds of one of ``times``; None where it fits no clock.
    """

    rows: npt.NDArray[np.int64]
    names: pa.Array
    values: list[float]
    times: list[int]
    is_delta: npt.NDArray[np.bool_]
    labels: dict[tuple[int, str], str]
    read_time: Callable[[int], int | None]


def read_envoy_points(messages: pa.Array) -> tuple[Points, dict[int, str]]:
    """The numbers of ``StreamMetricsMessage``s.

    Args:
        messages: binary[n].

    Returns:
        The numbers; why a message could not be read, by row.
    """
    batch, bad = _envoy_decoder().decode(messages)
    families = Entries(batch.column("envoy_metrics"))
    metrics = Entries(families.field("metric"))
    value = pc.coalesce(metrics.field("counter", "value"), metrics.field("gauge", "value"))
    count = len(metrics.rows)
    points = Points(
        rows=families.rows[metrics.rows],
        names=families.field("name").take(pa.array(metrics.rows)),
        values=pc.fill_null(value, 0.0).to_pylist(),
        times=metrics.field("timestamp_ms").to_pylist(),
        is_delta=np.zeros(count, dtype=np.bool_),
        labels=_labels(
            metrics.field("label"), np.arange(count, dtype=np.int64), key="name", value=("value",)
        ),
        read_time=read_millis,
    )
    return points, bad


def read_otlp_points(messages: pa.Array) -> tuple[Points, dict[int, str]]:
    """The numbers of ``ExportMetricsServiceRequest``s; otherwise as ``read_envoy_points``."""
    batch, bad = _otlp_decoder().decode(messages)
    resources = Entries(batch.column("resource_metrics"))
    scopes = Entries(resources.field("scope_metrics"))
    metrics = Entries(scopes.field("metrics"))
    rows = resources.rows[scopes.rows[metrics.rows]]
    kinds = [Entries(metrics.field(kind, "data_points")) for kind in ("gauge", "sum")]
    of_metric = np.concatenate([kind.rows for kind in kinds])
    # As they stand: metric after metric, and in one that holds both, gauges before sums.
    order = np.argsort(of_metric, kind="stable")
    flat = pa.concat_arrays([kind.flat for kind in kinds]).take(pa.array(order))
    of_metric = of_metric[order]
    is_sum = order >= len(kinds[0].rows)
    temporality = pc.fill_null(metrics.field("sum", "aggregation_temporality"), 0)
    is_delta = np.asarray(temporality)[of_metric] == TEMPORALITY_DELTA
    whole = pc.struct_field(flat, "as_int").to_pylist()
    broken = pc.struct_field(flat, "as_double").to_pylist()
    points = Points(
        rows=rows[of_metric],
        names=metrics.field("name").take(pa.array(of_metric)),
        values=[integer or number for integer, number in zip(whole, broken, strict=True)],
        times=pc.struct_field(flat, "time_unix_nano").to_pylist(),
        is_delta=is_delta & is_sum,
        labels=_labels(
            pc.struct_field(flat, "attributes"),
            np.arange(len(of_metric), dtype=np.int64),
            key="key",
            value=("value", "string_value"),
        ),
        read_time=read_nanos,
    )
    return points, bad


def _labels(
    lists: pa.Array, places: npt.NDArray[np.int64], *, key: str, value: tuple[str, ...]
) -> dict[tuple[int, str], str]:
    labels = Entries(lists)
    names = labels.field(key)
    chosen = pa.array(labels.where(pc.is_in(names, _LABEL_NAMES)))
    return {
        (place, name.removeprefix(LABEL_PREFIX)): text
        for place, name, text in zip(
            places[labels.rows[np.asarray(chosen)]].tolist(),
            names.take(chosen).to_pylist(),
            labels.field(*value).take(chosen).to_pylist(),
            strict=True,
        )
        if text
    }


@cache
def _envoy_decoder() -> RecordDecoder:
    return RecordDecoder(envoy_descriptor())


@cache
def _otlp_decoder() -> RecordDecoder:
    return RecordDecoder(otlp_descriptor())
