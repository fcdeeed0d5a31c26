from __future__ import annotations

import random  # noqa: TID251 - seeded, so that a failure can be repeated

import numpy as np

from meshtrail.correlate.pairing.sorted_runs import SortedRuns


def test_everything_present_is_found_under_its_key_after_any_merges() -> None:
    chance = random.Random(1)  # noqa: S311 - the same numbers each time
    runs = SortedRuns()
    known: dict[int, int] = {}
    present = np.zeros(10_000, dtype=np.bool_)
    for _ in range(60):
        positions = [len(known) + n for n in range(chance.randint(1, 40))]
        keys = [chance.randint(0, 30) for _ in positions]
        known.update(zip(positions, keys, strict=True))
        present[positions] = True
        gone = chance.sample(sorted(known), len(known) // 10)
        present[gone] = False
        runs.add(
            np.array(keys, dtype=np.uint64),
            np.array(positions, dtype=np.int64),
            is_present=lambda some: present[some],
        )
        asked = np.arange(0, 31, 2, dtype=np.uint64)
        found = runs.find(asked, is_present=lambda some: present[some])
        want = {(key, at) for at, key in known.items() if present[at] and key % 2 == 0}
        assert set(zip(*(each.tolist() for each in found), strict=True)) == want
        assert len(found[0]) == len(want)
        assert {key for key, _ in want} <= set(asked[runs.has(asked)].tolist())
    assert len(runs) < len(known)


def test_nothing_is_found_in_an_empty_index() -> None:
    keys, positions = SortedRuns().find(
        np.array([1], dtype=np.uint64), is_present=lambda some: some >= 0
    )
    assert len(keys) == len(positions) == 0
    assert not SortedRuns().has(np.array([1], dtype=np.uint64)).any()


def test_positions_follow_where_they_moved() -> None:
    runs = SortedRuns()
    everything = np.ones(4, dtype=np.bool_)
    runs.add(
        np.array([5, 6, 5], dtype=np.uint64),
        np.array([0, 1, 3]),
        is_present=lambda some: everything[some],
    )
    runs.renumber(np.array([-1, 0, -1, 1]))
    keys, positions = runs.find(
        np.array([5, 6], dtype=np.uint64), is_present=lambda some: everything[some]
    )
    assert keys.tolist() == [5, 6]
    assert positions.tolist() == [1, 0]
