"""What really happened in this run of the demo: the tour's claims are held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.demo.breach import CULPRIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.demo.breach import Breach, Read
    from meshtrail.demo.control_plane import ControlPlane
    from meshtrail.demo.settling import Settled
    from meshtrail.demo.traffic import Visit


@dataclass(frozen=True, slots=True)
class Silence:
    """What the victim's sidecar took and did not log.

    Attributes:
        reads: of the attacker.
        calls_count: of honest callers.
        connections_count: that ended, by its admin endpoint.
    """

    reads: tuple[Read, ...]
    calls_count: int
    connections_count: int

    @property
    def requests_count(self) -> int:
        """All of them."""
        return len(self.reads) + self.calls_count


@dataclass(frozen=True, slots=True)
class Story:
    """What the demo did, and where.

    Attributes:
        origin: of the log.
        ips: the address of each workload, by its name.
        stolen_sha256: of the certificate that was stolen, in hexadecimal.
        order: an order of a customer that went well.
        breach: what the attacker did and saw.
        silence: what went on once the victim's sidecar logged nothing any more.
        settled: what the Envoys counted.
        control_plane: what cluster, registry and repositories have to say.
    """

    origin: str
    ips: Mapping[str, str]
    stolen_sha256: str
    order: Visit
    breach: Breach
    silence: Silence
    settled: Settled
    control_plane: ControlPlane

    @property
    def culprit_ip(self) -> str:
        """The address of the workload that was taken over."""
        return self.ips[CULPRIT.name]
