"""Which records become events how: one line for each payload format."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_events import map_http_records, map_tcp_records
from meshtrail.sources.counter_events import (
    map_envoy_metrics,
    map_otlp_metrics,
    map_otlp_metrics_json,
)
from meshtrail.sources.delivery.git_log import read_git_log
from meshtrail.sources.delivery.github import read_github
from meshtrail.sources.delivery.gitlab import read_gitlab
from meshtrail.sources.event_columns import explain_undecoded
from meshtrail.sources.hubble.records import map_hubble
from meshtrail.sources.kubernetes.audit_events import read_audit_record
from meshtrail.sources.kubernetes.objects import read_inventory
from meshtrail.sources.lines.envoy_json import map_envoy_json
from meshtrail.sources.lines.istio_json import map_istio_json
from meshtrail.sources.lines.istio_text import map_istio_text
from meshtrail.sources.lines.linkerd import map_linkerd
from meshtrail.sources.lines.ztunnel import map_ztunnel
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_json import json_column_to_protobuf
from meshtrail.sources.otlp_logs import map_otlp_logs
from meshtrail.sources.otlp_spans import map_otlp_spans
from meshtrail.sources.record_rows import map_each

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.streams import Reporters

    Mapping = Callable[[pa.Array, Reporters], EventColumns]


def _map_json(
    signal: Signal, map_records: Mapping, records: pa.Array, reporters: Reporters
) -> EventColumns:
    """Records in JSON, as the protobuf that they stand for."""
    encoded, bad = json_column_to_protobuf(records, signal)
    out = map_records(encoded, reporters)
    explain_undecoded(out, bad)
    return out


MAPPINGS: Final[dict[PayloadFormat, Mapping]] = {
    PayloadFormat.ALS_HTTP: map_http_records,
    PayloadFormat.ALS_TCP: map_tcp_records,
    PayloadFormat.OTLP_SPAN: map_otlp_spans,
    PayloadFormat.OTLP_METRICS: map_otlp_metrics,
    PayloadFormat.OTLP_METRICS_JSON: map_otlp_metrics_json,
    PayloadFormat.ENVOY_METRICS: map_envoy_metrics,
    PayloadFormat.OTLP_LOG: map_otlp_logs,
    PayloadFormat.OTLP_LOG_JSON: partial(_map_json, Signal.LOGS, map_otlp_logs),
    PayloadFormat.OTLP_SPAN_JSON: partial(_map_json, Signal.TRACES, map_otlp_spans),
    PayloadFormat.HUBBLE: map_hubble,
    PayloadFormat.ZTUNNEL: map_ztunnel,
    PayloadFormat.LINKERD: map_linkerd,
    PayloadFormat.ENVOY_JSON: map_envoy_json,
    PayloadFormat.ISTIO_JSON: map_istio_json,
    PayloadFormat.ISTIO_TEXT: map_istio_text,
    PayloadFormat.KUBERNETES_AUDIT_JSON: partial(map_each, read_audit_record),
    PayloadFormat.INVENTORY: partial(map_each, read_inventory),
    PayloadFormat.GIT_LOG: partial(map_each, read_git_log),
    PayloadFormat.GITHUB: partial(map_each, read_github),
    PayloadFormat.GITLAB: partial(map_each, read_gitlab),
}
"""By payload format: records, binary[n], with the sender of each, to their event columns."""

FORMAT_NAMES: Final = {int(code): code.name.lower().replace("_", "-") for code in PayloadFormat}
"""Payload formats as docs/formats/entry.md calls them."""

_SOURCES: Final = {
    "meshtrail": "meshtrail",
    "body": "meshtrail",
    "als": "envoy-als",
    "otlp": "otlp",
    "envoy-metrics": "envoy-metrics",
    "kubernetes-audit": "kubernetes-audit",
}
SOURCE_NAMES: Final = {
    code: next((source for start, source in _SOURCES.items() if name.startswith(start)), name)
    for code, name in FORMAT_NAMES.items()
}
"""The kind of telemetry that a payload format belongs to: most are one of their own."""
