"""Signed heads are found by size, in any order of adding, and forks are seen at once."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, for one order

from meshtrail.verify.heads import SignedHead, SignedHeads


def root(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_heads_come_out_by_size_whatever_order_they_went_in() -> None:
    sizes = list(range(0, 60, 3))
    shuffled = random.Random(7).sample(sizes, len(sizes))  # noqa: S311 - a fixed order
    heads = SignedHeads()
    for size in shuffled:
        assert heads.add(size, root(size), f"day {size % 2}") is None
    assert list(heads.ordered()) == [
        SignedHead(size, root(size), f"day {size % 2}") for size in sizes
    ]
    assert (len(heads), heads.largest) == (len(sizes), 57)
    assert heads.find(30) == SignedHead(30, root(30), "day 0")
    assert heads.find(31) is None
    assert [heads.count_above(size) for size in (-1, 0, 29, 30, 57)] == [20, 19, 10, 9, 0]


def test_no_heads_have_no_largest_size() -> None:
    heads = SignedHeads()
    assert heads.largest is None
    assert list(heads.ordered()) == []


def test_second_root_of_a_size_is_a_fork_and_the_first_one_stays() -> None:
    heads = SignedHeads()
    for size in (5, 9, 2):
        assert heads.add(size, root(1), "checkpoints/a") is None
    for size in (5, 9, 2):
        assert heads.add(size, root(1), "lock record") is None
        fork = heads.add(size, root(2), "lock record")
        assert fork is not None
        assert (fork.check, fork.subject) == ("ConsistencyError", f"checkpoint {size}")
        assert "checkpoints/a" in fork.message
        assert "lock record" in fork.message
    assert len(heads) == 3
