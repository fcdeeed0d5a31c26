"""How Consul's proxies are told to write access logs that events can be made of.

Source: Consul 1.22, proxy-defaults and agent/xds/accesslogs; consul.hashicorp.com/v1alpha1.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import TYPE_CHECKING, Final

from meshtrail.model.otlp_attributes import Told
from meshtrail.wiring.arrival import POD_LOGS, Lines, format_arrival
from meshtrail.wiring.comments import format_comment
from meshtrail.wiring.mesh_formats import WHAT_LACKS, mesh_operators
from meshtrail.wiring.values import check_path, quote

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

LINES: Final = Lines(record_format="envoy-json", path=f"{POD_LOGS}/*/consul-dataplane/*.log")


def format_consul(collector: Endpoint, *, access_log_file: str | None = None) -> str:
    """The proxy defaults.

    Args:
        collector: the HTTP door of meshtrail.
        access_log_file: where proxies write, as they see it; None for their standard output.

    Raises:
        ConfigError: the path cannot stand in YAML.
    """
    target = "    type: stdout\n"
    if access_log_file is not None:
        check_path(access_log_file, option="--access-log-file")
        target = f"    type: file\n    path: {quote(access_log_file)}\n"
    # Consul reads the text as JSON; one format serves requests and connections alike.
    asked = mesh_operators(Told.BOTH)
    return f"""\
{_format_head()}#
{format_arrival(LINES, collector)}---
# There is one ProxyDefaults, named global: where it exists already, add accessLogs to it. Outside
# Kubernetes the same goes into the configuration entry proxy-defaults, as AccessLogs with Enabled,
# DisableListenerLogs, Type and JSONFormat.
apiVersion: consul.hashicorp.com/v1alpha1
kind: ProxyDefaults
metadata:
  name: global
spec:
  accessLogs:
    enabled: true
    # Connections that no filter chain takes: all that a listener's log has in Consul.
    disableListenerLogs: false
{target}\
    # All that events are made of. What is logged is kept for good: never add authorization, cookie
    # or anything else that is a secret. A value that is absent is written all the same, as null:
    # a line has about 2 kB.
    jsonFormat: |
{indent(json.dumps(asked, indent=2), "      ")}
"""


def _format_head() -> str:
    about = format_comment(
        "What Consul's proxies need to tell all that they can, made by `meshtrail emit-config "
        "consul`: a line for each request and each TCP connection, as it ends, with the SPIFFE "
        f"IDs of both ends. {WHAT_LACKS} It takes Consul 1.15 or newer, and counts for proxies at "
        "once. An operator that a proxy's Envoy does not know costs it its listeners: apply it "
        "to a mesh for trial first."
    )
    limits = format_comment(
        "What cannot be had: failed TLS handshakes. Consul keeps all but NR (no filter chain) out "
        "of the listener's log, in code. Its extension property-override takes no lists, so it "
        "can add no log to a listener; Lua and Wasm see requests, which a failed handshake never "
        "becomes. What is left is envoy_public_listener_json of one service, which replaces its "
        "whole listener: `meshtrail emit-config envoy` prints the access_log to put there. An L4 "
        "intention does not say which of its sources matched. Who changed an intention is in the "
        "audit log of Kubernetes, where intentions are resources, and of Consul Enterprise."
    )
    return f"{about}#\n{limits}"
