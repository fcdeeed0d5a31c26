"""A count in whose moment records ended is bounds: it waits for a quiet one, but not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.correlate import proxy_account
from meshtrail.correlate.ledger import GRACE_NS, STEP_NS
from meshtrail.correlate.minutes import MINUTE_GRACE_NS
from meshtrail.correlate.proxy_account import LossKind, ProxyAccount
from tests.unit.correlate.proxy_counts import S, ends, push, settle

if TYPE_CHECKING:
    from meshtrail.correlate.proxy_account import Ends


def busy(until_s: int) -> Ends:
    """Ten requests each second from 100 s on, without a pause."""
    return ends(*(100 + n / 10 for n in range(1, (until_s - 100) * 10 + 1)))


def test_a_count_among_records_waits_for_a_quiet_one_that_is_exact() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 114.95))
    account.add_push(push(105, 1, started_s=100))
    account.add_push(push(115, 9, started_s=100))
    # At 115 it might have been eight.
    assert account.settle(received_before_ns=116 * S) == []
    (loss,) = settle(account, push(125, 9, started_s=100))
    assert (loss.missing_min, loss.missing_max) == (7, 7)


def test_a_count_among_records_is_settled_when_patience_ends() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(busy(200))
    assert settle(account, push(110, 100, started_s=100)) == []
    (loss,) = settle(
        account,
        *(push(at_s, (at_s - 100) * 10 + 50, started_s=100) for at_s in (120, 130, 140, 150)),
    )
    assert (loss.until_ns, loss.missing_min) == (140 * S, 50)
    assert loss.missing_max is not None
    assert 50 < loss.missing_max < 65


def test_the_last_count_of_a_process_is_settled_though_records_ended_around_it() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 114.95))
    losses = settle(
        account,
        push(105, 1, started_s=100),
        push(115, 9, started_s=100),
        push(135, 0, started_s=125),
    )
    assert [(one.kind, one.missing_min, one.missing_max) for one in losses] == [
        (LossKind.LAST, 7, 8),
        (LossKind.RESTART, 0, None),
    ]


def test_no_loss_is_known_after_its_minute_was_told() -> None:
    assert proxy_account.PATIENCE_NS + GRACE_NS + STEP_NS <= MINUTE_GRACE_NS


def test_the_last_count_of_all_is_settled_though_records_ended_around_it() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(103, 114.95))
    account.add_push(push(105, 1, started_s=100))
    account.add_push(push(115, 9, started_s=100))
    assert account.settle(received_before_ns=140 * S) == []
    (loss,) = account.settle(received_before_ns=146 * S)
    assert (loss.kind, loss.missing_min, loss.missing_max) == (LossKind.SENT, 7, 8)
    assert account.settle(received_before_ns=200 * S) == []


def test_a_quiet_count_of_a_process_that_served_from_its_start_on_is_enough() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(ends(100.2, 100.4, 100.6))
    losses = settle(account, push(102, 3, started_s=100), push(103, 3, unwritten=5, started_s=100))
    assert [(one.kind, one.missing_min) for one in losses] == [(LossKind.NOT_WRITTEN, 5)]


def test_a_proxy_without_a_pause_that_stops_writing_is_noticed() -> None:
    account = ProxyAccount(recording_since_ns=0)
    account.add_records(busy(140))
    pushes = [push(at_s, (at_s - 100) * 10, started_s=100) for at_s in (110, 120, 130, 140)]
    assert settle(account, *pushes) == []
    (loss,) = settle(account, push(150, 400, unwritten=100, started_s=100))
    assert (loss.kind, loss.missing_min, loss.missing_max) == (LossKind.NOT_WRITTEN, 100, 111)
