"""OTLP spans to event columns.

The rules in words: docs/formats/event.md, "How spans become events". Row-wise reference:
``otlp_span_reference``; the two are compared in tests and by ``verify --deep``.

All that a span says is what its sender says: it was written by the process that the span is about,
after the fact, under trace ids that anyone can send.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Kind, Trust
from meshtrail.sources import span_values as spans
from meshtrail.sources.any_values import Attributes
from meshtrail.sources.attribute_values import mend_texts
from meshtrail.sources.columns import field, integer, map_distinct, mask_null, plain, without
from meshtrail.sources.envoy_values import enum_name
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.otlp_records import ExportDecoder
from meshtrail.sources.otlp_span_schema import SPAN_PATH, export_spans_descriptor
from meshtrail.sources.span_attributes import read_attributes

if TYPE_CHECKING:
    from meshtrail.sources.streams import Reporters

_S: Final = pa.string()
_I64: Final = pa.int64()
_TIME_MAX: Final = pa.scalar(2**63 - 1, pa.uint64())
_ID_BYTES: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


def map_otlp_spans(records: pa.Array, reporters: Reporters) -> EventColumns:  # noqa: ARG001 - a span names nobody whom its sender could be held to
    """Event columns of OTLP spans.

    Args:
        records: binary[n], export requests with one span each.
        reporters: who sent each of them.
    """
    batch, bad = _decoder().decode(records)
    out = EventColumns(batch.num_rows)
    out.columns["kind"] = pa.repeat(pa.scalar(Kind.SPAN.value), batch.num_rows)
    _map_times(batch, out)
    _map_ids(batch, out)
    (kind,) = map_distinct(field(batch, "kind"), lambda code: (enum_name(code, spans.KINDS),), [_S])
    attributes = Attributes(field(batch, "attributes"))
    name = mend_texts(field(batch, "name"))
    out.columns["span_name"] = without(name, pc.equal(name, ""))
    out.columns["span_kind"] = kind
    out.columns["span_status"] = _statuses(batch, attributes)
    out.columns |= read_attributes(attributes, plain(kind))
    out.blank_refused(bad)
    return out


def _map_times(batch: pa.RecordBatch, out: EventColumns) -> None:
    for name, source in (("time", "start_time_unix_nano"), ("end_time", "end_time_unix_nano")):
        out.columns[name] = integer(batch, source, to=_I64, zero_is_null=True)
        beyond = pc.greater(field(batch, source), _TIME_MAX)
        out.problems[f"{source} is not a time"] = pc.fill_null(beyond, fill_value=False)
    duration = pc.subtract(out.columns["end_time"], out.columns["time"])
    is_negative = pc.fill_null(pc.less(duration, 0), fill_value=False)
    out.columns["duration"] = mask_null(duration, pc.invert(is_negative))
    out.problems["span ends before it starts"] = is_negative


def _map_ids(batch: pa.RecordBatch, out: EventColumns) -> None:
    """Ids of the right length that are not all zeros; only a parent can be absent."""
    for name, length in _ID_BYTES.items():
        given = field(batch, name)
        good = pc.and_(
            pc.equal(pc.binary_length(given), length),
            pc.not_equal(given, pa.scalar(bytes(length), pa.binary())),
        )
        out.columns[name] = mask_null(given, good).cast(pa.binary(length))
        bad = pc.invert(good)
        if name == "parent_span_id":
            bad = pc.and_(bad, pc.greater(pc.binary_length(given), 0))
        out.problems[f"{name} is not an id of {length} bytes"] = pc.fill_null(bad, fill_value=False)
    out.trust("trace_id", Trust.ASSERTED)


def _statuses(batch: pa.RecordBatch, attributes: Attributes) -> pa.Array:
    """The status, else what the tag ``error`` says, which Envoy sets without a status, too."""
    (status,) = map_distinct(
        field(batch, "status", "code"), lambda code: (enum_name(code, spans.STATUSES),), [_S]
    )
    is_error = pc.fill_null(pc.equal(attributes.text("error"), "true"), fill_value=False)
    said = pc.if_else(is_error, "error", pa.scalar(None, _S))
    return pc.dictionary_encode(pc.coalesce(plain(status), said))


@cache
def _decoder() -> ExportDecoder:
    return ExportDecoder(export_spans_descriptor(), SPAN_PATH, what="span")
