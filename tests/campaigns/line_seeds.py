"""Valid records of the sources that write lines, objects and histories, to bend."""

from __future__ import annotations

import json
from typing import Any, Final

from meshtrail.model.entry import PayloadFormat
from tests.audit_webhook import encode_event, make_event
from tests.hubble_lines import TIME, flow, http, line, policy, reply
from tests.istio_lines import CONNECTION, INBOUND, WAYPOINT, json_line, text_line
from tests.mesh_lines import (
    WEB,
    connection,
    established,
    linkerd_access,
    linkerd_apache,
    linkerd_policy,
    linkerd_policy_json,
    refusal,
    ztunnel_json,
    ztunnel_text,
)
from tests.otlp_records import connection as envoy_connection
from tests.otlp_records import request as envoy_request
from tests.properties.test_delivery import GIT, GITHUB, GITLAB, OBJECTS

_DENIAL: Final = "connection closed due to policy rejection: explicitly denied by: shop/no-admin"


def _envoy(said: dict[str, Any]) -> bytes:
    """A line as Envoy writes it."""
    written = {"time": "2026-11-21T01:31:24.882174000Z", **said}
    return json.dumps({key: value for key, value in written.items() if value != "-"}).encode()


def _objects(*said: object) -> list[bytes]:
    return [json.dumps(one).encode() for one in said]


def _audited() -> list[bytes]:
    """Events as an API server sends them."""
    changed = {"verb": "patch", "requestObject": {"spec": {"mtls": {"mode": "PERMISSIVE"}}}}
    return [encode_event(make_event(1)), encode_event(make_event(2, **changed))]


JSON_SEEDS: Final[dict[PayloadFormat, list[bytes]]] = {
    PayloadFormat.ENVOY_JSON: [_envoy(envoy_request()), _envoy(envoy_connection())],
    PayloadFormat.ISTIO_JSON: [json_line(one) for one in (INBOUND, CONNECTION, WAYPOINT)],
    PayloadFormat.HUBBLE: [
        line("flow", flow()),
        line("flow", reply()),
        line("flow", flow(Type="L7", l7=http())),
        line("flow", flow(verdict="DROPPED", ingress_denied_by=[policy("no-admin")])),
        line("lost_events", {"source": "HUBBLE_RING_BUFFER", "num_events_lost": "7"}),
        line("agent_event", {"type": "POLICY_UPDATED", "policy_update": {"revision": "7"}}),
        json.dumps({"flow": flow(), "node_name": "n", "time": TIME}).encode(),
    ],
    PayloadFormat.KUBERNETES_AUDIT_JSON: _audited(),
    PayloadFormat.INVENTORY: _objects(*OBJECTS),
    PayloadFormat.GITHUB: _objects(*GITHUB),
    PayloadFormat.GITLAB: _objects(*GITLAB),
}
"""Records that are JSON, by their format."""

TEXT_SEEDS: Final[dict[PayloadFormat, list[bytes]]] = {
    PayloadFormat.ISTIO_TEXT: [text_line(one) for one in (INBOUND, CONNECTION, WAYPOINT)],
    PayloadFormat.ZTUNNEL: [
        ztunnel_text(connection()),
        ztunnel_text(refusal(_DENIAL)),
        ztunnel_json(connection()),
        ztunnel_json(refusal(_DENIAL)),
    ],
    PayloadFormat.LINKERD: [
        linkerd_access(),
        linkerd_apache(),
        linkerd_policy(),
        linkerd_policy("Connection denied", tls=established(WEB)),
        linkerd_policy_json(),
    ],
    PayloadFormat.GIT_LOG: [GIT],
}
"""Records that are not, or not all."""

PIECES: Final = (
    *(b" ", b"  ", b'"', b'\\"', b"\\", b"=", b"\t", b"\r", b"\0", b"-", b"[", b"]", b"}", b"\xff"),
    *(b'" "', b' src.identity="spiffe://td/ns/a/sa/b"', b"403", b"1e400", b"9" * 40, b" " * 4_000),
    *(b"2026-11-21T01:31:24.882Z", b"2026-13-41T25:61:61Z", b"0000-00-00T00:00:00Z", b'"' * 500),
    *(b"2026-11-21T01:31:24.882174001Z stdout F ", b"2026-11-21T01:31:24Z stderr P ", b"\xc3\xa9"),
    *(b"\nparent ", b"\n    ", b"\0commit ", b"a" * 40),
)
"""What is put into them."""
