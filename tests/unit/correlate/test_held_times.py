from __future__ import annotations

import numpy as np

from meshtrail.correlate.held_times import HeldTimes


def held(*parts: list[int]) -> HeldTimes:
    one = HeldTimes()
    for part in parts:
        one.add(np.array(part, np.int64))
    return one


def test_what_is_put_in_is_counted_and_taken_out_once() -> None:
    one = held([5, 3], [], [9])
    assert one.count == 3
    assert sorted(one.take().tolist()) == [3, 5, 9]
    assert (one.count, one.take().tolist()) == (0, [])


def test_many_small_arrays_become_one() -> None:
    one = held(*([at] for at in range(1_000)), *([] for _ in range(1_000)))
    assert len(one._parts) < 300
    assert sorted(one.take().tolist()) == list(range(1_000))


def test_a_moment_is_within_up_to_the_end() -> None:
    one = held([5], [9])
    assert one.has_within(8, 9)
    assert not one.has_within(9, 20)
    assert not one.has_within(5, 8)


def test_what_is_older_than_the_newest_by_a_length_is_let_go_of() -> None:
    one = held([5, 30], [9, 20])
    assert one.drop_before(30) is None
    assert one.drop_before(21) == 9
    assert (one.count, sorted(one.take().tolist())) == (2, [20, 30])
    assert one.drop_before(21) is None
