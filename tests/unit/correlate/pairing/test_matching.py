from __future__ import annotations

import numpy as np
import pytest

from meshtrail.correlate.pairing.candidates import Candidates
from meshtrail.correlate.pairing.happenings import EXPECTS, IS_CALLEE, PART_TYPES
from meshtrail.correlate.pairing.matching import Found, pair_groups
from meshtrail.correlate.pairing.open_records import OpenRecords

CALLER, CALLEE = int(EXPECTS), int(EXPECTS | IS_CALLEE)
Part = dict[str, int]


def part(flags: int, start: int, end: int, **known: int) -> Part:
    return {
        **dict.fromkeys(PART_TYPES, 0), "flags": flags, "start_ns": start, "end_ns": end, "key": 1,
        "client_ip": 1, "client_port": 2, "server_ip": 3, "server_port": 4, **known,
    }  # fmt: skip


def paired(parts: list[Part]) -> set[tuple[int, int]]:
    """Which are paired, by their place in the list."""
    records = OpenRecords()
    numbered = [{**one, "log_index": at} for at, one in enumerate(parts)]
    columns = {
        name: np.array([one[name] for one in numbered], dtype=kind)
        for name, kind in PART_TYPES.items()
    }
    positions = records.append(columns)
    is_callee = (columns["flags"] & IS_CALLEE) != 0
    sides = [Found(columns["key"][side], positions[side]) for side in (~is_callee, is_callee)]
    return set(zip(*(each.tolist() for each in pair_groups(records, *sides)), strict=True))


def test_one_caller_and_one_callee_are_a_pair() -> None:
    assert paired([part(CALLER, 0, 9), part(CALLEE, 1, 8)]) == {(0, 1)}


@pytest.mark.parametrize(
    "known",
    [{"client_ip": 9}, {"client_port": 9}, {"server_ip": 9}, {"server_port": 9}, {"key": 9}],
)
def test_records_whose_addresses_or_keys_differ_are_no_pair(known: dict[str, int]) -> None:
    assert paired([part(CALLER, 0, 9), part(CALLEE, 1, 8, **known)]) == set()


@pytest.mark.parametrize(
    ("start", "want"), [(-3, set()), (-2, {(0, 1)}), (11, {(0, 1)}), (12, set())]
)
def test_a_callee_begins_within_its_callers_time_by_the_wider_tolerance(
    start: int, want: set[tuple[int, int]]
) -> None:
    for tolerances in ((2, 0), (0, 2)):
        ours, theirs = ({"tolerance_ns": one} for one in tolerances)
        parts = [part(CALLER, 0, 9, **ours), part(CALLEE, start, start + 1, **theirs)]
        assert paired(parts) == want


def test_requests_one_after_the_other_are_paired_in_order() -> None:
    callers = [part(CALLER, at, at + 3, tolerance_ns=100) for at in (0, 10, 20)]
    callees = [part(CALLEE, at + 1, at + 2, tolerance_ns=100) for at in (20, 0, 10)]
    assert paired(callers + callees) == {(0, 4), (1, 5), (2, 3)}


def test_a_lost_record_leaves_one_over_not_two() -> None:
    callers = [part(CALLER, at, at + 3) for at in (0, 10, 20)]
    assert paired([*callers, part(CALLEE, 1, 2), part(CALLEE, 21, 22)]) == {(0, 3), (2, 4)}


def test_a_long_call_around_short_ones_does_not_take_their_partner() -> None:
    callers = [part(CALLER, 0, 100), part(CALLER, 10, 12)]
    callees = [part(CALLEE, 11, 12), part(CALLEE, 50, 60)]
    assert paired(callers + callees) == {(1, 2), (0, 3)}


def test_of_two_callers_around_a_callee_the_one_that_ends_first_is_taken() -> None:
    callers = [part(CALLER, 0, 100), part(CALLER, 1, 50)]
    assert paired([*callers, part(CALLEE, 2, 9), part(CALLEE, 3, 9)]) == {(1, 2), (0, 3)}


def test_a_gateways_unknown_server_is_taken_after_known_ones() -> None:
    unknown = {"server_ip": -1, "server_port": -1}
    callers = [part(CALLER, 0, 9, **unknown), part(CALLER, 0, 9)]
    callees = [part(CALLEE, 1, 2), part(CALLEE, 3, 4, **unknown)]
    assert paired(callers + callees) == {(1, 2), (0, 3)}
    assert paired([callers[0], part(CALLEE, 1, 2, client_port=9)]) == set()


def test_records_that_expect_a_partner_come_before_those_that_may_have_one() -> None:
    parts = [part(CALLER, 0, 9), part(int(IS_CALLEE), 0, 9), part(CALLEE, 1, 8)]
    assert paired(parts) == {(0, 2)}


def test_as_many_pairs_are_made_as_can_be() -> None:
    callers = [part(CALLER, 0, 100), part(CALLER, 1, 5), part(CALLER, 2, 50)]
    callees = [part(CALLEE, at, at) for at in (3, 40, 90)]
    assert paired(callers + callees) == {(1, 3), (2, 4), (0, 5)}


def test_candidates_of_many_servers_at_one_client_cost_no_square() -> None:
    count = 20_000
    parts = [part(CALLER, 0, 9, server_port=at) for at in range(count)]
    parts += [part(CALLEE, 1, 9, server_port=at) for at in range(count)]
    assert paired(parts) == {(at, at + count) for at in range(count)}


def test_candidates_wait_for_the_other_side_and_leave_with_it() -> None:
    records, waiting = OpenRecords(), Candidates()
    for flags, left in ((CALLER, 1), (CALLER, 2), (CALLEE, 1), (CALLEE, 0), (CALLEE, 1)):
        columns = {
            name: np.array([value], dtype=PART_TYPES[name])
            for name, value in part(flags, 0, 9).items()
        }
        positions = records.append(columns)
        waiting.pair(records, columns["key"], positions)
        assert len(records) == left
