from __future__ import annotations

import random  # noqa: TID251 - seeded runs, no secrets
from dataclasses import dataclass, field, replace

import pytest

from meshtrail.correlate import proxy_account
from meshtrail.correlate.proxy_account import LossKind, ProxyAccount
from tests.unit.correlate.proxy_counts import MS, S, closed, ends, push, settle, times


@pytest.mark.parametrize("ahead_s", [-600, 0, 600])
@pytest.mark.parametrize(("since_s", "missing"), [(200, 0), (0, 5_000)])
def test_a_process_is_older_than_the_recording_by_the_clock_of_the_collector(
    ahead_s: int, since_s: int, missing: int
) -> None:
    account = ProxyAccount(recording_since_ns=since_s * S)
    first = push(300, 5_000, started_s=100)
    first = replace(first, at_ns=first.at_ns + ahead_s * S)
    second = replace(first, at_ns=first.at_ns + 10 * S, received_ns=first.received_ns + 10 * S)
    assert sum(loss.missing_min for loss in settle(account, first, second)) == missing


def test_a_clock_that_is_set_back_makes_nothing_missing() -> None:
    account = ProxyAccount(recording_since_ns=0)
    missing = []
    for at_s in range(100, 200, 5):
        # By 30 s, at 130 s; two requests between any two counts, the last of them is lost.
        back_s = 30 if at_s >= 130 else 0
        one = push(at_s, 2 * (at_s - 100) // 5 + (at_s == 195), started_s=90)
        account.add_push(replace(one, at_ns=one.at_ns - back_s * S))
        account.add_records(ends(at_s + 1 - back_s, at_s + 2 - back_s))
        losses = account.settle(received_before_ns=(at_s - 9) * S)
        missing += [loss.missing_min for loss in losses]
    assert missing == []
    (loss,) = account.settle(received_before_ns=300 * S)
    assert (loss.missing_min, loss.missing_max) == (1, 1)


def test_a_process_that_started_under_our_eyes_is_accounted_for_from_its_start() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(102.5, 103))
    (loss,) = settle(account, push(110, 5, started_s=100))
    assert (loss.missing_min, loss.missing_max, loss.kind) == (3, 3, LossKind.SENT)


def test_a_process_that_is_older_than_the_log_is_accounted_for_from_its_first_count_on() -> None:
    account = ProxyAccount(recording_since_ns=200 * S)
    account.add_records(ends(212.5))
    losses = settle(account, push(210, 5_000, started_s=100), push(220, 5_003, started_s=100))
    assert [(one.from_ns, one.missing_min) for one in losses] == [(210 * S, 2)]


def test_sums_that_do_not_go_on_begin_a_new_account() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(closed(103, 104, 114.95, 125, 133))
    account.add_push(push(110, 0, connections=2, started_s=100))
    # It might be left out for a quiet one, but none that goes on from it comes.
    account.add_push(push(115, 0, connections=9, started_s=100))
    rebased = replace(push(120, 0, connections=700, started_s=100), is_rebased=True)
    losses = settle(account, rebased, push(140, 0, connections=705, started_s=100))
    assert [(one.kind, one.missing_min, one.from_ns // S) for one in losses] == [
        (LossKind.SENT, 6, 110),
        (LossKind.SENT, 3, 120),
    ]


def test_what_a_proxy_says_it_dropped_is_a_loss_of_its_own() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 112))
    losses = settle(
        account,
        push(110, 1, started_s=100),
        push(120, 3, dropped=40, started_s=100),
    )
    assert [(one.kind, one.missing_min, one.missing_max) for one in losses] == [
        (LossKind.DROPPED, 40, 40),
        (LossKind.SENT, 1, 1),
    ]


def test_a_restart_leaves_the_last_moments_open_and_begins_anew() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 111.0, 116.5))
    losses = settle(
        account,
        push(110, 1, started_s=100),
        push(125, 3, started_s=115),
    )
    assert [(one.kind, one.missing_min, one.missing_max) for one in losses] == [
        (LossKind.RESTART, 0, None),
        (LossKind.SENT, 2, 2),
    ]
    assert (losses[0].from_ns, losses[0].until_ns) == (110 * S, 115 * S)


def test_a_hot_restart_is_another_process_though_the_counters_go_on() -> None:
    account = ProxyAccount(recording_since_ns=0)
    losses = settle(account, push(110, 0, started_s=100), push(125, 0, started_s=115, epoch=1))
    assert [one.kind for one in losses] == [LossKind.RESTART]


def test_counts_wait_until_their_records_had_time_to_come() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_push(push(110, 2, started_s=100))
    assert account.settle(received_before_ns=110 * S) == []
    account.add_records(ends(103, 104))
    assert account.settle(received_before_ns=111 * S) == []


def test_the_same_count_twice_says_nothing_new() -> None:
    account = ProxyAccount(recording_since_ns=0)
    first = push(110, 2, started_s=100)
    assert len(settle(account, first)) == 1
    assert settle(account, first) == []


def test_records_without_counts_are_let_go_of_and_the_next_count_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy_account, "HELD_MAX", 3)
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(101, 102, 103, 104))
    # Nothing was ever counted: nothing is missing.
    assert settle(account) == []
    account.add_records(ends(115))
    assert settle(account, push(110, 9, started_s=100), push(120, 10, started_s=100)) == []


def test_a_count_that_is_given_up_leaves_a_gap_that_nothing_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy_account, "HELD_MAX", 3)
    account = ProxyAccount(recording_since_ns=0)
    account.add_push(push(110, 0, started_s=100))
    assert account.settle(received_before_ns=115 * S) == []
    account.add_records(ends(121, 122, 123, 124))
    (loss,) = account.settle(received_before_ns=130 * S)
    assert (loss.kind, loss.missing_min, loss.missing_max) == (LossKind.GIVEN_UP, 0, None)
    assert (loss.from_ns, loss.until_ns) == (110 * S, 130 * S - 3 * MS)
    assert account.settle(received_before_ns=140 * S) == []


