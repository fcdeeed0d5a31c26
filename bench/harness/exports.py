"""OTLP exports of a recording: how many records each holds, what they hold, where their ids stand.

With protobuf's own parser, before any clock runs.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from bench.harness.frames import scan_frames
from meshtrail.sources.wire_fields import encode_field
from tests.rig.otlp_receiver import METHOD, SERVICE, TRACES_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIED_BYTES = 4
"""The last of a binary id: those that a repetition overwrites."""


class Exported(Enum):
    """What an export holds.

    Attributes:
        grpc_path: of the gRPC method.
        http_path: where they are posted to.
    """

    LOGS = "logs"
    SPANS = "spans"

    @property
    def grpc_path(self) -> str:
        """As above."""
        return f"/{SERVICE if self is Exported.LOGS else TRACES_SERVICE}/{METHOD}"

    @property
    def http_path(self) -> str:
        """As above."""
        return "/v1/logs" if self is Exported.LOGS else "/v1/traces"


_ID_FIELDS = {
    Exported.LOGS: (("trace_id", 9), ("span_id", 10)),
    Exported.SPANS: (("trace_id", 1), ("span_id", 2), ("parent_span_id", 4)),
}
"""The binary ids of a record, by the numbers of their fields, which is the order that they are
in."""


def read_records(body: bytes, exported: Exported) -> list[tuple[Any, list[Any]]]:
    """The records of an export, each list of them with its resource."""
    if exported is Exported.LOGS:
        logs = logs_service_pb2.ExportLogsServiceRequest.FromString(body)
        return [
            (one.resource, list(scope.logs))
            for one in logs.resource_logs
            for scope in one.instrumentation_library_logs
        ]
    spans = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
    return [
        (one.resource, list(scope.spans))
        for one in spans.resource_spans
        for scope in one.instrumentation_library_spans
    ]


def find_binary_ids(body: bytes, exported: Exported) -> Iterator[int]:
    """Where the last four bytes of each binary id of an export stand.

    Raises:
        ValueError: an id does not stand where the export's encoder is expected to put it.
    """
    at = 0
    for _, records in read_records(body, exported):
        for record in records:
            for name, number in _ID_FIELDS[exported]:
                value: bytes = getattr(record, name)
                if value:
                    field = encode_field(number, value)
                    at = body.index(field, at) + len(field)
                    yield at - VARIED_BYTES


def count_exports(path: Path, exported: Exported) -> dict[str, Any]:
    """Count what the exports of the recording at ``path`` hold.

    Returns:
        JSON-ready: exports, records, the bytes of the records alone and of the exports, distinct
        trace ids, and records by what their resource says.
    """
    data = path.read_bytes()
    exports_count = exports_bytes = records_bytes = 0
    by_resource: dict[str, int] = {}
    trace_ids: set[bytes] = set()
    for frame in scan_frames(data):
        exports_count += 1
        exports_bytes += frame.end - frame.start
        for resource, records in read_records(data[frame.start : frame.end], exported):
            said = {one.key: one.value.string_value for one in resource.attributes}
            name = f"{said.get('cluster_name') or said.get('service.name')} {said.get('log_name')}"
            by_resource[name] = by_resource.get(name, 0) + len(records)
            records_bytes += sum(record.ByteSize() for record in records)
            trace_ids.update(record.trace_id for record in records if record.trace_id)
    records_count = sum(by_resource.values())
    return {
        "exports_count": exports_count,
        "exports_bytes": exports_bytes,
        "records_count": records_count,
        "records_bytes": records_bytes,
        "record_bytes_mean": round(records_bytes / records_count, 1),
        "records_per_export_mean": round(records_count / exports_count, 1),
        "records_by_resource": by_resource,
        "distinct_trace_ids_count": len(trace_ids),
    }
