"""Lines of Istio's access log, as its proxies write them."""

from __future__ import annotations

import json
from typing import Any

from meshtrail.sources.lines.istio_access import KEYS
from meshtrail.sources.lines.istio_text import QUOTED, REQUEST, SIZES, STATUS, TAIL

DENIED = "rbac_access_denied_matched_policy[ns[shop]-policy[deny-all]-rule[0]]"
REQUEST_ID = "e7d5b6ce-5f7f-9731-8471-ca5bcd650a72"
SERVICE = "payments.shop.svc.cluster.local"

INBOUND: dict[str, Any] = {
    "start_time": "2026-11-21T01:31:24.882Z",
    "method": "POST",
    "path": "/charge?card=1",
    "protocol": "HTTP/1.1",
    "response_code": 403,
    "response_flags": "-",
    "response_code_details": DENIED,
    "connection_termination_details": None,
    "upstream_transport_failure_reason": None,
    "bytes_received": 12,
    "bytes_sent": 19,
    "duration": 3,
    "upstream_service_time": None,
    "x_forwarded_for": None,
    "user_agent": "curl/8.5",
    "request_id": REQUEST_ID,
    "authority": "payments:8080",
    "upstream_host": "10.0.0.7:8080",
    "upstream_cluster": "inbound|8080||",
    "upstream_local_address": "127.0.0.6:40001",
    "downstream_local_address": "10.0.0.7:8080",
    "downstream_remote_address": "10.0.0.5:51000",
    "requested_server_name": f"outbound_.8080_._.{SERVICE}",
    "route_name": "default",
}
"""A request that was refused at its destination."""
assert tuple(INBOUND) == KEYS

CONNECTION: dict[str, Any] = {
    **dict.fromkeys(KEYS),
    "start_time": "2026-11-21T01:31:24.882Z",
    "response_code": 0,
    "connection_termination_details": DENIED,
    "bytes_received": 900,
    "bytes_sent": 4,
    "duration": 70,
    "upstream_cluster": f"outbound|3306||{SERVICE}",
    "upstream_host": "10.0.0.7:3306",
    "downstream_local_address": "10.96.0.9:3306",
    "downstream_remote_address": "10.0.0.5:51000",
}
"""A connection at its source."""

WAYPOINT: dict[str, Any] = INBOUND | {
    "response_code": 200,
    "response_code_details": "via_upstream",
    "upstream_cluster": f"inbound-vip|8080|http|{SERVICE}",
    "upstream_host": "envoy://connect_originate/10.0.0.7:8080",
    "upstream_local_address": "envoy://internal_client_address/",
    "downstream_local_address": "10.96.0.9:8080",
    "requested_server_name": None,
}
"""A request that a waypoint handed on."""


def json_line(told: dict[str, Any]) -> bytes:
    """The line as Istio writes it in JSON."""
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def text_line(told: dict[str, Any]) -> bytes:
    """The line as Istio writes it as text."""
    said = {key: "-" if told.get(key) is None else f"{told[key]}" for key in KEYS}

    def words(*keys: str) -> str:
        return " ".join(said[key] for key in keys)

    quoted = [f'"{said[key]}"' for key in QUOTED.values()]
    return (
        f'[{said["start_time"]}] "{words(*REQUEST)}" {words(*STATUS)} {quoted[0]} {words(*SIZES)} '
        f"{' '.join(quoted[1:])} {words(*TAIL)}"
    ).encode()
