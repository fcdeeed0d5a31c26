from __future__ import annotations

import pytest

from meshtrail.correlate.counter_account import LATE_NS
from meshtrail.demo.settling import count_unlogged, is_flushed, is_taken_in

SETTLED = {
    "http.admin.downstream_rq_total": 90,
    "http.inbound.downstream_rq_total": 5,
    "http.outbound.downstream_rq_total": 3,
    "http.public.downstream_rq_total": 2,
    "listener.inbound.downstream_cx_destroy": 4,
    "listener.public.downstream_cx_destroy": 1,
    "listener.outbound.downstream_cx_destroy": 70,
    "listener.admin.downstream_cx_destroy": 30,
    "access_logs.grpc_access_log.grpc_entries_flushed": 80,
    "access_logs.grpc_access_log.logs_written": 10,
    "access_logs.open_telemetry_access_log.x.logs_written": 5,
}


def test_envoy_has_sent_all_when_every_request_and_ended_connection_is_out() -> None:
    assert is_flushed(SETTLED)


@pytest.mark.parametrize(
    "name",
    [
        "http.inbound.downstream_rq_total",
        "http.outbound.downstream_rq_total",
        "http.public.downstream_rq_total",
        "listener.inbound.downstream_cx_destroy",
        "listener.outbound.downstream_cx_destroy",
        "listener.public.downstream_cx_destroy",
    ],
)
def test_one_more_of_anything_that_is_reported_is_waited_for(name: str) -> None:
    assert not is_flushed({**SETTLED, name: SETTLED[name] + 1})


def test_envoy_that_has_nothing_to_report_has_sent_all() -> None:
    assert is_flushed({})


def test_what_a_silent_envoy_took_is_what_it_has_not_sent() -> None:
    silent = {**SETTLED, "http.inbound.downstream_rq_total": 22}
    assert count_unlogged(SETTLED) == 0
    assert count_unlogged(silent) == 17


@pytest.mark.parametrize(
    ("row", "is_in"),
    [
        ({"counted": 7 + LATE_NS, "ended": 6}, True),
        ({"counted": 7 + LATE_NS, "ended": 7}, False),
        ({"counted": 7 + LATE_NS}, False),
        ({"ended": 6}, False),
    ],
)
def test_count_takes_in_what_ended_well_before_it(row: dict[str, int], *, is_in: bool) -> None:
    assert is_taken_in(row) is is_in
