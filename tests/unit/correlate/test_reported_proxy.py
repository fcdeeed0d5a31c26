from __future__ import annotations

import json

from meshtrail.correlate.proxy_account import ProxyAccount
from meshtrail.correlate.reported_proxy import SHARED_NS, ReportedProxy

S = 1_000_000_000


def reported(*pushes: tuple[int, float, float], is_many: bool = False) -> ReportedProxy:
    """A reporter with pushes: the stream, when, and since when the process runs."""
    proxy = ReportedProxy(ProxyAccount(recording_since_ns=0), is_many=is_many)
    take(proxy, *pushes)
    return proxy


def take(proxy: ReportedProxy, *pushes: tuple[int, float, float]) -> None:
    for stream, at_s, started_s in pushes:
        at_ns = round(at_s * S)
        detail = json.dumps({"uptime_s": int(at_s - started_s)})
        proxy.take_push(detail, at_ns=at_ns, received_ns=at_ns, stream=stream)


ALTERNATING = [(1, 1_000, 100), (2, 1_004, 500), (1, 1_010, 100)]


def test_a_process_that_goes_on_beside_its_successor_shares_its_name() -> None:
    proxy = reported(*ALTERNATING)
    assert proxy.is_shared
    assert not proxy.account.is_waiting
    assert proxy.interval_ns == 0


def test_processes_one_after_the_other_share_nothing() -> None:
    proxy = reported((1, 1_000, 100), (2, 1_010, 1_005), (3, 1_020, 1_015), (3, 1_030, 1_015))
    assert not proxy.is_shared
    assert proxy.interval_ns == 10 * S


def test_a_process_that_counts_on_two_ways_shares_nothing() -> None:
    assert not reported(*((1 + at % 2, 1_000 + 5 * at, 100) for at in range(20))).is_shared


def test_a_name_is_of_one_again_when_only_one_has_counted_for_long() -> None:
    proxy = reported(*ALTERNATING)
    are_shared = []
    for at_s in (1_010, 1_020):
        take(proxy, (1, at_s + SHARED_NS / S, 100))
        are_shared.append(proxy.is_shared)
    assert are_shared == [True, False]
    assert proxy.account.is_waiting


def test_who_stands_for_many_is_held_to_no_count() -> None:
    proxy = reported((1, 1_000, 100), (1, 1_010, 100), is_many=True)
    assert proxy.push is None
    assert proxy.is_at_rest


def test_a_reporter_is_at_rest_when_nothing_is_awaited_of_it() -> None:
    proxy = reported((1, 1_000, 100), (1, 1_010, 100))
    proxy.account.settle(received_before_ns=2_000 * S)
    assert list(proxy.minutes.close(2_000 * S))
    are_at_rest = [proxy.is_at_rest]
    proxy.is_silent = True
    are_at_rest.append(proxy.is_at_rest)
    take(proxy, (1, 1_020, 100))
    assert [*are_at_rest, proxy.is_at_rest] == [False, True, False]
