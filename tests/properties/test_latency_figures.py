"""What the latency benchmark computes: its schedule, its order, its interval, its cores."""

from __future__ import annotations

import math
import random  # noqa: TID251 - seeded: a failure can be seen again

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.cores import APART, SHARED, plan_cores
from bench.harness.latency_report import judge
from bench.harness.open_loop import answer_bytes, make_requests, make_schedule
from bench.harness.paired import PAIRS_MAX, PAIRS_MIN, T_95, Difference, compare_pairs, plan_order

US = st.floats(min_value=1, max_value=1e6)
PAIRS = st.lists(st.tuples(US, US), min_size=PAIRS_MIN, max_size=PAIRS_MAX)


@given(rate=st.integers(1, 5_000), seconds=st.integers(1, 20))
def test_schedule_holds_its_rate_to_the_end(rate: int, seconds: int) -> None:
    due_ns = make_schedule(rate=rate, seconds=seconds)
    assert len(due_ns) == rate * seconds
    for place, moment in enumerate(due_ns):
        # Held against whole numbers: errors that add up would show at the end.
        assert abs(moment * rate - place * 10**9) <= rate


def test_requests_of_all_runs_have_their_own_ids_and_paths() -> None:
    runs = [make_requests(200, label=label, seed=1) for label in ("pair-1", "pair-2")]
    requests = [request.decode().split("\r\n") for run in runs for request in run]
    for header in ("x-request-id: ", "traceparent: "):
        ids = {line for lines in requests for line in lines if line.startswith(header)}
        assert len(ids) == len(requests)
    assert {lines[0].split("/")[1] for lines in requests} == {"pair-1", "pair-2"}
    assert runs[0] == make_requests(200, label="pair-1", seed=1)


@given(body=st.binary(max_size=40), rest=st.binary(max_size=10), name=st.sampled_from("cC"))
def test_answer_is_whole_at_its_last_byte_and_not_before(
    body: bytes, rest: bytes, name: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\ndate: now\r\n{name}ontent-length: {len(body)}\r\n\r\n".encode()
    for end in range(len(head)):
        assert answer_bytes(head[:end]) == 0
    assert answer_bytes(head) == len(head + body)
    assert answer_bytes(head + body + rest) == len(head + body)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\ndate: x\r\n\r\n"],
)
def test_answer_that_is_no_200_or_has_no_length_is_refused(answer: bytes) -> None:
    with pytest.raises(ConnectionError, match="want a 200"):
        answer_bytes(answer)


def t_density(x: float, degrees: int) -> float:
    log_scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    scale = math.exp(log_scale) / math.sqrt(degrees * math.pi)
    return float(scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2))


@pytest.mark.parametrize("degrees", range(1, len(T_95) + 1))
def test_table_of_t_leaves_two_and_a_half_percent_above(degrees: int) -> None:
    end, steps = T_95[degrees - 1], 2_000
    inner = sum(
        (4 if step % 2 else 2) * t_density(end * step / steps, degrees) for step in range(1, steps)
    )
    simpson = (t_density(0, degrees) + inner + t_density(end, degrees)) * end / steps / 3
    assert simpson == pytest.approx(0.475, abs=3e-6)  # four digits


def test_interval_covers_the_true_difference_in_95_of_100_benchmarks() -> None:
    chance = random.Random(1)  # noqa: S311 - seeded, so that a failure can be seen again
    covered = 0
    for _ in range(2_000):
        base = [chance.gauss(1_000, 300) for _ in range(10)]
        found = compare_pairs([value + chance.gauss(20, 50) for value in base], base)
        covered += found.low <= 20 <= found.high
    assert 0.935 <= covered / 2_000 <= 0.965


@given(pairs=PAIRS)
def test_interval_is_mirrored_when_the_variants_are_exchanged(
    pairs: list[tuple[float, float]],
) -> None:
    values, base = map(list, zip(*pairs, strict=True))
    there, back = compare_pairs(values, base), compare_pairs(base, values)
    assert there.low <= there.mean <= there.high
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.contains_zero == back.contains_zero


@pytest.mark.parametrize("count", [0, 1, PAIRS_MAX + 1])
def test_interval_is_refused_where_the_table_has_no_line(count: int) -> None:
    with pytest.raises(ValueError, match="pairs"):
        compare_pairs([1.0] * count, [1.0] * count)


@pytest.mark.parametrize(
    ("mean", "low", "high", "is_kept"),
    [
        (9.9, 5.0, 14.8, True),  # within 1 % of 1,000
        (10.1, 5.0, 15.2, False),
        (200.0, -1.0, 401.0, True),
        (200.0, 1.0, 399.0, False),
        (-50.0, -60.0, -40.0, True),  # lower with than without
    ],
)
def test_criterion_is_kept_within_one_percent_or_where_the_interval_holds_zero(
    *, mean: float, low: float, high: float, is_kept: bool
) -> None:
    verdict = judge(Difference(1_000.0, mean, low, high), recorder_cpu_share=0.1)
    assert verdict["p99_is_kept"] is is_kept
    assert verdict["p99_interval_half_width_percent"] == pytest.approx((high - low) / 20)


@pytest.mark.parametrize(("half_width", "is_narrow"), [(49, True), (51, False)])
def test_verdict_says_when_the_interval_is_too_wide_to_tell(
    *, half_width: float, is_narrow: bool
) -> None:
    difference = Difference(1_000.0, 10.0, 10.0 - half_width, 10.0 + half_width)
    verdict = judge(difference, recorder_cpu_share=0.1)
    assert verdict["p99_interval_is_narrow"] is is_narrow


@pytest.mark.parametrize(("share", "is_kept"), [(0.29, True), (0.3, False)])
def test_criterion_asks_for_less_than_30_percent_of_the_cpu(*, share: float, is_kept: bool) -> None:
    verdict = judge(Difference(1_000.0, 0.0, -1.0, 1.0), recorder_cpu_share=share)
    assert verdict["recorder_cpu_is_kept"] is is_kept


@given(count=st.integers(PAIRS_MIN, PAIRS_MAX), seed=st.integers(0, 1_000))
def test_order_lets_each_variant_go_first_equally_often(count: int, seed: int) -> None:
    order = plan_order(count, seed=seed)
    assert len(order) == count
    assert 0 <= sum(order) - (count - sum(order)) <= 1
    assert order == plan_order(count, seed=seed)


@given(available=st.frozensets(st.integers(0, 255), min_size=2))
def test_cores_are_parted_without_rest_and_overlap(available: frozenset[int]) -> None:
    apart, shared = (plan_cores(available, placement=placement) for placement in (APART, SHARED))
    assert apart.requests | apart.recorder == available
    assert not apart.requests & apart.recorder
    assert 0 <= len(apart.recorder) - len(apart.requests) <= 1
    assert shared.requests == shared.recorder == available


def test_single_core_cannot_be_parted() -> None:
    with pytest.raises(ValueError, match="one core"):
        plan_cores(frozenset({3}), placement=APART)
