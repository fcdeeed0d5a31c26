from __future__ import annotations

import numpy as np
import pytest

from meshtrail.correlate.pairing.mesh_memory import NEVER_NS, MeshMemory
from meshtrail.correlate.pairing.names import NONE

GRACE = 80
BUCKET = 10


def memory() -> MeshMemory:
    made = MeshMemory(grace_ns=GRACE)
    made.reserve(addresses_count=4, reporters_count=2)
    return made


def see(made: MeshMemory, ip: int, received: int, *, reporter: int = 0, shown: int = NONE) -> None:
    made.see(
        {
            "received_ns": np.array([received]),
            "reporter": np.array([reporter], dtype=np.int32),
            "own_ip": np.array([ip], dtype=np.int32),
            "shown_ip": np.array([shown], dtype=np.int32),
        }
    )


def codes(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


def test_a_reporter_is_heard_at_each_of_its_addresses() -> None:
    made = memory()
    see(made, 0, 5)
    see(made, 1, 7)
    see(made, NONE, 9)
    see(made, 3, 8, reporter=1, shown=2)
    last = made.last_reported_ns(codes(0, 1, 2, 3, NONE)).tolist()
    assert last == [9, 9, NEVER_NS, 8, NEVER_NS]
    assert made.shown_ns[2] == 8


@pytest.mark.parametrize(
    ("missing", "want"),
    [
        ([1, 1, 1, 1], True),
        ([1, 1, 1, 0], True),
        ([1, 1, 0, 0], False),
        ([0, 0, 0, 0], False),
    ],
)
def test_what_is_missing_in_most_stretches_is_thin(missing: list[int], *, want: bool) -> None:
    made = memory()
    for at, lost in enumerate(missing):
        moments = np.full(10, at * BUCKET + 3)
        made.expect(np.repeat(codes(1), 10), moments)
        made.pair(np.repeat(codes(1), 10 - lost), moments[lost:])
        see(made, 1, at * BUCKET + 4)
    thin = made.is_thin(codes(1, 2, NONE), from_ns=np.zeros(3, dtype=np.int64), until_ns=40)
    assert thin.tolist() == [want, False, False]


def test_stretches_before_or_without_any_report_do_not_count() -> None:
    made = memory()
    for at in range(4):
        made.expect(codes(1), np.array([at * BUCKET]))
        made.expect(codes(2), np.array([at * BUCKET]))
        see(made, 1, at * BUCKET)
    start = np.zeros(2, dtype=np.int64)
    assert made.is_thin(codes(1, 2), from_ns=start, until_ns=40).tolist() == [True, False]
    assert not made.is_thin(codes(1), from_ns=start[:1] + 25, until_ns=40).any()
    assert not made.is_thin(codes(1), from_ns=start[:1], until_ns=25).any()


def test_old_stretches_make_room_and_are_not_counted_into_new_ones() -> None:
    made = memory()
    later = 100 * GRACE
    for at in range(4):
        made.expect(codes(1), np.array([later + at * BUCKET]))
        see(made, 1, later + at * BUCKET)
        made.pair(codes(1), np.array([at * BUCKET]))
    start = np.full(1, later)
    assert made.is_thin(codes(1), from_ns=start, until_ns=later + 40).all()


def test_numbers_that_moved_keep_what_is_known_of_them() -> None:
    made = memory()
    see(made, 1, 5, reporter=1)
    see(made, 3, 6, reporter=0)
    made.renumber(codes(NONE, 0, NONE, 1, NONE), codes(NONE, 0, NONE))
    assert made.last_reported_ns(codes(0, 1)).tolist() == [5, 6]
    assert made.reporter.tolist() == [0, NONE]


def test_the_latest_of_many_addresses_are_kept() -> None:
    made = memory()
    for ip in range(4):
        see(made, ip, ip)
    assert np.flatnonzero(made.used_addresses(0, count_max=2)).tolist() == [2, 3]
    assert np.flatnonzero(made.used_addresses(1, count_max=9_999)).tolist() == [1, 2, 3]
