from __future__ import annotations

import numpy as np

from meshtrail.correlate.workloads.grouped_moments import GroupedMoments

FAR = 2**62


def test_the_last_moment_of_a_group_until_another_one_is_found() -> None:
    moments = GroupedMoments(np.array([1, 0, 1, 1]), np.array([30, FAR, 10, 20]))
    groups = np.array([1, 1, 1, 1, 0, 0, 2, -1])
    at = np.array([9, 10, 29, FAR, FAR - 1, FAR, FAR, FAR])
    places = moments.last_until(groups, at)
    found = [None if place < 0 else int(moments.order[place]) for place in places]
    assert found == [None, 2, 3, 0, None, 1, None, None]


def test_no_moments_have_no_last_one() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert GroupedMoments(none, none).last_until(np.array([0]), np.array([5])).tolist() == [-1]
