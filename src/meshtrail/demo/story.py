"""What really happened in this run of the demo: the tour's claims are held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.demo.breach import CULPRIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.demo.breach import Breach
    from meshtrail.demo.settling import Settled
    from meshtrail.demo.traffic import Visit


@dataclass(frozen=True, slots=True)
class Story:
    """What the demo did, and where.

    Attributes:
        origin: of the log.
        ips: the address of each workload, by its name.
        order: an order of a customer that went well.
        breach: what the attacker did and saw.
        settled: what the Envoys counted.
    """

    origin: str
    ips: Mapping[str, str]
    order: Visit
    breach: Breach
    settled: Settled

    @property
    def culprit_ip(self) -> str:
        """The address of the workload that was taken over."""
        return self.ips[CULPRIT.name]
