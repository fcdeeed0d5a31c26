from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.correlate.counter_account import CounterAccount, Shortfall

MS = 1_000_000


def ends(*milliseconds: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(milliseconds, dtype=np.int64) * MS


def account(*, at_ms: int = 0, counted: int = 0) -> CounterAccount:
    return CounterAccount(at_ns=at_ms * MS, counted=counted)


def test_what_was_counted_and_sealed_is_not_missing() -> None:
    one = account()
    one.add(ends(100, 900, 300))
    assert one.settle(at_ns=1_000 * MS, counted=3) is None


def test_the_difference_is_exact_when_nothing_ended_around_the_count() -> None:
    one = account()
    one.add(ends(100, 300))
    assert one.settle(at_ns=1_000 * MS, counted=7) == Shortfall(
        from_ns=0, until_ns=1_000 * MS, missing_min=5, missing_max=5
    )
    one.add(ends(1_100))
    assert one.settle(at_ns=2_000 * MS, counted=9) == Shortfall(
        from_ns=1_000 * MS, until_ns=2_000 * MS, missing_min=1, missing_max=1
    )


def test_records_that_end_around_the_count_widen_the_bounds_until_a_count_without_any() -> None:
    one = account()
    one.add(ends(100, 900, 1_001))
    assert one.settle(at_ns=1_000 * MS, counted=4) == Shortfall(
        from_ns=0, until_ns=1_000 * MS, missing_min=1, missing_max=3
    )
    # It was three: nothing ends around this count, so the rest is known, too.
    assert one.settle(at_ns=2_000 * MS, counted=6) == Shortfall(
        from_ns=0, until_ns=2_000 * MS, missing_min=2, missing_max=2
    )


def test_an_account_that_begins_in_the_middle_does_not_miss_what_came_before() -> None:
    one = account(at_ms=1_000, counted=5_000)
    one.add(ends(200, 900, 1_500))
    assert one.settle(at_ns=2_000 * MS, counted=5_001) is None
    assert one.late_count == 0


def test_a_record_at_the_beginning_may_be_in_the_first_count_or_not() -> None:
    for counted in (5_000, 5_001):
        one = account(at_ms=1_000, counted=5_000)
        one.add(ends(1_001))
        assert one.settle(at_ns=2_000 * MS, counted=counted) is None
    one = account(at_ms=1_000, counted=5_000)
    one.add(ends(1_001))
    assert one.settle(at_ns=2_000 * MS, counted=5_002) == Shortfall(
        from_ns=1_000 * MS, until_ns=2_000 * MS, missing_min=1, missing_max=2
    )


def test_what_comes_after_its_count_was_settled_is_late_and_hides_nothing() -> None:
    one = account()
    one.add(ends(100))
    assert one.settle(at_ns=1_000 * MS, counted=3) is not None
    one.add(ends(200, 1_100))
    assert one.settle(at_ns=2_000 * MS, counted=5) == Shortfall(
        from_ns=1_000 * MS, until_ns=2_000 * MS, missing_min=1, missing_max=1
    )
    assert one.late_count == 1


HAPPENINGS = st.lists(
    st.tuples(
        st.integers(0, 10_000),  # when it ended, ms
        st.booleans(),  # whether its record was lost
        st.integers(-1, 149),  # how much later it was counted, ms
    ),
    max_size=60,
)
COUNTS = st.lists(st.integers(1, 11_000), min_size=1, max_size=8, unique=True).map(sorted)


@given(happenings=HAPPENINGS, counts=COUNTS, begin=st.integers(0, 5_000))
def test_bounds_hold_the_truth_at_every_count(
    happenings: list[tuple[int, bool, int]], counts: list[int], begin: int
) -> None:
    counts = [at for at in counts if at > begin] or [begin + 1]

    def counted(at: int) -> int:
        return sum(end + lag <= at for end, _, lag in happenings)

    one = account(at_ms=begin, counted=counted(begin))
    told = 0
    one.add(ends(*(end for end, is_lost, _ in happenings if not is_lost)))
    for at in counts:
        shortfall = one.settle(at_ns=at * MS, counted=counted(at))
        # Lost, and taken in by a count after the beginning.
        lost = sum(is_lost and begin < end + lag <= at for end, is_lost, lag in happenings)
        if shortfall is not None:
            assert shortfall.missing_min >= 1
            assert told + shortfall.missing_min <= lost
            told += shortfall.missing_min
    final = one.settle(at_ns=20_000 * MS, counted=len(happenings))
    lost = sum(is_lost and end + lag > begin for end, is_lost, lag in happenings)
    told_max = told + (final.missing_max if final else 0)
    told += final.missing_min if final else 0
    assert told <= lost
    is_exact = not any(-150 <= end - begin <= 2 for end, _, _ in happenings)
    if is_exact:
        assert told == lost == told_max
    assert one.late_count == 0


@pytest.mark.parametrize("counted", [0, 3])
def test_without_any_record_all_that_was_counted_is_missing(counted: int) -> None:
    found = account().settle(at_ns=MS, counted=counted)
    assert (found.missing_min if found else 0) == counted
