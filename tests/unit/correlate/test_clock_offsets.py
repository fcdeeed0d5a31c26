from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.correlate.clock_offsets import (
    ACCESS_LOGS,
    BATCHES,
    COLLECTOR,
    COUNTS,
    GENERATION_NS,
    OFFSET_NS_MAX,
    ClockEstimate,
    ClockOffsets,
    ClockPairs,
)
from meshtrail.model.event import TimeQuality
from tests.unit.correlate.clock_mesh import (
    BEGIN,
    MS,
    S,
    SimulatedClock,
    SimulatedMesh,
    arrivals,
    pairs,
)


def count(
    offsets: ClockOffsets, number: int, at_ns: int, offset_ns: int, *, times: int = 4
) -> None:
    """Counts that come in 2 ms after they were read, a second apart."""
    rows = []
    for at in range(times):
        read = at_ns + at * S + offset_ns
        rows.append((number, read, read, at_ns + at * S + 2 * MS))
    offsets.take_arrivals(arrivals(rows), COUNTS)


def estimates(offsets: ClockOffsets, until_ns: int) -> dict[int, ClockEstimate]:
    return dict(offsets.close_step(until_ns))


def assert_true(found: dict[int, ClockEstimate], clocks: list[SimulatedClock], now_ns: int) -> None:
    for number, one in found.items():
        if one.offset_ns is not None and one.error_ns is not None:
            off_by = abs(clocks[number].offset_at(now_ns) - one.offset_ns)
            assert off_by <= one.error_ns, (number, off_by, one)


OFFSETS = st.one_of(st.integers(-5 * MS, 5 * MS), st.integers(-600 * S, 600 * S))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(OFFSETS, st.integers(-50, 50)), min_size=2, max_size=5),
    st.integers(0, 1 << 30),
    st.floats(0, 0.5),
    st.booleans(),
)
def test_truth_is_within_the_error(
    wrong: list[tuple[int, int]],
    seed: int,
    lost: float,
    has_pairs: bool,  # noqa: FBT001 - an argument of the strategy
) -> None:
    clocks = [SimulatedClock(offset, drift) for offset, drift in wrong]
    mesh, offsets = SimulatedMesh(clocks, seed=seed, lost=lost), ClockOffsets()
    found: dict[int, ClockEstimate] = {}
    for now_ns in range(BEGIN + 10 * S, BEGIN + 150 * S, 10 * S):
        mesh.run(offsets, now_ns - 10 * S, calls=6, has_pairs=has_pairs)
        found = estimates(offsets, now_ns)
        assert not any(one.is_stepped for one in found.values())
        assert_true(found, clocks, now_ns)
    assert len(found) == len(clocks)
    assert all((one.error_ns or 0) < 200 * MS for one in found.values())


@pytest.mark.parametrize("seed", range(3))
def test_truth_is_within_the_error_for_hours_of_drift(seed: int) -> None:
    clocks = [SimulatedClock(-7 * MS, 50), SimulatedClock(90 * S, -50), SimulatedClock(0, 50)]
    mesh, offsets = SimulatedMesh(clocks, seed=seed), ClockOffsets()
    found: dict[int, ClockEstimate] = {}
    for now_ns in range(BEGIN + 60 * S, BEGIN + 7200 * S, 60 * S):
        mesh.run(offsets, now_ns - 10 * S, calls=4)
        found = estimates(offsets, now_ns)
        assert_true(found, clocks, now_ns)
    assert [one.quality for one in found.values()] == [TimeQuality.ESTIMATED] * 3


