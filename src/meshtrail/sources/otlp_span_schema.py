"""The fields of OTLP spans that become event columns, as a shim type.

``xds-protos`` publishes an OTLP from when a scope was an instrumentation library: the names differ,
the field numbers, hence the bytes, do not.

Source: opentelemetry.proto.trace.v1; field meanings as documented there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from meshtrail.sources.any_values import KEY_VALUE
from meshtrail.sources.shim import LAX_TEXT, FieldTree, cut_descriptor

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

SPAN_FIELDS: Final[FieldTree] = {
    "trace_id": None,
    "span_id": None,
    "parent_span_id": None,
    # Of what was called, as a caller wrote it: no more held to UTF-8 than an attribute.
    "name": LAX_TEXT,
    "kind": None,
    "start_time_unix_nano": None,
    "end_time_unix_nano": None,
    "attributes": KEY_VALUE,
    "status": {"code": None},
}
SPAN_PATH: Final = ("resource_spans", "instrumentation_library_spans", "spans")
"""The fields that lead from an export request to its spans."""


@cache
def export_spans_descriptor() -> Descriptor:
    """The shim of ``ExportTraceServiceRequest``."""
    # Imported here: it takes time, which only those who decode should pay.
    from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415 - see above
        trace_service_pb2,
    )

    resources, scopes, spans = SPAN_PATH
    published = trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR
    tree: FieldTree = {resources: {scopes: {spans: SPAN_FIELDS}}}
    return cut_descriptor(published, tree, package="meshtrail.shim.otlp.spans")
