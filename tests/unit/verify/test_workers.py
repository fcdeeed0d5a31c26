"""Results come in the order of their tasks, from any process; a killed worker is noticed."""

from __future__ import annotations

import os
import signal

import pytest

from meshtrail.errors import LeafError, UnavailableError
from meshtrail.verify.workers import Workers


def square(number: int) -> int:
    return number * number


def process_id(_: int) -> int:
    return os.getpid()


def kill_itself(parent: int) -> int:
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return parent


def raise_leaf_error(number: int) -> int:
    raise LeafError(f"entry {number}", leaf_index=number)


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_the_order_of_their_tasks(count: int) -> None:
    with Workers(count) as workers:
        tasks = ((number, number) for number in range(40))
        assert list(workers.map_beside(square, tasks)) == [(n, n * n) for n in range(40)]


def test_one_worker_is_this_process_and_does_no_task_early() -> None:
    started: list[int] = []

    def note(number: int) -> int:
        started.append(number)
        return number

    with Workers(1) as workers:
        results = workers.map_beside(note, ((n, n) for n in range(5)))
        assert next(results) == (0, 0)
        assert started == [0]


def test_two_workers_are_two_other_processes() -> None:
    with Workers(2) as workers:
        ids = {got for _, got in workers.map_beside(process_id, ((n, n) for n in range(2000)))}
    assert os.getpid() not in ids
    assert len(ids) == 2


def test_killed_worker_is_unavailable() -> None:
    with Workers(2) as workers, pytest.raises(UnavailableError, match="worker process"):
        list(workers.map_beside(kill_itself, ((n, os.getpid()) for n in range(50))))


def test_error_of_a_worker_keeps_its_facts() -> None:
    with Workers(2) as workers:
        pending = workers.submit(raise_leaf_error, 7)
        with pytest.raises(LeafError) as caught:
            pending.result()
    assert caught.value.leaf_index == 7
