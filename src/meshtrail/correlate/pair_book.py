"""What pairing finds, as the ledger tells it: counts of each minute, and findings.

A record that should have a partner and has none is a finding about the end that says nothing. Those
of one step, one end and one reason are told together, with the entries that show it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate.pairing import COLUMNS, Gap, Pairing, PairingOptions, Reason
from meshtrail.correlate.statements import Cause, finding_about
from meshtrail.model.event import EVENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from meshtrail.correlate.pairing import Place
    from meshtrail.correlate.statements import Statement

PAIRED_COLUMNS: Final = (*COLUMNS, "time_offset", "time_error")
"""The event columns that are read."""

_MINUTE: Final = 60_000_000_000
_SECOND: Final = 1_000_000_000
OPTIONS: Final = PairingOptions(
    settle_ns=15 * _SECOND, late_ns=2 * _MINUTE, alive_ns=5 * _MINUTE, longest_ns=10 * _MINUTE
)
"""Shorter than pairing's own, so that a start has less of the log to read again; but records that
come in batches, ten seconds late, are waited for before others are taken in their place."""

TOLERANCE_NS: Final = 2 * _SECOND
"""How far two proxies' clocks may be apart at least: one may have been set ahead by as much as its
records were on their way."""

_TOLERANCE_NS_MAX: Final = 60 * _MINUTE

ENTRIES_MAX: Final = 16
"""Entries that a finding names; they are examples, and it says how many there are."""

_COUNTED: Final = {
    "expected": ("expected", 1),
    # Who is in no mesh reports nothing.
    "not_meshed": ("expected", -1),
    "paired": ("paired", 1),
    # The record of the whole request tells of its attempts.
    "attempts": ("paired", 1),
    "locally_answered": ("answered", 1),
}
"""Figures of a minute, and what of pairing's counts they are made of."""
_NOTHING: Final = pa.schema([EVENT_SCHEMA.field(name) for name in PAIRED_COLUMNS]).empty_table()
_S: Final = pa.string()

Names = tuple[str | None, str | None]


@dataclass(slots=True)
class _Group:
    """Records without a partner, of one other end and one reason."""

    count: int = 0
    from_ns: int = 2**63 - 1
    until_ns: int = 0
    entries: list[int] = field(default_factory=list)

    def add(self, count: int, from_ns: int, until_ns: int, entries: list[int]) -> None:
        self.count += count
        self.from_ns = min(self.from_ns, from_ns)
        self.until_ns = max(self.until_ns, until_ns)
        self.entries = sorted([*self.entries, *entries])[:ENTRIES_MAX]


