from __future__ import annotations

import numpy as np

from meshtrail.correlate.minutes import MINUTE_GRACE_NS, MINUTE_NS, Minutes
from meshtrail.correlate.proxy_account import Loss, LossKind
from meshtrail.correlate.pushes import Push


def push(at_s: int, requests: int, *, epoch: int = 0) -> Push:
    at_ns = at_s * 1_000_000_000
    return Push(
        at_ns=at_ns,
        received_ns=at_ns,
        stream=epoch,
        requests=requests,
        epoch=epoch,
        uptime_s=at_s,
    )


def taken(*pushes: Push) -> Minutes:
    minutes = Minutes()
    for one in pushes:
        minutes.count(one.received_ns, one)
    return minutes


def loss(received_s: int, low: int, high: int | None) -> Loss:
    return Loss(
        from_ns=0,
        until_ns=1,
        received_ns=received_s * 1_000_000_000,
        missing_min=low,
        missing_max=high,
        kind=LossKind.SENT,
    )


def test_a_minute_is_told_once_and_not_before_its_grace() -> None:
    minutes = Minutes()
    minutes.add("received", np.array([0, 0, 1]))
    assert list(minutes.close(MINUTE_NS + MINUTE_GRACE_NS - 1)) == []
    (first,) = minutes.close(MINUTE_NS + MINUTE_GRACE_NS)
    assert (first["from_ns"], first["received"]) == (0, 2)
    (second,) = minutes.close(5 * MINUTE_NS)
    assert (second["from_ns"], second["received"]) == (MINUTE_NS, 1)
    assert list(minutes.close(9 * MINUTE_NS)) == []


def test_losses_add_up_and_one_without_a_bound_takes_it_from_all() -> None:
    minutes = Minutes()
    minutes.lose(loss(5, 2, 4))
    minutes.lose(loss(50, 1, 1))
    minutes.lose(loss(70, 1, 9))
    minutes.lose(loss(80, 0, None))
    minutes.lose(loss(90, 3, 3))
    first, second = minutes.close(5 * MINUTE_NS)
    assert (first["missing_min"], first["missing_max"]) == (3, 5)
    assert (second["missing_min"], second["missing_max"]) == (4, None)


def test_what_was_counted_has_bounds_where_counts_do_not_fall_on_the_minute() -> None:
    minutes = taken(push(55, 100), push(65, 130), push(115, 400), push(125, 420))
    counted = {
        one["from_ns"]: (one["counted_min"], one["counted_max"]) for one in minutes.close(10**12)
    }
    # Between the counts at 65 and 115 s surely 270, between those at 55 and 125 s at most 320.
    assert counted[MINUTE_NS] == (270, 320)
    assert counted[0] == (0, None)


def test_nothing_is_told_as_counted_across_a_restart_or_without_counts() -> None:
    minutes = taken(push(55, 100), push(65, 3, epoch=1), push(125, 9, epoch=1))
    assert [one["counted_max"] for one in minutes.close(10**12)] == [None, None, None]
    minutes.add("received", np.array([0]))
    (told,) = minutes.close(10**12)
    assert told["counted_min"] is None or told["counted_min"] == 0


def test_the_last_count_bounds_a_minute_long_after_the_others_were_let_go_of() -> None:
    minutes = taken(push(5, 90), push(55, 100))
    told = list(minutes.close(10**12))
    minutes.forget_counts()
    for later in (push(1_210, 130), push(1_270, 140)):
        minutes.count(later.received_ns, later)
    assert minutes.are_open
    told += minutes.close(10**13)
    assert [(one["counted_min"], one["counted_max"]) for one in told] == [
        (10, None),
        (0, 40),
        (0, None),
    ]
