"""One real Envoy process on free ports; more than the demo asks of it."""

from __future__ import annotations

import json

from meshtrail.demo import envoy as demo
from meshtrail.demo.envoy import find_binary

__all__ = ["Envoy", "find_binary"]


class Envoy(demo.Envoy):
    """A running Envoy; every port of its configuration may be 0, and ``ports`` says which it took.

    Use as a context manager, so that it never outlives its test.
    """

    def ports(self) -> dict[str, int]:
        """The port of each listener, by the listener's name."""
        statuses = json.loads(self.ask_admin("/listeners?format=json"))["listener_statuses"]
        return {
            status["name"]: int(status["local_address"]["socket_address"]["port_value"])
            for status in statuses
        }

    def connections_accepted(self, listener: str) -> int:
        """Connections that a listener took so far, those with a failed handshake among them."""
        return self.counters(f"listener.{listener}.downstream_cx_total")[
            f"listener.{listener}.downstream_cx_total"
        ]
