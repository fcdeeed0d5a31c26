"""What a proxy is told to trace: a span for each request, sent as the access logs are.

Source: envoy.config.trace.v3.OpenTelemetryConfig; what Envoy 1.40 does with it was tried, see
docs/wiring.md.
"""

from __future__ import annotations

import re
from typing import Final

from meshtrail.errors import ConfigError
from meshtrail.wiring.values import quote

PATH_CHARS_MAX: Final = 8_192
TIMEOUT: Final = "5s"

_CONFIG: Final = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_SERVICE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
_NO_NAME: Final = (
    "        # --service-name says whose spans they are; without it, unknown_service:envoy."
)


def check_service_name(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text can name a service."""
    if not _SERVICE_NAME.fullmatch(text):
        raise ConfigError(
            f"{option} {text!r}: want 1 to 128 letters, digits and _ . - such as payments.shop",
            value=text,
        )


def format_tracing(service_name: str | None, *, cluster: str) -> str:
    """The piece for connection managers that are to send spans, under its key.

    Args:
        service_name: what Envoy calls the service in its spans; None leaves it to Envoy.
        cluster: where to.
    """
    name = _NO_NAME if service_name is None else f"        service_name: {quote(service_name)}"
    return f"""\
# 8. Optional, in every http_connection_manager: a span of each request, for what it was part of. A
# missing span proves nothing: Envoy sends none of a request whose traceparent ends in -00, and
# whoever calls chooses that. Below 100 % of random_sampling nobody can tell what was lost from what
# was left out. The access log has every request.
http_tracing:
  tracing:
    provider:
      name: envoy.tracers.opentelemetry
      typed_config:
        "@type": {_CONFIG}
        grpc_service: {{envoy_grpc: {{cluster_name: {quote(cluster)}}}, timeout: {TIMEOUT}}}
{name}
    random_sampling: {{value: 100}}
    # Envoy cuts the path of a span after 256 characters otherwise.
    max_path_tag_length: {PATH_CHARS_MAX}
"""
