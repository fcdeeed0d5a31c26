"""A simulated hour through the ledger, cut as one likes, and what it said as plain values."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, so that a log can be cut alike again
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from meshtrail.correlate.ledger import Ledger
from meshtrail.correlate.statements import PLACES
from meshtrail.model.entry import EntryType
from tests.rig.reporting_mesh import BEGIN, StatedClocks, make_ledger_table
from tests.rig.simulated_mesh import EPOCH, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshtrail.correlate.ledger import Step
    from tests.rig.simulated_mesh import Row

MINUTE = 60 * SECOND
Said = dict[str, Any]


@dataclass
class Told:
    """Statements in their order, by type."""

    everything: list[tuple[int, EntryType, Said]] = field(default_factory=list)

    def add(self, steps: Iterable[Step]) -> list[tuple[int, Said]]:
        """Take steps; gives their statements about clocks."""
        clocks = []
        for step in steps:
            for one in step.statements:
                self.everything.append((step.until_ns, one.entry_type, one.payload))
                if one.entry_type is EntryType.CLOCK:
                    clocks.append((step.until_ns, one.payload))
        return clocks

    def of(self, kind: EntryType) -> list[Said]:
        return [payload for _, of_kind, payload in self.everything if of_kind is kind]

    @property
    def gaps(self) -> list[Said]:
        return self.of(EntryType.GAP)

    @property
    def findings(self) -> list[Said]:
        return self.of(EntryType.FINDING)

    @property
    def accounts(self) -> list[Said]:
        """Of each reporter and minute."""
        return [said for said in self.of(EntryType.COUNTER) if said["name"] != PLACES]

    @property
    def clocks(self) -> dict[str, list[Said]]:
        """By reporter, in the order in which they were told."""
        found: defaultdict[str, list[Said]] = defaultdict(list)
        for said in self.of(EntryType.CLOCK):
            found[said["about"]].append(said)
        return found

    def minutes(self, *figures: str) -> Counter[tuple[str, int, str]]:
        """Figures by reporter, begin of the minute and name; no zeros."""
        found: Counter[tuple[str, int, str]] = Counter()
        for said in self.accounts:
            for figure in figures:
                found[said["about"], said["from_ns"], figure] += said[figure]
        return +found

    def totals(self, figure: str) -> Counter[str]:
        """A figure by reporter; no zeros."""
        found: Counter[str] = Counter()
        for (about, _, _), count in self.minutes(figure).items():
            found[about] += count
        return found

    def missing(self, about: str) -> tuple[int, int | None]:
        """How many records of a reporter are missing: at least and at most."""
        gaps = [gap for gap in self.gaps if gap["about"] == about]
        least = sum(gap["missing_min"] for gap in gaps)
        most = [gap["missing_max"] for gap in gaps]
        return least, None if None in most else sum(most)


def run_ledger(rows: list[Row], *, until_s: int, seed: int = 1) -> Told:
    """Take a log while it grows: what is told of clocks is in what comes later.

    Args:
        rows: as ``ReportingMesh.report`` gives them; get the columns about their clocks.
        until_s: end of the log, after ``EPOCH``.
        seed: of where it is cut.
    """
    cut = random.Random(seed)  # noqa: S311 - the same cuts for the same seed
    ledger, told, clocks = Ledger(recording_since_ns=BEGIN), Told(), StatedClocks()
    start = 0
    while start < len(rows):
        # Less than a statement takes to get into the log.
        until_ns = rows[start]["received_time"] + cut.randrange(1, 4 * SECOND)
        end = start
        while end < len(rows) and rows[end]["received_time"] <= until_ns:
            clocks.derive(rows[end])
            end += 1
        for step_ns, said in told.add(ledger.take(make_ledger_table(rows[start:end]))):
            clocks.tell(said, step_ns=step_ns)
        start = end
    told.add(ledger.pass_time(EPOCH + until_s * SECOND))
    return told


def run_again(rows: list[Row], cuts: Sequence[int], *, until_s: int) -> Told:
    """Take a log as it is, cut before some rows."""
    table = make_ledger_table(rows)
    ledger, told = Ledger(recording_since_ns=BEGIN), Told()
    for start, end in pairwise([0, *sorted(cuts), table.num_rows]):
        told.add(ledger.take(table.slice(start, end - start)))
    told.add(ledger.pass_time(EPOCH + until_s * SECOND))
    return told
