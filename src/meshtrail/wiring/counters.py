"""How a proxy is told to send what it counts, and which of it is needed.

Source: envoy.config.metrics.v3, envoy.config.bootstrap.v3; docs/completeness.md for what is read.
"""

from __future__ import annotations

from typing import Final

from meshtrail.wiring.values import quote

FLUSH_INTERVAL: Final = "10s"

NEEDED: Final = (
    r"access_logs\..*",
    r"http\..*\.downstream_rq_(total|active|completed)",
    r"listener\..*\.downstream_cx_(total|active|overflow|overload_reject)",
    r"listener\..*\.downstream_(pre_cx_timeout|global_cx_overflow|listener_filter_.*)",
    r"listener\..*\.(no_filter_chain_match|ssl\.connection_error|ssl\.fail_verify_.*)",
    r"tcp\..*\.downstream_cx_total",
    r"cluster\..*meshtrail.*\.upstream_(cx_connect_.*|cx_destroy_.*|rq_.*)",
    r"server\.(hot_restart_epoch|uptime)",
)
"""The names of the counters that records are held against, as Envoy's regular expressions."""


def format_bootstrap(cluster: str) -> str:
    """The sink for counters, and how often it is served, in the bootstrap's own fields."""
    return f"""\
bootstrap:
  stats_sinks:
  - name: envoy.stat_sinks.metrics_service
    typed_config:
      "@type": type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig
      transport_api_version: V3
      # Were this cluster not among the static ones, Envoy would not start.
      grpc_service: {{envoy_grpc: {{cluster_name: {quote(cluster)}}}}}
  # Counts since the start, not since the last push: of those a lost one would be missing for good.
  # All sinks of this Envoy are served as often; its own choice would be 5s.
  stats_flush_interval: {FLUSH_INTERVAL}
"""


def format_lean_bootstrap() -> str:
    """What keeps every other counter from being made, in the bootstrap's own fields."""
    patterns = "\n".join(
        f"        - safe_regex: {{regex: {_single_quoted(one)}}}" for one in NEEDED
    )
    return f"""\
lean_bootstrap:
  stats_config:
    stats_matcher:
      inclusion_list:
        patterns:
{patterns}
"""


def _single_quoted(text: str) -> str:
    """The text as a YAML scalar in which a backslash is a backslash."""
    return "'" + text.replace("'", "''") + "'"