class PairBook:
    """Pairs what comes in, and keeps what there is to say until the step is over."""

    def __init__(self) -> None:
        self._pairing = Pairing(OPTIONS)
        self._promised_ns = 0
        self._gaps: list[Gap] = []
        self._unpaired: defaultdict[tuple[Names, str], _Group] = defaultdict(_Group)
        self._retracted: list[int] = []
        self._counts: defaultdict[tuple[Names, int, str], int] = defaultdict(int)

    def add_downtime(self, from_ns: int, until_ns: int) -> None:
        """Note that nobody's records came in for some time, before it is passed on beyond that."""
        self._gaps.append(Gap(reporter=None, from_ns=from_ns, until_ns=until_ns, known_ns=from_ns))

    def take(self, events: pa.Table) -> pa.Table:
        """Take the next events, and give the pairs that they make.

        Args:
            events: ``PAIRED_COLUMNS``, n rows in the order of the log.

        Returns:
            ``PAIR_SCHEMA``.
        """
        received = events.column("received_time").to_numpy()
        if len(received) and received[0] < self._promised_ns:
            # It waited for a disk while time was passed on: by now it is as old as that.
            at = events.schema.get_field_index("received_time")
            raised = pa.array(np.maximum(received, self._promised_ns))
            events = events.set_column(at, events.schema.field(at), raised)
        return self._take(events, watermark_ns=None)

    def pass_time(self, until_ns: int) -> pa.Table:
        """Go on to a moment until which nothing more can come in, and give pairs likewise."""
        self._promised_ns = max(self._promised_ns, until_ns)
        return self._take(_NOTHING, watermark_ns=self._promised_ns)

    def places(self) -> list[Place]:
        """Where proxies report from."""
        return self._pairing.places()

    def learn(self, places: Iterable[Place]) -> None:
        """Learn where proxies reported from before the events that are taken."""
        self._pairing.learn(places)

    def take_counts(self) -> Iterator[tuple[Names, int, str, int]]:
        """Changes to the figures of reporters: names, minute, figure, by how much."""
        counts, self._counts = self._counts, defaultdict(int)
        for (names, minute, figure), count in counts.items():
            yield names, minute, figure, count

    def tell(self) -> Iterator[Statement]:
        """What was found since the last call."""
        unpaired, self._unpaired = self._unpaired, defaultdict(_Group)
        for ((name, spiffe_id), reason), group in sorted(unpaired.items(), key=_order):
            yield finding_about(
                name or spiffe_id or "",
                Cause.UNPAIRED,
                from_ns=group.from_ns,
                until_ns=group.until_ns,
                reason=reason,
                records=group.count,
                entries=group.entries,
                reporter={"id": name, "spiffe_id": spiffe_id},
            )
        retracted, self._retracted = sorted(self._retracted), []
        if retracted:
            yield finding_about(
                None,
                Cause.PAIRED_LATE,
                from_ns=None,
                until_ns=None,
                records=len(retracted),
                entries=retracted[:ENTRIES_MAX],
            )

    def _take(self, events: pa.Table, *, watermark_ns: int | None) -> pa.Table:
        gaps, self._gaps = self._gaps, []
        found = self._pairing.take(
            events, watermark_ns=watermark_ns, tolerance_ns=_tolerance(events), gaps=gaps
        )
        self._note_unpaired(found.unpaired)
        for end in ("source", "destination"):
            retracted = found.pairs.filter(found.pairs.column(f"retracts_{end}"))
            self._retracted += retracted.column(f"{end}_index").to_pylist()
        late = found.attempts.filter(found.attempts.column("retracts_destination"))
        self._retracted += late.column("destination_index").to_pylist()
        for row in found.counts.to_pylist():
            names = row["reporter_id"], row["reporter_spiffe_id"]
            for count, (figure, sign) in _COUNTED.items():
                if row[count]:
                    self._counts[names, row["minute"], figure] += sign * row[count]
        return found.pairs

    def _note_unpaired(self, unpaired: pa.Table) -> None:
        # Nothing was to be expected of an end that is in no mesh.
        reason = unpaired.column("reason").cast(_S)
        unpaired = unpaired.filter(pc.not_equal(reason, Reason.NOT_MESHED.value))
        if not unpaired.num_rows:
            return
        port = pc.coalesce(unpaired.column("other_port").cast(_S), "")
        address = unpaired.column("other_ip")
        # A server is found by its port; a caller has another one for each connection.
        is_server = pc.equal(unpaired.column("side").cast(_S), "source")
        place = pc.binary_join_element_wise(address, port, ":")
        place = pc.if_else(is_server, place, address)
        spiffe_id = unpaired.column("other_reporter_spiffe_id").cast(_S)
        name = unpaired.column("other_reporter_id").cast(_S)
        is_known = pc.or_(pc.is_valid(name), pc.is_valid(spiffe_id))
        received = unpaired.column("received_time")
        groups = pa.table(
            {
                "name": pc.if_else(is_known, name, place),
                "spiffe_id": spiffe_id,
                "reason": unpaired.column("reason").cast(_S),
                "entry": unpaired.column("log_index"),
                # By the collector's clock: a reporter chooses its own.
                "received": received,
            }
        ).sort_by("entry")
        keys = ["name", "spiffe_id", "reason"]
        wanted = [("entry", "count"), ("received", "min_max"), ("entry", "list")]
        found = groups.group_by(keys, use_threads=False).aggregate(wanted)
        entries = pc.list_slice(found.column("entry_list"), 0, ENTRIES_MAX)
        found = found.drop_columns("entry_list").append_column("entries", entries)
        for row in found.to_pylist():
            group = self._unpaired[(row["name"], row["spiffe_id"]), row["reason"]]
            seen = row["received_min_max"]
            group.add(row["entry_count"], seen["min"], seen["max"], row["entries"])


def _tolerance(events: pa.Table) -> npt.NDArray[np.int64]:
    """How far the clock of each one's reporter may be from another's: int64[n].

    Of two records the larger counts, so each is twice what it is off. What came in seems to have
    been on its way for as long as its clock is wrong; so it does where the clock is known, and was
    set since.
    """
    received = events.column("received_time")
    ends = pc.coalesce(events.column("end_time"), events.column("time"), received)
    known_ns = _filled(events, "time_offset")
    # Times are what a sender says: they may be so far apart that a difference overflows.
    apart = np.abs(received.to_numpy().astype(np.float64) - ends.to_numpy() + known_ns)
    off = np.abs(known_ns) + np.maximum(_filled(events, "time_error"), apart)
    tolerance: npt.NDArray[np.float64] = np.clip(2 * off, TOLERANCE_NS, _TOLERANCE_NS_MAX)
    return tolerance.astype(np.int64)


def _filled(events: pa.Table, name: str) -> npt.NDArray[np.float64]:
    filled: npt.NDArray[np.float64] = pc.fill_null(events.column(name), 0).to_numpy()
    return filled.astype(np.float64)


def _order(item: tuple[tuple[Names, str], object]) -> tuple[str, str, str]:
    ((name, spiffe_id), reason), _ = item
    return name or "", spiffe_id or "", reason
