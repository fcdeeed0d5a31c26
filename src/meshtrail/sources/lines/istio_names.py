"""What Istio's and Consul's names of clusters and of servers say: plain functions of one value.

Source: istio/istio pilot/pkg/model, "BuildSubsetKey" and "BuildDNSSrvSubsetKey"; Consul's Envoy
integration.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from meshtrail.sources.envoy_values import remember

_CLUSTER: Final = re.compile(r"(inbound|outbound|inbound-vip)\|[0-9]*\|[^|]*\|(.*)", re.DOTALL)
_SERVER_NAME: Final = re.compile(r"outbound_\.[0-9]{1,5}_\.[^_]*_\.(.+)", re.DOTALL)
_SIDES: Final = {"inbound": "destination", "outbound": "source", "inbound-vip": "destination"}
_WHOLE_NAMES: Final = {
    "PassthroughCluster": "source",
    "BlackHoleCluster": "source",
    "InboundPassthroughCluster": "destination",
    "InboundPassthroughClusterIpv4": "destination",
    "InboundPassthroughClusterIpv6": "destination",
    # Consul's.
    "local_app": "destination",
    "original-destination": "source",
}
_CONSUL_UPSTREAM: Final = ".consul"


class ClusterFacts(NamedTuple):
    """What the name of an upstream cluster says; all null where it says nothing.

    Attributes:
        side: which end of the call reports.
        service: host of the service that was called.
        is_waypoint: whether a waypoint reports, which stands before the service.
    """

    side: str | None = None
    service: str | None = None
    is_waypoint: bool = False


@remember
def read_cluster(name: str | None) -> ClusterFacts:
    """Read the name of an upstream cluster."""
    if name is None:
        return ClusterFacts()
    match = _CLUSTER.fullmatch(name)
    if match:
        return ClusterFacts(_SIDES[match[1]], match[2] or None, match[1] == "inbound-vip")
    if name.endswith(_CONSUL_UPSTREAM):
        return ClusterFacts("source")
    return ClusterFacts(_WHOLE_NAMES.get(name))


@remember
def read_server_name(name: str | None) -> str | None:
    """The service that a caller asked for, where Istio's proxies speak mTLS with each other."""
    match = _SERVER_NAME.fullmatch(name) if name is not None else None
    return match[1] if match else None
