"""Whose counts no longer come, and when that is no sign of silence."""

from __future__ import annotations

from tests.unit.correlate.ledger_events import S, at, count, own, record
from tests.unit.correlate.ledger_said import counts, findings


def test_a_proxy_whose_counts_stop_is_a_finding_once() -> None:
    others = [record(at_s, who="db") for at_s in (61, 62, 300)]
    (found,) = findings(*counts(written=[0, 0, 0]), *others)
    assert (found["about"], found["cause"]) == ("web", "silent")
    assert found["from_ns"] == at(30.01)


def test_where_nobody_is_heard_it_may_be_the_collector_that_is_silent() -> None:
    assert findings(*counts(written=[0, 0, 0]), until_s=360) == []
    back = [own("stream_opened", 500, about="collect"), record(502, who="db")]
    again = (count(510 + at, 0) for at in range(9))
    assert findings(*counts(written=[0, 0, 0]), *back, *again) == []
    (found,) = findings(*counts(written=[0, 0, 0]), *back, record(531, who="db"))
    assert (found["about"], found["from_ns"]) == ("web", at(30.01))


def test_the_only_proxy_there_is_is_silent_when_the_collector_ran_and_heard_nothing() -> None:
    (found,) = findings(*counts(written=[0, 0, 0]), until_s=390)
    assert (found["about"], found["from_ns"]) == ("web", at(30.01))


def test_a_collector_that_has_just_started_gives_proxies_time_to_come_back() -> None:
    before = counts(written=[0, 0, 0])
    up = own("stream_opened", 380, about="ledger")
    assert findings(*before, up, until_s=700) == []
    assert len(findings(*before, up, until_s=740)) == 1


def test_counts_that_were_held_up_and_come_at_once_make_nobody_silent() -> None:
    late = [count(10 * n, 0) | {"received_time": at(40 + n / 1_000)} for n in (1, 2, 3, 4)]
    # The next one comes thirteen seconds later, and a step ends between.
    assert findings(*late, *(count(at_s, 0) for at_s in range(62, 700, 13))) == []


def test_nobody_is_silent_while_nobody_is_heard() -> None:
    """The collector may be down, and says so only when it is up again."""
    before = [one for who in "ab" for one in counts(written=[0, 0, 0], who=who)]
    up = own("stream_opened", 500, about="collect")
    after = [count(at_s, 0, who=who) for who in "ab" for at_s in range(506, 600, 10)]
    assert findings(*before, up, *after) == []
    alone = [one for one in after if one["reporter_id"] == "a"]
    (found,) = findings(*before, *alone)
    assert (found["about"], found["cause"]) == ("b", "silent")


def test_a_proxy_that_goes_on_counting_is_not_silent() -> None:
    assert findings(*counts(written=[0] * 70)) == []


def test_a_count_that_is_sent_again_makes_nobody_silent() -> None:
    every_minute = counts(written=[0] * 6, every_s=60)
    retried = [one | {"is_duplicate": True} for one in every_minute]
    for one in retried:
        one["received_time"] += S // 3
    others = [record(at_s, who="db") for at_s in range(5, 360, 5)]
    assert findings(*every_minute, *retried, *others, until_s=380) == []
