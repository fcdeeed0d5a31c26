from __future__ import annotations

from meshtrail.correlate import outages
from meshtrail.correlate.outages import Outages
from meshtrail.correlate.statements import Cause


def test_a_downtime_that_touches_the_time_explains_it_for_everybody() -> None:
    known = Outages()
    known.add_downtime(100, 200)
    for start, end in ((50, 100), (150, 160), (200, 300), (50, 300)):
        assert known.explain(1, start, end) is Cause.COLLECTOR_DOWN
    assert known.explain(1, 201, 300) is Cause.UNKNOWN
    assert known.explain(1, 50, 99) is Cause.UNKNOWN


def test_the_end_of_the_last_downtime_is_known() -> None:
    known = Outages()
    assert known.last_end_ns == 0
    known.add_downtime(100, 200)
    known.add_downtime(300, 400)
    assert known.last_end_ns == 400


def test_a_reset_explains_what_its_own_reporter_misses() -> None:
    known = Outages()
    known.add_reset(1, 100)
    assert known.explain(1, 100, 100) is Cause.CONNECTION_RESET
    assert known.explain(1, 101, 200) is Cause.UNKNOWN
    assert known.explain(2, 50, 150) is Cause.UNKNOWN


def test_the_oldest_resets_are_forgotten() -> None:
    known = Outages()
    for at in range(outages.RESETS_MAX + 5):
        known.add_reset(1, at)
    assert known.explain(1, 0, 4) is Cause.UNKNOWN
    assert known.explain(1, 5, 5) is Cause.CONNECTION_RESET
