from __future__ import annotations

import numpy as np

from meshtrail.correlate.count_book import EARLY_NS, CountBook
from meshtrail.correlate.pushes import Push

S = 1_000_000_000


def push(at_s: int, requests: int) -> Push:
    return Push(at_ns=at_s * S, received_ns=at_s * S, stream=1, requests=requests, uptime_s=at_s)


def book(*ends_s: int) -> CountBook:
    one = CountBook(lambda push: push.requests)
    one.add(np.array(ends_s, np.int64) * S)
    return one


def test_what_ended_before_the_first_count_belongs_to_it() -> None:
    one = book(3, 4)
    one.begin(push(0, 0), begin_jitter_ns=0)
    shortfall = one.settle(push(10, 5))
    assert shortfall is not None
    assert (shortfall.missing_min, shortfall.missing_max) == (3, 3)


def test_what_ended_long_before_is_let_go_of_and_that_is_known() -> None:
    one = book(3, 4, 4 + EARLY_NS // S)
    assert one.is_held_since(0)
    one.drop_early()
    assert one.held_count == 1
    assert one.is_held_since(4 * S)
    assert not one.is_held_since(3 * S)


def test_what_a_process_left_belongs_to_the_next() -> None:
    one = book()
    one.begin(push(0, 0), begin_jitter_ns=0)
    assert one.settle(push(10, 0)) is None
    one.add(np.array([13 * S]))
    one.begin(push(12, 0), begin_jitter_ns=0)
    assert one.settle(push(20, 1)) is None
    assert one.late_count == 0
