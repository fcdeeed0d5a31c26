"""The row-wise reference of OTLP log records: protobuf's own parser, one record at a time.

Slow and plain on purpose. It follows docs/formats/event.md and shares with the columnar mapper only
the meaning of single values (``envoy_values``), the table of attributes, the cut descriptor and the
stream facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from meshtrail.model.otlp_attributes import ACCESS_LOG_TYPE
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.envoy_attributes_reference import AttributeRow
from meshtrail.sources.envoy_messages import plain_reason
from meshtrail.sources.otlp_log_records import NOT_ONE_RECORD
from meshtrail.sources.otlp_log_schema import RECORDS, RESOURCES, SCOPES, log_export_descriptor
from meshtrail.sources.reference_parts import parse_message

if TYPE_CHECKING:
    from meshtrail.sources.envoy_attributes_reference import Ids, Row
    from meshtrail.sources.streams import StreamFacts

_INT64_MAX: Final = 2**63 - 1
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8


def map_otlp_log(payload: bytes, row: Row, problems: list[str], facts: StreamFacts) -> None:
    """Fill the row of an OTLP log record."""
    filled = AttributeRow(row, problems, facts)
    try:
        export = parse_message(log_export_descriptor(), payload)
    except DecodeError as error:
        filled.refuse([plain_reason(error)])
        return
    records = [
        record
        for resource in getattr(export, RESOURCES)
        for scope in getattr(resource, SCOPES)
        for record in getattr(scope, RECORDS)
    ]
    if len(records) != 1:
        filled.refuse([NOT_ONE_RECORD])
        return
    [record] = records
    attributes = {item.key: item.value.string_value for item in record.attributes}
    if ACCESS_LOG_TYPE in attributes:
        texts = {key: envoy.mend_utf8(value) for key, value in attributes.items()}
        filled.tell_attributes(texts, time=_time(record), beside=_ids(record))
    else:
        filled.tell_time(*_time(record))
        filled.tell_ids(_ids(record))
        row["kind"] = "log_record"


def _time(record: Any) -> tuple[int | None, str | None]:  # noqa: ANN401 - generated classes have no types
    moment = record.time_unix_nano
    if moment > _INT64_MAX:
        return None, "time_unix_nano is not a time"
    return moment or None, None


def _ids(record: Any) -> Ids:  # noqa: ANN401 - as above
    trace, span = record.trace_id, record.span_id
    if len(trace) != _TRACE_BYTES or not any(trace):
        return None, None
    return trace, span if len(span) == _SPAN_BYTES and any(span) else None
