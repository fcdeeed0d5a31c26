"""How long pairing waits and remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshtrail.errors import ConfigError

_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _SECOND_NS
_HOUR_NS: Final = 60 * _MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingOptions:
    """Periods, all by ``received_time``, and the bound on what waits.

    Attributes:
        window_ns: records are looked at in windows of this length, cut at its multiples.
        settle_ns: how long a record waits for one with its request id before it takes one without.
        grace_ns: when a record that found no partner is told to be without one.
        late_ns: how long after that a partner is still taken, and what was told retracted.
        alive_ns: how long after the last sign of life a stream counts as going on.
        longest_ns: how long after one end's record the other end's stream may go on.
        silent_ns: a proxy that reported within this time and does no more has fallen silent.
        memory_ns: how long an address counts as a proxy's after its last report.
        open_max: records that wait at once; beyond, the oldest are told as ``overflow``.
        names_max: addresses, and reporters, before those that nothing needs are forgotten.
    """

    window_ns: int = _SECOND_NS
    settle_ns: int = 5 * _SECOND_NS
    grace_ns: int = _MINUTE_NS
    late_ns: int = 5 * _MINUTE_NS
    alive_ns: int = 15 * _MINUTE_NS
    longest_ns: int = _HOUR_NS
    silent_ns: int = _HOUR_NS
    memory_ns: int = 24 * _HOUR_NS
    open_max: int = 1_000_000
    names_max: int = 1 << 18

    def __post_init__(self) -> None:
        """Refuse periods that contradict one another."""
        if not 0 < self.window_ns <= self.settle_ns < self.grace_ns // 2:
            message = "pairing wants 0 < window_ns <= settle_ns < half of grace_ns"
            raise ConfigError(
                f"{message}, got {self.window_ns}, {self.settle_ns}, {self.grace_ns}",
                window_ns=self.window_ns,
                settle_ns=self.settle_ns,
                grace_ns=self.grace_ns,
            )
        if min(self.late_ns, self.alive_ns) < 0 or min(self.open_max, self.names_max) < 1:
            raise ConfigError("pairing's periods and bounds must not be negative, nor bounds zero")

    @property
    def retried_ns(self) -> int:
        """How long a request with several attempts is remembered, after its arrival."""
        return 2 * self.grace_ns + self.late_ns + self.longest_ns

    @property
    def replay_ns(self) -> int:
        """How much of the log before a moment brings an empty ``Pairing`` to its state then.

        What waits arrived within grace, lateness or the longest stream; what it could have been
        paired with, as much before.
        """
        return 2 * (self.grace_ns + self.late_ns) + self.longest_ns + self.alive_ns
