"""Envoy's OpenTelemetry access log: the same facts as of its access log service, as attributes.

Source: envoy.extensions.access_loggers.open_telemetry.v3; Istio's mesh/v1alpha1 for its provider.
"""

from __future__ import annotations

from typing import Final

from meshtrail.model.otlp_attributes import ATTRIBUTES, WHO_REPORTS, Told
from meshtrail.wiring.access_logs import BUFFER_BYTES, FLUSH_INTERVAL
from meshtrail.wiring.values import quote

PORTIONS: Final = """\
# Each log is to be sent every quarter of a second, as often as meshtrail seals, or when its buffer
# is full. But Envoy 1.40 reads neither number where its documentation has them (only in
# common_config, which it is about to remove): it sends every second, or 16 KiB (8 records). An
# export that fails is lost, and counted in access_logs.open_telemetry_access_log.logs_dropped.
"""
"""What the two numbers are for, and what gets lost, as a comment."""

SERVICE: Final = "envoy"
_LOGGER: Final = (
    "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3"
    ".OpenTelemetryAccessLogConfig"
)


def format_otlp_log(log_name: str, *, cluster: str, told: Told, filtered: str = "") -> str:
    """An item of an ``access_log``.

    Args:
        log_name: what its records arrive as.
        cluster: where to.
        told: what its records are of.
        filtered: lines of the item that choose among the records, indented by two.
    """
    resource = f"{{key: service.name, value: {{string_value: {quote(SERVICE)}}}}}"
    return f"""\
- name: envoy.access_loggers.open_telemetry
{filtered}  typed_config:
    "@type": {_LOGGER}
    log_name: {quote(log_name)}
    grpc_service: {{envoy_grpc: {{cluster_name: {quote(cluster)}}}}}
    buffer_flush_interval: {FLUSH_INTERVAL}
    buffer_size_bytes: {BUFFER_BYTES}
    # Envoy's own labels say who reports: node_name, cluster_name and log_name become
    # reporter_id, reporter_cluster and reporter_log_name.
    disable_builtin_labels: false
    resource_attributes: {{values: [{resource}]}}
    # All that events are made of. What is logged is kept for good: never add authorization,
    # cookie or anything else that is a secret.
    attributes:
      values:
{_format_values(told)}"""


def format_otlp_provider(log_name: str, *, collector: str, told: Told) -> str:
    """An extension provider's ``envoyOtelAls``, as MeshConfig spells it; indented by four.

    Args:
        log_name: what its records arrive as.
        collector: lines that say where to, indented by six.
        told: what its records are of.
    """
    asked = {one.key: one.operator for one in ATTRIBUTES if told in one.told} | WHO_REPORTS
    labels = "\n".join(f"          {key}: {quote(f'%{op}%')}" for key, op in asked.items())
    return f"""\
    envoyOtelAls:
{collector}
      logName: {quote(log_name)}
      logFormat:
        # In place of Istio's log line, which nothing here reads: a caller can forge it.
        text: access log
        # All that events are made of. What is logged is kept for good: never add authorization,
        # cookie or anything else that is a secret. Istio has the resource say nothing, so the last
        # three tell which pod a record is of; reporter_… say what the connection says.
        labels:
{labels}
"""


def _format_values(told: Told) -> str:
    return "\n".join(
        f"      - {{key: {one.key}, value: {{string_value: {quote(f'%{one.operator}%')}}}}}"
        for one in ATTRIBUTES
        if told in one.told
    )
