from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect.clock import STEP_NS_MIN, CollectorClock
from tests.fake_clock import START_NS, FakeClock

S = 1_000_000_000
YEAR = 365 * 86_400 * S


def test_clock_goes_with_the_wall_clock_that_does_not_step() -> None:
    fake = FakeClock()
    clock = CollectorClock(fake)
    assert clock.now() == START_NS
    for _ in range(5):
        fake.advance(S)
        assert clock.check() is None
    assert clock.now() == START_NS + 5 * S


@pytest.mark.parametrize("step_ns", [3_600 * S, -3_600 * S, 10 * YEAR, -40 * YEAR])
def test_step_of_the_wall_clock_is_told_once_and_never_adopted_at_once(step_ns: int) -> None:
    fake = FakeClock()
    clock = CollectorClock(fake)
    fake.step(step_ns)
    step = clock.check()
    assert step is not None
    assert step.step_ns == step_ns
    assert step.wall_ns == START_NS + step_ns
    assert step.collector_ns == START_NS
    assert clock.check() is None
    before = clock.now()
    fake.advance(10 * S)
    assert clock.now() - before == 15 * S if step_ns > 0 else 5 * S


@pytest.mark.parametrize("step_ns", [4 * S, -4 * S])
def test_clock_agrees_with_the_wall_clock_again_after_slewing(step_ns: int) -> None:
    fake = FakeClock()
    clock = CollectorClock(fake)
    fake.step(step_ns)
    clock.check()
    fake.advance(8 * S)
    assert clock.now() == fake.wall_ns()
    fake.advance(S)
    assert clock.now() == fake.wall_ns()


@pytest.mark.parametrize("step_ns", [STEP_NS_MIN, -STEP_NS_MIN, 1_000])
def test_small_step_is_slewed_without_a_word(step_ns: int) -> None:
    fake = FakeClock()
    clock = CollectorClock(fake)
    fake.step(step_ns)
    assert clock.check() is None
    fake.advance(3 * S)
    assert clock.now() == fake.wall_ns()


def test_small_steps_that_add_up_are_told() -> None:
    fake = FakeClock()
    clock = CollectorClock(fake)
    told = []
    for _ in range(10):
        fake.step(600_000_000)
        fake.advance(60 * S)
        step = clock.check()
        told.append(0 if step is None else step.step_ns)
    assert told == [0, 1_200_000_000] * 5


@given(st.lists(st.tuples(st.integers(-100 * YEAR, 100 * YEAR), st.integers(0, 10 * S))))
def test_clock_never_runs_backwards_whatever_the_wall_clock_does(
    moves: list[tuple[int, int]],
) -> None:
    fake = FakeClock()
    clock = CollectorClock(fake)
    before = clock.now()
    for step_ns, elapsed_ns in moves:
        fake.step(step_ns)
        clock.check()
        fake.advance(elapsed_ns)
        now = clock.now()
        assert elapsed_ns // 2 <= now - before <= elapsed_ns + elapsed_ns // 2 + 1
        before = now
