"""How ztunnel, the node proxy of Istio's ambient mode, is told to say what it can.

Source: Istio 1.27, manifests/charts/ztunnel; docs/sources/ztunnel.md for what is read of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.wiring.arrival import POD_LOGS, Lines, format_arrival
from meshtrail.wiring.comments import format_comment

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

LINES: Final = Lines(record_format="ztunnel", path=f"{POD_LOGS}/*_ztunnel-*/istio-proxy/*.log")


def format_ztunnel(collector: Endpoint) -> str:
    """Values of ztunnel's chart.

    Args:
        collector: the HTTP door of meshtrail.
    """
    about = format_comment(
        "What ztunnel needs to tell all that it can, made by `meshtrail emit-config ztunnel`: "
        "values of the chart istio/ztunnel. Its access log cannot be sent, only written: a line "
        "for each connection, as it ends."
    )
    limits = format_comment(
        "What it still cannot say: that a connection was allowed and by which policy, the version "
        "of TLS, certificates, anything of requests. Who was refused before the handshake was "
        "done has an address and no name. A connection that lasts is in no log until it ends. "
        "Requests need a waypoint, which is an Envoy: `meshtrail emit-config istio`."
    )
    return f"""\
{about}#
{limits}#
{format_arrival(LINES, collector)}---
env:
  # Fields of JSON can be told apart for sure, and cost nothing more.
  LOG_FORMAT: json
  # Names the policies that allowed or denied, in lines of their own, without identity or address.
  # They come at debug otherwise. One more line for each connection.
  AUTHZ_POLICY_INFO_LOGGING: "true"
# Access lines come at info; at warn only refused connections are left.
logLevel: info
"""
