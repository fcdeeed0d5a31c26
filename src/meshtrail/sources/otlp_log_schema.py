"""The fields of OTLP log records that become event columns, as a shim type.

``xds-protos`` publishes an early OTLP, in which a scope is an instrumentation library. The names
differ from today's, the field numbers do not.

Source: opentelemetry.proto.collector.logs.v1 as published in ``xds-protos``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from meshtrail.sources.als_decode import RecordDecoder
from meshtrail.sources.any_values import TEXT_VALUE
from meshtrail.sources.shim import FieldTree, cut_descriptor

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

RESOURCES: Final = "resource_logs"
SCOPES: Final = "instrumentation_library_logs"
RECORDS: Final = "logs"
LOG_FIELDS: Final[FieldTree] = {
    "time_unix_nano": None,
    "attributes": {"key": None, "value": TEXT_VALUE},
    "trace_id": None,
    "span_id": None,
}
EXPORT_FIELDS: Final[FieldTree] = {RESOURCES: {SCOPES: {RECORDS: LOG_FIELDS}}}


@cache
def log_export_descriptor() -> Descriptor:
    """The shim of ``ExportLogsServiceRequest``."""
    # Imported here: only those who decode should pay for it.
    from opentelemetry.proto.collector.logs.v1 import (  # noqa: PLC0415 - see above
        logs_service_pb2,
    )

    published = logs_service_pb2.ExportLogsServiceRequest.DESCRIPTOR
    return cut_descriptor(published, EXPORT_FIELDS, package="meshtrail.shim.otlp.logs")


@cache
def log_export_decoder() -> RecordDecoder:
    """The decoder of exports of log records."""
    return RecordDecoder(log_export_descriptor())
