"""Counts what a recording holds, with protobuf's own parser: slow, obviously right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from envoy.service.accesslog.v3 import als_pb2

from bench.harness.frames import scan_frames

if TYPE_CHECKING:
    from pathlib import Path

RBAC_DENIED = "rbac_access_denied"


def count_recording(path: Path) -> dict[str, Any]:
    """Count records, bytes and distinct values of the recording at ``path``.

    Returns:
        JSON-ready: records, their bytes, streams, distinct ids, identities and paths, and the
        share of records that say denied.
    """
    census = _Census()
    data = memoryview(path.read_bytes())
    for frame in scan_frames(data):
        message = als_pb2.StreamAccessLogsMessage.FromString(data[frame.start : frame.end])
        census.add(frame.stream, message)
    return census.result()


class _Census:
    def __init__(self) -> None:
        self.records_by_log: Counter[str] = Counter()
        self.records_bytes = 0
        self.denied_count = 0
        self.log_names: dict[int, str] = {}
        self.paths: set[str] = set()
        self.request_ids: set[str] = set()
        self.trace_ids: set[str] = set()
        self.identities: set[str] = set()

    def add(self, stream: int, message: Any) -> None:  # noqa: ANN401 - a generated class
        """Count one message."""
        if message.HasField("identifier"):
            node, log_name = message.identifier.node.cluster, message.identifier.log_name
            self.log_names[stream] = f"{node} {log_name}"
        for records in (message.http_logs.log_entry, message.tcp_logs.log_entry):
            self.records_by_log[self.log_names[stream]] += len(records)
            for record in records:
                self._add_record(record)
        for record in message.http_logs.log_entry:
            self._add_request(record)

    def _add_record(self, record: Any) -> None:  # noqa: ANN401 - as above
        self.records_bytes += record.ByteSize()
        tls = record.common_properties.tls_properties
        for certificate in (tls.peer_certificate_properties, tls.local_certificate_properties):
            self.identities.update(name.uri for name in certificate.subject_alt_name)

    def _add_request(self, record: Any) -> None:  # noqa: ANN401 - as above
        self.paths.add(record.request.path)
        self.request_ids.add(record.request.request_id)
        self.trace_ids.add(record.request.request_headers["traceparent"][3:35])
        self.denied_count += record.response.response_code_details.startswith(RBAC_DENIED)

    def result(self) -> dict[str, Any]:
        """The counts, JSON-ready."""
        records_count = self.records_by_log.total()
        return {
            "records_count": records_count,
            "records_bytes": self.records_bytes,
            "record_bytes_mean": round(self.records_bytes / records_count, 1),
            "records_by_log": dict(self.records_by_log),
            "streams_count": len(self.log_names),
            "distinct_request_ids_count": len(self.request_ids),
            "distinct_trace_ids_count": len(self.trace_ids),
            "distinct_identities_count": len(self.identities),
            "distinct_paths_count": len(self.paths),
            "denied_records_count": self.denied_count,
            "denied_share_percent": round(100 * self.denied_count / records_count, 3),
        }
