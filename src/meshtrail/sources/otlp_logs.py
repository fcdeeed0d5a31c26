"""OTLP log records to event columns: Envoy's OpenTelemetry access log, and any other log record.

Row-wise reference: ``meshtrail.sources.otlp_reference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.attribute_values import read_ids
from meshtrail.sources.columns import mask_null, without
from meshtrail.sources.envoy_attributes import map_attributes
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.otlp_log_records import LogRecords

if TYPE_CHECKING:
    from meshtrail.sources.streams import Reporters

_I64: Final = pa.int64()


def map_otlp_logs(records: pa.Array, reporters: Reporters) -> EventColumns:
    """Event columns of log records.

    Args:
        records: binary[n], exports of one log record each (payload format otlp-log).
        reporters: the sender of each.
    """
    logs = LogRecords(records)
    out = EventColumns(logs.rows_count)
    _map_time(logs, out)
    trace = read_ids(pc.struct_field(logs.fields, "trace_id"), width=16)
    span = read_ids(pc.struct_field(logs.fields, "span_id"), width=8)
    map_attributes(logs, out, reporters, beside=(trace, mask_null(span, pc.is_valid(trace))))
    out.blank_refused(logs.bad)
    return out


def _map_time(logs: LogRecords, out: EventColumns) -> None:
    moment = pc.struct_field(logs.fields, "time_unix_nano")
    fits = pc.less_equal(moment, pa.scalar(2**63 - 1, pa.uint64()))
    out.problems["time_unix_nano is not a time"] = pc.invert(pc.fill_null(fits, fill_value=True))
    moment = mask_null(moment, fits).cast(_I64)
    out.columns["time"] = without(moment, pc.equal(moment, 0))
