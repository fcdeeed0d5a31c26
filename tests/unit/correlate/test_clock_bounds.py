from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.correlate.clock_bounds import (
    NO_BOUND,
    Differences,
    find_contradictions,
    relax_high,
    relax_low,
)

EDGES = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda one: one[0] != one[1]),
    st.integers(-5, 50),
    max_size=20,
)


def differences(edges: dict[tuple[int, int], int]) -> Differences:
    pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    return Differences(pairs[:, 0], pairs[:, 1], np.array(list(edges.values()), dtype=np.int64))


def shortest(edges: dict[tuple[int, int], int], start: int, end: int) -> int | None:
    """By every path without a loop: slow, and obviously right where no loop is negative."""
    best: int | None = None
    others = [node for node in range(5) if node not in (start, end)]
    for count in range(len(others) + 1):
        for between in itertools.permutations(others, count):
            path = [start, *between, end]
            steps = list(itertools.pairwise(path))
            if all(step in edges for step in steps):
                length = sum(edges[step] for step in steps)
                best = length if best is None else min(best, length)
    return best


@given(EDGES)
def test_bounds_are_shortest_paths_where_nothing_contradicts(
    edges: dict[tuple[int, int], int],
) -> None:
    start = np.array([0, *[NO_BOUND] * 4])
    high, low = relax_high(start, differences(edges)), relax_low(-start, differences(edges))
    if high.moving.any() or low.moving.any() or high.bounds[0] < 0 or low.bounds[0] > 0:
        return
    for clock in range(1, 5):
        there, back = shortest(edges, 0, clock), shortest(edges, clock, 0)
        assert high.bounds[clock] == (NO_BOUND if there is None else there)
        assert low.bounds[clock] == (-NO_BOUND if back is None else -back)


def test_a_loop_of_contradictions_is_told_from_a_long_way() -> None:
    loop = {(1, 2): 3, (2, 3): 3, (3, 1): -7}
    start = np.array([0, 10, NO_BOUND, NO_BOUND])
    assert relax_high(start, differences(loop)).moving.any()
    assert not relax_high(start, differences(loop | {(3, 1): -6})).moving.any()


def test_clocks_that_contradict_each_other_are_named_once() -> None:
    edges = {(1, 2): 5, (2, 1): -6, (2, 3): 5, (3, 2): -5, (4, 1): -9}
    earlier, later = find_contradictions(differences(edges))
    assert list(zip(earlier.tolist(), later.tolist(), strict=True)) == [(1, 2)]


def test_nothing_follows_from_nothing() -> None:
    start = np.array([0, NO_BOUND])
    relaxed = relax_high(start, differences({}))
    assert relaxed.bounds.tolist() == [0, NO_BOUND]
