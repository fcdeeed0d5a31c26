from __future__ import annotations

import numpy as np

from meshtrail.correlate.pairing.happenings import Registers
from meshtrail.correlate.pairing.outcome import MINUTE_NS, Count, Report, ReporterColumns


def test_counts_are_told_for_each_reporter_and_minute_however_far_apart() -> None:
    registers = Registers.empty()
    reporters = [registers.reporters.code((None, name)) for name in "abc"]
    far = 10**6 * MINUTE_NS
    report = Report()
    report.count(
        Count.EXPECTED,
        np.array([0, 2, 2, 0], dtype=np.int32),
        np.array([5, MINUTE_NS, MINUTE_NS + 9, far + 1]),
    )
    report.count(Count.PAIRED, np.array([2], dtype=np.int32), np.array([MINUTE_NS + 1]))
    report.count(Count.UNPAIRED, np.array([2], dtype=np.int32), np.array([MINUTE_NS]), by=-1)
    outcome = report.write(registers, ReporterColumns(), decided_until_ns=7)
    rows = sorted(outcome.counts.to_pylist(), key=lambda row: int(row["minute"]))
    assert reporters == [0, 1, 2]
    assert [
        (row["reporter_id"], row["minute"], row["expected"], row["paired"], row["unpaired"])
        for row in rows
    ] == [("a", 0, 1, 0, 0), ("c", MINUTE_NS, 2, 1, -1), ("a", far, 1, 0, 0)]
    assert outcome.decided_until_ns == 7


def test_nothing_found_is_told_as_empty_tables() -> None:
    outcome = Report().write(Registers.empty(), ReporterColumns(), decided_until_ns=0)
    for table in (outcome.pairs, outcome.attempts, outcome.unpaired, outcome.counts):
        assert table.num_rows == 0