def test_a_process_that_counts_late_is_accounted_for_from_its_first_count_on() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 104, 500))
    assert settle(account) == []
    account.add_records(ends(515))
    (loss,) = settle(account, push(510, 3, started_s=100), push(520, 6, started_s=100))
    assert (loss.from_ns, loss.missing_min) == (510 * S, 2)


def test_what_is_neither_written_nor_dropped_was_not_written_by_a_proxy_that_used_to() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 104, 112))
    losses = settle(
        account,
        push(110, 2, started_s=100),
        push(120, 3, unwritten=4, started_s=100),
        push(130, 3, unwritten=9, started_s=100),
    )
    assert [(one.kind, one.missing_min, one.missing_max) for one in losses] == [
        (LossKind.NOT_WRITTEN, 4, 4),
        (LossKind.NOT_WRITTEN, 5, 5),
    ]


def test_requests_that_were_written_or_dropped_are_not_told_as_unwritten_too() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 104, 112))
    losses = settle(
        account,
        push(110, 2, started_s=100),
        push(120, 10, dropped=5, unwritten=2, started_s=100),
    )
    assert [(one.kind, one.missing_min, one.missing_max) for one in losses] == [
        (LossKind.DROPPED, 5, 5),
        (LossKind.SENT, 7, 7),
        (LossKind.NOT_WRITTEN, 2, 2),
    ]


def test_what_is_written_elsewhere_too_is_no_loss() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 104, 112))
    # Another access log of the proxy has a record of each request, too.
    twice = [
        replace(push(at_s, requests, started_s=100), written=2 * requests)
        for at_s, requests in ((110, 2), (120, 3), (130, 5))
    ]
    (loss,) = settle(account, *twice)
    assert (loss.kind, loss.from_ns // S) == (LossKind.SENT, 120)
    assert (loss.missing_min, loss.missing_max) == (2, 4)


def test_what_is_written_is_compared_where_requests_are_not_counted() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103))
    uncounted = replace(push(110, 3, started_s=100), requests=0)
    (loss,) = settle(account, uncounted)
    assert (loss.kind, loss.missing_min) == (LossKind.SENT, 2)


def test_a_door_that_was_never_logged_is_no_loss() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 104, 112))
    losses = settle(
        account,
        push(110, 2, unwritten=7, started_s=100),
        push(120, 3, unwritten=20, started_s=100),
    )
    assert losses == []


def test_connections_are_told_once_they_were_all_there() -> None:
    unlogged = ProxyAccount(recording_since_ns=0)
    pushes = [
        push(110, 0, connections=2, started_s=100),
        push(120, 0, connections=5, started_s=100),
    ]
    assert settle(unlogged, *pushes) == []
    logged = ProxyAccount(recording_since_ns=0)
    logged.add_records(closed(103, 104, 112))
    (loss,) = settle(logged, *pushes)
    assert (loss.kind, loss.missing_min, loss.missing_max) == (LossKind.SENT, 2, 2)


def test_records_over_otlp_are_held_to_the_requests_alone() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 104)._replace(written=times()))
    losses = settle(
        account,
        push(110, 0, unwritten=2, started_s=100),
        push(120, 0, dropped=3, unwritten=2, started_s=100),
    )
    assert [(one.kind, one.missing_min) for one in losses] == [(LossKind.DROPPED, 3)]


@dataclass
class Proxy:
    """A proxy whose requests, losses and restarts are known."""

    chance: random.Random
    account: ProxyAccount = field(default_factory=lambda: ProxyAccount(recording_since_ns=0))
    now_s: float = 100.0
    started_s: float = 100.0
    written: int = 0
    lost: int = 0
    open_tail: int = 0

    def serve(self, requests: int, *, lost: float) -> None:
        for _ in range(requests):
            self.now_s += self.chance.expovariate(50)
            self.written += 1
            if self.chance.random() < lost:
                self.lost += 1
                self.open_tail += 1
            else:
                self.account.add_records(ends(self.now_s))

    def count(self) -> None:
        # Whoever waits a moment before a count makes it exact; not all do.
        self.now_s += self.chance.choice([0, 0.2, 1])
        self.account.add_push(push(self.now_s, self.written, started_s=self.started_s))
        self.open_tail = 0

    def restart(self) -> None:
        self.now_s += 3
        self.started_s, self.written = self.now_s, 0
        self.now_s += 4


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_the_truth_over_losses_and_restarts(seed: int) -> None:
    proxy = Proxy(random.Random(seed))  # noqa: S311 - as above
    proxy.now_s += 4
    tails = unsure = 0
    for _ in range(proxy.chance.randrange(3, 12)):
        proxy.serve(proxy.chance.randrange(80), lost=proxy.chance.choice([0, 0, 0.2, 1]))
        if proxy.chance.random() < 0.8:
            proxy.count()
        if proxy.chance.random() < 0.2:
            # Nobody counts after a restart what ended at about the last count before, or later. At
            # fifty a second, sixteen within 152 ms hardly ever happen.
            tails += proxy.open_tail
            unsure += 16
            proxy.open_tail = 0
            proxy.restart()
    proxy.now_s += 5
    proxy.count()
    losses = proxy.account.settle(received_before_ns=10**6 * S)
    known = sum(one.missing_min for one in losses)
    assert known <= proxy.lost
    assert proxy.lost - tails - unsure <= known <= proxy.lost - tails
    assert all(one.missing_max is None for one in losses if one.kind is LossKind.RESTART)
