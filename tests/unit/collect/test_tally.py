from __future__ import annotations

from meshtrail.collect.tally import Tally
from tests.collect_rig import FakeDiag


def test_what_happens_often_is_told_once_with_its_count_and_last_reason() -> None:
    diag = FakeDiag()
    tally = Tally(diag)
    for number in range(1_000):
        tally.add("odd", f"reason {number}")
    tally.add("urgent", "why", is_alarm=True)
    assert diag.events == []
    tally.tell()
    assert diag.events == [
        ("warning", "odd", {"count": 1_000, "last": "reason 999"}),
        ("error", "urgent", {"count": 1, "last": "why"}),
    ]
    tally.tell()
    assert len(diag.events) == 2
