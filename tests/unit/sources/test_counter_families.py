from __future__ import annotations

import pytest

from meshtrail.sources.counter_families import (
    DOOR_LABELS,
    FAMILIES,
    NAME_BYTES_MAX,
    find_counter,
    is_logged,
)


def found(name: str) -> tuple[str, str | None] | None:
    counter = find_counter(name.encode())
    return counter and (counter.family.field, counter.door)


@pytest.mark.parametrize(
    ("name", "field", "door"),
    [
        ("http.inbound.downstream_rq_total", "requests_started", "inbound"),
        ("http.inbound_0.0.0.0_80;.downstream_rq_active", "requests_active", "inbound_0.0.0.0_80;"),
        ("http.downstream_rq_total", "requests_started", None),
        ("listener.0.0.0.0_15006.downstream_cx_total", "connections_started", "0.0.0.0_15006"),
        ("listener.plain.ssl.fail_verify_no_cert", "handshakes_failed", "plain"),
        ("listener.ssl.connection_error", "handshakes_failed", None),
        ("tcp.inbound_tcp.downstream_cx_total", "tcp_started", "inbound_tcp"),
        ("access_logs.grpc_access_log.logs_written", "logs_written", None),
        (
            "access_logs.open_telemetry_access_log.shop.logs_dropped",
            "otlp_logs_dropped",
            "shop",
        ),
        ("access_logs.open_telemetry_access_log.logs_dropped", "otlp_logs_dropped", None),
        (
            "cluster.outbound|4317||meshtrail.meshtrail.svc.cluster.local.upstream_cx_connect_fail",
            "log_connect_failures",
            "outbound|4317||meshtrail.meshtrail.svc.cluster.local",
        ),
        ("server.hot_restart_epoch", "epoch", None),
    ],
)
def test_names_with_and_without_tags_say_the_same(name: str, field: str, door: str | None) -> None:
    assert found(name) == (field, door)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "http",
        "http.downstream_rq_2xx",
        "http.admin.downstream_rq_total",
        "http.async-client.downstream_rq_total",
        "http.stats.downstream_rq_active",
        "http..downstream_rq_total",
        "listener.admin.downstream_cx_total",
        "listener.plain.worker_0.downstream_cx_total",
        "listener.admin.main_thread.downstream_cx_total",
        "listener.plain.http.inbound.downstream_rq_completed",
        "http.inbound.user_agent.android.downstream_rq_total",
        "http.shop.v1.user_agent.ios.downstream_rq_completed",
        "http.user_agent.downstream_rq_total",
        "cluster.outbound|80||other.upstream_cx_connect_fail",
        "cluster.meshtrail.upstream_cx_total",
        "server.memory_allocated",
        "xhttp.inbound.downstream_rq_total",
        "http.inbound.downstream_rq_total2",
    ],
)
def test_counters_that_count_no_records_are_left_out(name: str) -> None:
    assert found(name) is None


def test_names_that_are_no_text_or_too_long_are_left_out() -> None:
    assert find_counter(b"http.\xff.downstream_rq_total") is None
    tail = ".downstream_rq_total"
    longest = "http." + "x" * (NAME_BYTES_MAX - len(tail) - len("http.")) + tail
    assert found(longest) is not None
    assert found(longest.replace("x.", "xx.")) is None


def test_every_family_is_found_by_both_of_its_names() -> None:
    for family in FAMILIES:
        bare = ".".join(filter(None, [family.scope, family.tail]))
        counter = find_counter(bare.encode())
        assert counter is not None
        assert counter.family is family
        if family.scope:
            full = f"{family.scope}.meshtrail.{family.tail}"
            assert found(full) == (family.field, "meshtrail")


def test_label_that_is_missing_or_names_an_unlogged_door_makes_no_record() -> None:
    assert is_logged("http", "inbound")
    assert not is_logged("http", "admin")
    assert not is_logged("http", None)
    assert is_logged("", None)
    assert not is_logged("cluster", "outbound|80||other")
    assert set(DOOR_LABELS) < {family.scope for family in FAMILIES}
