from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.correlate import clock_evidence
from meshtrail.correlate.clock_bounds import NO_BOUND, Differences
from meshtrail.correlate.clock_evidence import (
    Evidence,
    LeastDelayed,
    Receipts,
    age_high,
)
from meshtrail.sources.reporter_clocks import DRIFT_DIVISOR

if TYPE_CHECKING:
    import pytest

S = 1_000_000_000


def numbers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def test_a_bound_widens_by_the_drift_since_and_the_best_is_kept() -> None:
    evidence = Evidence()
    evidence.grow(2)
    evidence.add_low(numbers(1, 1), numbers(100_000, 40_000), numbers(0, 2 * S))
    evidence.add_high(numbers(1), age_high(numbers(900_000), numbers(0)))
    assert evidence.low_at(0).tolist() == [-NO_BOUND, 140_000]
    assert evidence.low_at(2 * S)[1] == 40_000
    assert evidence.high_at(2 * S).tolist() == [NO_BOUND, 900_000 + 2 * S // DRIFT_DIVISOR]


def test_a_difference_widens_by_the_drift_of_both() -> None:
    evidence = Evidence()
    evidence.add_differences(
        Differences(numbers(1, 1), numbers(2, 2), numbers(9, 7)), numbers(0, 0)
    )
    evidence.add_differences(Differences(numbers(1), numbers(2), numbers(8)), numbers(0))
    evidence.add_differences(Differences(numbers(), numbers(), numbers()), numbers())
    assert evidence.differences_at(S) == {(1, 2): 7 + 2 * S // DRIFT_DIVISOR}


def test_differences_are_kept_of_so_many_pairs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_evidence, "DIFFERENCES_MAX", 1)
    evidence = Evidence()
    several = Differences(numbers(1, 2), numbers(2, 1), numbers(9, 9))
    evidence.add_differences(several, numbers(0, 0))
    evidence.add_differences(Differences(numbers(1), numbers(2), numbers(3)), numbers(0))
    assert evidence.differences_at(0) == {(1, 2): 3}


def test_what_is_forgotten_is_gone_and_the_rest_stays() -> None:
    evidence = Evidence()
    evidence.grow(3)
    evidence.add_low(numbers(1, 2), numbers(5, 6), numbers(0, 0))
    evidence.add_differences(
        Differences(numbers(1, 2), numbers(2, 0), numbers(9, 9)), numbers(0, 0)
    )
    evidence.forget({1, 77})
    assert evidence.low_at(0).tolist() == [-NO_BOUND, -NO_BOUND, 6]
    assert evidence.differences_at(0) == {(2, 0): 9}


def high_of(cuts: list[list[tuple[int, int, int]]]) -> list[int]:
    """The upper bounds of three clocks from (clock, ahead, received), taken piece by piece."""
    least = LeastDelayed(arrivals_count=3, delay_ns_max=10)
    evidence = Evidence()
    least.grow(3)
    evidence.grow(3)
    for piece in cuts:
        columns = np.array(piece, dtype=np.int64).reshape(-1, 3).T
        least.take(Receipts(columns[0], columns[1], columns[2], columns[2]), evidence)
    return [int(high) for high in evidence.high_at(0)]


def slowly(rows: list[tuple[int, int, int]]) -> list[int]:
    highs = [NO_BOUND] * 3
    for clock in range(3):
        values: list[int] = []
        last: tuple[int, int] | None = None
        for ahead, received in (row[1:] for row in rows if row[0] == clock):
            sent = ahead + received
            if last is None or (received != last[0] and sent != last[1]):
                values.append(ahead)
            values[-1] = max(values[-1], ahead)
            last = received, sent
        groups = [values[at : at + 3] for at in range(0, len(values), 3)]
        # The last is still open.
        for group in groups[:-1]:
            highs[clock] = min(highs[clock], max(group) + 10)
    return highs


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-50, 50), st.integers(0, 2)), max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_the_least_delayed_are_the_same_however_the_log_is_cut(
    steps: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    # Close together, so that no drift counts; several come in at one moment.
    received = np.cumsum([step for *_, step in steps]).tolist()
    rows = [(clock, ahead, at) for (clock, ahead, _), at in zip(steps, received, strict=True)]
    edges = [0, *sorted(cuts), len(rows)]
    pieces = [rows[start:end] for start, end in itertools.pairwise(edges)]
    # An arrival that was delayed may have been sent just before the epoch: a drift of 1 ns.
    assert [
        abs(got - want) <= 1 for got, want in zip(high_of(pieces), slowly(rows), strict=True)
    ] == [True] * 3