@pytest.mark.parametrize("step_ns", [-600 * S, -3 * S, 3 * S, 600 * S])
@pytest.mark.parametrize("has_pairs", [False, True])
def test_a_step_is_noticed_told_and_got_over(
    step_ns: int,
    has_pairs: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    clocks = [SimulatedClock(number * S) for number in range(4)]
    clocks[1] = SimulatedClock(5 * MS, step_at_ns=BEGIN + 103 * S, step_ns=step_ns)
    mesh, offsets = SimulatedMesh(clocks, seed=9), ClockOffsets()
    stepped = set()
    for now_ns in range(BEGIN + 10 * S, BEGIN + 300 * S, 10 * S):
        mesh.run(offsets, now_ns - 10 * S, calls=20, has_pairs=has_pairs)
        found = estimates(offsets, now_ns)
        stepped |= {number for number, one in found.items() if one.is_stepped}
        if not BEGIN + 100 * S < now_ns < BEGIN + 200 * S:
            assert_true(found, clocks, now_ns)
            if now_ns > BEGIN + 60 * S:
                assert len(found) == 4
                assert all(one.quality is TimeQuality.ESTIMATED for one in found.values())
    # Nobody else is made to suffer.
    assert stepped == {1}


def test_a_step_that_looks_like_delay_contradicts_the_pairs_of_the_clock() -> None:
    clocks = [SimulatedClock(0) for _ in range(4)]
    clocks[2] = SimulatedClock(0, step_at_ns=BEGIN + 100 * S, step_ns=-100 * MS)
    told: dict[bool, set[int]] = {}
    for has_pairs in (False, True):
        mesh, offsets = SimulatedMesh(clocks, seed=4), ClockOffsets()
        told[has_pairs] = set()
        for now_ns in range(BEGIN + 10 * S, BEGIN + 150 * S, 10 * S):
            mesh.run(offsets, now_ns - 10 * S, calls=20, has_pairs=has_pairs)
            found = estimates(offsets, now_ns)
            told[has_pairs] |= {number for number, one in found.items() if one.is_stepped}
    assert told[False] == set()
    assert told[True] == {2}


def test_a_liar_cannot_keep_the_clock_of_another_from_being_known() -> None:
    clocks = [SimulatedClock(0) for _ in range(3)]
    mesh, offsets = SimulatedMesh(clocks, seed=4), ClockOffsets()
    known = 0
    for now_ns in range(BEGIN + 10 * S, BEGIN + 910 * S, 10 * S):
        mesh.run(offsets, now_ns - 10 * S, calls=10)
        # Its counts come in as ever; of its calls it says that they were ten seconds earlier.
        begin, end = now_ns - S, now_ns - S + MS
        lie = (0, 1, begin - 10 * S, end - 10 * S, begin, end, now_ns)
        offsets.take_pairs(pairs(lie))
        found = estimates(offsets, now_ns)
        assert_true(found, clocks, now_ns)
        known += 1 in found and found[1].offset_ns is not None
    assert known >= 70


def call(source: int, destination: int, at_ns: int, *, ahead_ns: int = 0) -> ClockPairs:
    """A call of 4 ms, of which the caller's clock is ahead."""
    begin = at_ns + ahead_ns
    row = (begin, begin + 4 * MS, at_ns + MS, at_ns + 3 * MS, at_ns + S)
    return pairs((source, destination, *row))


def test_who_was_stepped_takes_nobody_along() -> None:
    offsets = ClockOffsets()
    for number in range(2):
        count(offsets, number, BEGIN, 0)
    offsets.take_pairs(call(0, 1, BEGIN + 5 * S))
    assert len(estimates(offsets, BEGIN + 10 * S)) == 2
    count(offsets, 0, BEGIN + 11 * S, 60 * S)
    found = estimates(offsets, BEGIN + 20 * S)
    assert {number for number, one in found.items() if one.is_stepped} == {0}
    assert found[1].quality is TimeQuality.ESTIMATED


def test_of_two_that_contradict_each_other_the_one_with_fewer_others_was_stepped() -> None:
    offsets = ClockOffsets()
    for number in range(4):
        count(offsets, number, BEGIN, 0)
    for source, destination in ((0, 1), (1, 2), (3, 1)):
        offsets.take_pairs(call(source, destination, BEGIN + 5 * S))
    offsets.take_pairs(call(0, 1, BEGIN + 8 * S, ahead_ns=-100 * MS))
    found = estimates(offsets, BEGIN + 10 * S)
    assert {number for number, one in found.items() if one.is_stepped} == {0}


def test_pairs_from_before_a_step_bound_nothing() -> None:
    offsets = ClockOffsets()
    offsets.restart(BEGIN + 10 * S)
    count(offsets, 0, BEGIN, 0, times=1)
    early = (0, COLLECTOR, BEGIN, BEGIN + S, BEGIN, BEGIN, BEGIN + S)
    offsets.take_pairs(pairs(early))
    assert estimates(offsets, BEGIN + 20 * S) == {}
    at = BEGIN + 22 * S
    offsets.take_pairs(pairs((0, COLLECTOR, at, at + S, at, at, at + S)))
    assert estimates(offsets, BEGIN + 30 * S)[0].quality is TimeQuality.BOUNDED


def test_an_arrival_bounds_from_below_alone() -> None:
    offsets = ClockOffsets()
    offsets.take_arrivals(arrivals([(0, BEGIN, BEGIN + 5 * S, BEGIN + 2 * S)]), None)
    assert estimates(offsets, BEGIN + 10 * S) == {}
    # Known from above by what it did with another: the lower bound is that of the arrival.
    count(offsets, 1, BEGIN, 0)
    begin, end = BEGIN + 4 * S, BEGIN + 5 * S
    offsets.take_pairs(pairs((1, 0, begin, end, begin + 3 * S, end + 3 * S, BEGIN + 6 * S)))
    one = estimates(offsets, BEGIN + 10 * S)[0]
    assert one.offset_ns is not None
    assert one.error_ns is not None
    assert one.offset_ns - one.error_ns == pytest.approx(3 * S, abs=2 * MS)
    assert one.quality is TimeQuality.ESTIMATED


def test_what_the_collector_took_part_in_bounds_both_ways() -> None:
    offsets = ClockOffsets()
    at = BEGIN + 5 * S
    # A proxy's record of an export that the collector answered: 4 ms, 20 s ahead.
    begin, end = at + 20 * S - 1 * MS, at + 20 * S + 3 * MS
    offsets.take_pairs(pairs((0, COLLECTOR, begin, end, at, at, at)))
    # What is at the other end of a request of that proxy.
    offsets.take_pairs(pairs((0, 1, begin, end, begin - S, end - S, at)))
    found = estimates(offsets, at)
    assert [one.quality for one in found.values()] == [TimeQuality.BOUNDED] * 2
    assert [one.offset_ns for one in found.values()] == [
        pytest.approx(20 * S + MS, abs=MS),
        pytest.approx(19 * S + MS, abs=MS),
    ]
    assert [one.error_ns for one in found.values()] == [pytest.approx(3 * MS, abs=1.1 * MS)] * 2
    # By assumption it could be known better, but not for certain.
    count(offsets, 0, BEGIN, 20 * S)
    assert estimates(offsets, at + 5 * S)[0].quality is TimeQuality.BOUNDED


@pytest.mark.parametrize(
    "off_by", [OFFSET_NS_MAX + 5, -OFFSET_NS_MAX, 1 << 62, -(1 << 62), -(1 << 63) + BEGIN]
)
def test_times_that_no_clock_says_bound_nothing(off_by: int) -> None:
    offsets = ClockOffsets()
    wild = max(min(BEGIN + off_by, 2**63 - 1), -(2**63))
    for time_ns, end_ns in ((wild, BEGIN), (BEGIN, wild), (wild, wild)):
        rows = [(0, time_ns, end_ns, BEGIN + at) for at in range(5)]
        offsets.take_arrivals(arrivals(rows), COUNTS)
        offsets.take_pairs(pairs((0, COLLECTOR, time_ns, end_ns, BEGIN, BEGIN, BEGIN)))
    assert estimates(offsets, BEGIN + S) == {}


def test_what_began_long_ago_is_no_arrival_that_was_hardly_delayed() -> None:
    offsets = ClockOffsets()
    rows = [(0, BEGIN - 3600 * S, BEGIN + at * S, BEGIN + at * S) for at in range(20)]
    offsets.take_arrivals(arrivals(rows), ACCESS_LOGS)
    assert estimates(offsets, BEGIN + 20 * S) == {}


def test_evidence_is_given_up_when_it_is_old() -> None:
    offsets = ClockOffsets()
    count(offsets, 0, BEGIN, 7 * S)
    first = estimates(offsets, BEGIN + 10 * S)[0]
    later = estimates(offsets, BEGIN + GENERATION_NS)[0]
    assert first.error_ns is not None
    assert later.error_ns == pytest.approx(first.error_ns + 290 * S // 20_000, abs=2)
    assert estimates(offsets, BEGIN + 2 * GENERATION_NS) == {}
    count(offsets, 0, BEGIN + 2 * GENERATION_NS, 7 * S)
    assert estimates(offsets, BEGIN + 20 * GENERATION_NS) == {}


def test_a_step_of_the_collector_ends_all_that_was_known() -> None:
    offsets = ClockOffsets()
    count(offsets, 0, BEGIN, 7 * S)
    offsets.restart(BEGIN + 10 * S)
    count(offsets, 0, BEGIN + 5 * S, -S, times=5)
    (told,) = estimates(offsets, BEGIN + 10 * S).values()
    assert (told.quality, told.is_stepped) == (TimeQuality.UNKNOWN, True)
    assert estimates(offsets, BEGIN + 20 * S) == {}
    count(offsets, 0, BEGIN + 20 * S, -S)
    (again,) = estimates(offsets, BEGIN + 30 * S).values()
    assert again.offset_ns == pytest.approx(-S, abs=200 * MS)
    assert again.from_ns == BEGIN + 10 * S


def test_kinds_of_sending_are_counted_apart() -> None:
    offsets = ClockOffsets()
    rows = [(0, BEGIN + at, BEGIN + at, BEGIN + at) for at in range(3)]
    for sending in (ACCESS_LOGS, COUNTS, BATCHES):
        offsets.take_arrivals(arrivals(rows), sending)
    assert estimates(offsets, BEGIN + S) == {}
