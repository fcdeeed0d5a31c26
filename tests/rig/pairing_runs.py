"""A table through pairing, cut as one likes, and what came of it as plain values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from meshtrail.correlate.pairing import Pairing, PairingOptions
from tests.rig.simulated_mesh import make_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from meshtrail.correlate.pairing import Gap, Outcome
    from tests.rig.simulated_mesh import SimulatedMesh

SECOND = 1_000_000_000
FAR_NS = 100_000 * SECOND
"""After the last row, long enough that everything is decided."""
COUNTED = ("expected", "paired", "attempts", "unpaired", "not_meshed", "locally_answered")


@dataclass
class Found:
    """What several calls told, together."""

    pairs: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    attempts: dict[int, dict[str, Any]] = field(default_factory=dict)
    unpaired: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    counts: Counter[tuple[str | None, int, str]] = field(default_factory=Counter)
    forgotten_count: int = 0

    def add(self, outcome: Outcome) -> None:
        for row in outcome.pairs.to_pylist():
            self.pairs[row["source_index"], row["destination_index"]] = row
        for row in outcome.attempts.to_pylist():
            self.attempts[row["destination_index"]] = row
        for row in outcome.unpaired.to_pylist():
            part = row["log_index"], row["side"]
            assert part not in self.unpaired, part
            self.unpaired[part] = row
        for row in outcome.counts.to_pylist():
            for name in COUNTED:
                key = row["reporter_id"], row["minute"], name
                self.counts[key] += row[name]
        self.forgotten_count += outcome.forgotten_count

    def total(self, name: str) -> int:
        return sum(amount for key, amount in self.counts.items() if key[2] == name)

    @property
    def retracted(self) -> set[tuple[int, str]]:
        """Log indexes and sides of what was told as unpaired and then found a partner."""
        ends = {
            (row[f"{end}_index"], end)
            for row in self.pairs.values()
            for end in ("source", "destination")
            if row[f"retracts_{end}"]
        }
        late = {at for at, row in self.attempts.items() if row["retracts_destination"]}
        return ends | {(at, "destination") for at in late}

    @property
    def reasons(self) -> dict[int, str]:
        """Why each record is without a partner in the end, by log index."""
        gone = self.retracted
        return {part[0]: row["reason"] for part, row in self.unpaired.items() if part not in gone}

    def check_counts(self) -> None:
        """What was expected is, in the end, one of four things."""
        by_minute = {key[:2] for key in self.counts}
        for reporter, minute in by_minute:
            count = {name: self.counts[reporter, minute, name] for name in COUNTED}
            ends = ("paired", "attempts", "unpaired", "not_meshed")
            assert count["expected"] == sum(count[name] for name in ends), (reporter, count)
            assert min(count.values()) >= 0, (reporter, count)


def run_pairing(
    table: pa.Table,
    *,
    cuts: Sequence[int] = (),
    options: PairingOptions | None = None,
    tolerance_ns: int = 50_000_000,
    gaps: Iterable[Gap] = (),
) -> Found:
    """Take a table, cut before some rows, and wait until all is decided."""
    pairing = Pairing(options or PairingOptions())
    found = Found()
    edges = [0, *sorted(cuts), table.num_rows]
    known = list(gaps)
    for start, end in pairwise(edges):
        part = table.slice(start, end - start)
        found.add(pairing.take(part, tolerance_ns=tolerance_ns, gaps=known))
        known = []
    last = table.column("received_time")[-1].as_py() if table.num_rows else 0
    found.add(pairing.take(table.slice(0, 0), watermark_ns=last + FAR_NS))
    assert pairing.open_count == 0
    return found


def make_calls(mesh: SimulatedMesh, count: int, *, lose: str = "", start: int = 0) -> pa.Table:
    """Calls from web to pay; the records of one side may be lost."""
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.rows.clear()
    for at in range(count):
        mesh.request(web, pay, start + at * SECOND // 10)
    return make_table([row for row in mesh.rows if row["side"] != lose], first_index=start)
