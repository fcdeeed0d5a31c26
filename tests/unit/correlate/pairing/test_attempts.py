from __future__ import annotations

import numpy as np
import pytest

from meshtrail.correlate.pairing import attempts
from meshtrail.correlate.pairing.attempts import Attempt, RetriedRequests
from meshtrail.correlate.pairing.names import NONE


def remembered(**known: int) -> RetriedRequests:
    retried = RetriedRequests()
    remember(retried, **known)
    return retried


def remember(retried: RetriedRequests, **known: int) -> None:
    values = {
        "attempts_left": 2, "client_ip": 4, "end_ns": 200, "log_index": 9, "received_ns": 1,
        "reporter": 3, "request_id": 77, "start_ns": 100, "tolerance_ns": 5, **known,
    }  # fmt: skip
    retried.add({name: np.array([value]) for name, value in values.items()})


def claim(retried: RetriedRequests, **known: int) -> int | None:
    values = {"request_id": 77, "client_ip": 4, "start_ns": 150, "tolerance_ns": 0, **known}
    return retried.claim(Attempt(**values), reporter_of={4: 3, 5: 6}.__getitem__)


def test_no_more_attempts_are_claimed_than_there_were_before_the_last() -> None:
    retried = remembered()
    assert [claim(retried) for _ in range(3)] == [9, 9, None]


@pytest.mark.parametrize(
    "known", [{"request_id": 78}, {"client_ip": 5}, {"start_ns": 94}, {"start_ns": 206}]
)
def test_another_id_address_or_time_is_no_attempt(known: dict[str, int]) -> None:
    assert claim(remembered(), **known) is None


@pytest.mark.parametrize("start", [95, 205])
def test_time_is_taken_with_the_tolerance_of_either_clock(start: int) -> None:
    assert claim(remembered(), start_ns=start) == 9
    assert claim(remembered(tolerance_ns=0), start_ns=start, tolerance_ns=5) == 9


def test_without_a_last_connection_the_address_is_one_of_the_reporter() -> None:
    assert claim(remembered(client_ip=NONE)) == 9
    assert claim(remembered(client_ip=NONE), client_ip=5) is None


def test_requests_follow_the_numbers_of_addresses_and_reporters() -> None:
    retried = remembered()
    moved = np.array([NONE, NONE, NONE, 0, 1, NONE], dtype=np.int32)
    retried.renumber(moved, moved)
    assert (retried.addresses(), retried.reporters()) == ({1}, {0})
    assert claim(retried, client_ip=1) == 9


def test_requests_are_forgotten_by_age_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    retried = remembered()
    retried.forget(1)
    assert len(retried) == 1
    retried.forget(2)
    assert claim(retried) is None
    monkeypatch.setattr(attempts, "RETRIED_MAX", 0)
    assert len(remembered()) == 0


class Counted(Attempt):
    """An attempt that counts the requests that it is held against."""

    looks = 0

    @property
    def tolerance_ns(self) -> int:
        Counted.looks += 1
        return 0


def test_a_client_with_one_id_for_all_is_not_looked_through_from_the_start_each_time() -> None:
    retried = RetriedRequests()
    Counted.looks = 0
    for at in range(500):
        remember(retried, attempts_left=1, log_index=at, start_ns=at * 100, end_ns=at * 100 + 10)
        attempt = Counted(77, 4, at * 100 + 5, 0)
        assert retried.claim(attempt, reporter_of=lambda _: 3) == at
    assert Counted.looks == 500


def test_an_id_is_known_until_the_last_request_with_it_is_forgotten() -> None:
    retried = remembered(attempts_left=1)
    remember(retried, attempts_left=1, received_ns=3)
    assert [claim(retried) for _ in range(3)] == [9, 9, None]
    ids = np.array([77, 78])
    for received_ns, is_known in ((2, True), (3, True), (4, False)):
        retried.forget(received_ns)
        assert retried.knows(ids).tolist() == [is_known, False]


def test_of_one_id_only_so_many_wait_for_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITING_MAX", 2)
    retried = RetriedRequests()
    for at in range(3):
        remember(retried, attempts_left=1, log_index=at)
    assert [claim(retried) for _ in range(3)] == [1, 2, None]
    retried.forget(2)
    assert not len(retried)
