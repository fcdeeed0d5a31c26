from __future__ import annotations

import pyarrow as pa
import pytest

from meshtrail.correlate.downtimes import Downtimes
from tests.unit.correlate.ledger_events import at, closed, own, record, table

FIRST = own("stream_opened", 0.5, about="collect")
AGAIN = own("stream_opened", 44, about="collect")
CAME, LATER = record(3), record(50)
LEFT_OPEN = closed(43, "collector_restarted")
DOWN = [(CAME["received_time"], at(44))]


def test_it_is_down_from_the_last_that_came_until_it_begins_anew() -> None:
    events = table(FIRST, CAME, own("counter", 20, about="db"), LEFT_OPEN, AGAIN, LATER)
    taken, found = Downtimes().take(events)
    assert (taken, found) == (events, DOWN)


@pytest.mark.parametrize("cut", range(7))
def test_what_came_of_others_meanwhile_waits_until_it_is_known(cut: int) -> None:
    events = table(FIRST, CAME, own("stream_opened", 42, about="ledger"), LEFT_OPEN, AGAIN, LATER)
    downtimes = Downtimes()
    first, found = downtimes.take(events.slice(0, cut))
    second, more = downtimes.take(events.slice(cut))
    assert pa.concat_tables([first, second]) == events
    assert first.num_rows in {0, 1, 2, 5, 6}
    assert found + more == DOWN


def test_what_waits_is_taken_when_time_goes_on() -> None:
    downtimes = Downtimes()
    downtimes.take(table(CAME, LEFT_OPEN))
    assert [one.num_rows for one in downtimes.take_waiting()] == [1]
    assert list(downtimes.take_waiting()) == []


def test_before_the_first_that_came_nothing_can_be_missing() -> None:
    assert Downtimes().take(table(FIRST, AGAIN, LATER))[1] == []


@pytest.mark.parametrize("known", [{"about": "ledger"}, {"about": None}, {"reporter_id": "x"}])
def test_nobody_else_begins_as_the_collector(known: dict[str, str | None]) -> None:
    assert Downtimes().take(table(CAME, AGAIN | known, LATER))[1] == []
