"""Everything that pairing remembers between two windows, and how its numbers are kept small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from meshtrail.correlate.pairing.attempts import RetriedRequests
from meshtrail.correlate.pairing.candidates import Candidates
from meshtrail.correlate.pairing.happenings import Registers
from meshtrail.correlate.pairing.mesh_memory import MeshMemory
from meshtrail.correlate.pairing.open_records import OpenRecords
from meshtrail.correlate.pairing.outcome import Report, ReporterColumns
from meshtrail.correlate.pairing.signs_of_life import SignsOfLife
from meshtrail.correlate.pairing.sorted_runs import SortedRuns

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.open_records import Positions
    from meshtrail.correlate.pairing.options import PairingOptions
    from meshtrail.correlate.pairing.reasons import Gap

_NUMBERED: Final = ("client_ip", "server_ip", "reporter")
_MARGIN: Final = 2


@dataclass(slots=True)
class Deferred:
    """Records past their time whose streams go on at the other end: positions, and until when."""

    positions: Positions = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    until_ns: Positions = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def add(self, positions: Positions, until_ns: Positions) -> None:
        """Let records wait on."""
        self.positions = np.concatenate([self.positions, positions])
        self.until_ns = np.concatenate([self.until_ns, until_ns])

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Forget the others."""
        self.positions, self.until_ns = self.positions[which], self.until_ns[which]


class State:
    """What waits, who reports, and what is told at the end of a call.

    Attributes:
        by_request_id: what waits, by connection and request id.
        by_connection: what waits and has settled, by connection.
        told_by_request_id: what was told to be without a partner.
    """

    def __init__(self, options: PairingOptions) -> None:
        self.options = options
        self.registers = Registers.empty()
        self.records = OpenRecords()
        self.by_request_id = Candidates()
        self.by_connection = Candidates()
        self.told_by_request_id = SortedRuns()
        self.retried = RetriedRequests()
        self.life = SignsOfLife()
        self.memory = MeshMemory(grace_ns=options.grace_ns)
        self.deferred = Deferred()
        self.gaps: list[Gap] = []
        self.report = Report()
        self.reporter_columns = ReporterColumns()
        self._names_limit = options.names_max

    def reserve(self) -> None:
        """Make room for addresses and reporters that are new."""
        self.memory.reserve(
            addresses_count=len(self.registers.addresses),
            reporters_count=len(self.registers.reporters),
        )

    def close_holes(self) -> None:
        """Move what waits together, once much has left."""
        moved = self.records.close_holes()
        if moved is None:
            return
        for index in (self.by_request_id, self.by_connection, self.told_by_request_id):
            index.renumber(moved)
        self.deferred.positions = moved[self.deferred.positions]
        self.deferred.keep(self.deferred.positions >= 0)

    @property
    def has_many_names(self) -> bool:
        """Whether it is time to forget addresses and reporters that nothing needs."""
        registers = self.registers
        return max(len(registers.addresses), len(registers.reporters)) > self._names_limit

    def forget_names(self, now_ns: int) -> None:
        """Forget the addresses and reporters that nothing needs; the numbers of others change."""
        registers = self.registers
        self.reserve()
        present = np.flatnonzero(self.records.is_present(np.arange(self.records.count)))
        waiting = {name: self.records[name][present] for name in _NUMBERED}
        addresses, reporters = self._used_names(waiting, now_ns)
        moved = (
            registers.addresses.renumber(addresses),
            registers.reporters.renumber(reporters),
        )
        columns = self.records.columns
        for name, numbers in zip(_NUMBERED, (moved[0], moved[0], moved[1]), strict=True):
            columns[name] = numbers[columns[name]]
        self.retried.renumber(*moved)
        self.memory.renumber(*moved)
        left = max(len(registers.addresses), len(registers.reporters))
        self._names_limit = max(self.options.names_max, _MARGIN * left)

    def _used_names(
        self, waiting: Columns, now_ns: int
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which addresses and reporters are needed still."""
        addresses_count = len(self.registers.addresses)
        known = self.memory.used_addresses(
            now_ns - self.options.memory_ns, count_max=self.options.names_max // _MARGIN
        )[:addresses_count]
        addresses = [
            np.flatnonzero(known),
            waiting["client_ip"],
            waiting["server_ip"],
            np.array(sorted(self.retried.addresses()), dtype=np.int64),
        ]
        reporters = [
            self.memory.reporter[:addresses_count][known],
            waiting["reporter"],
            np.array(sorted(self.retried.reporters()), dtype=np.int64),
        ]
        return (
            _used(addresses, addresses_count),
            _used(reporters, len(self.registers.reporters)),
        )


def _used(codes: list[npt.NDArray[Any]], count: int) -> npt.NDArray[np.bool_]:
    used = np.zeros(count + 1, dtype=np.bool_)
    for some in codes:
        used[some] = True
    # The last place is that of ``NONE``.
    return used[:-1]
