"""A sidecar of the demo reports just as `meshtrail emit-config envoy` has any Envoy report."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.demo.reporting import (
    LISTENER_LOG,
    PUSH_INTERVAL,
    AccessLogger,
    AccessLogService,
    OtlpAccessLogger,
    process_wide,
    tracing,
)
from meshtrail.wiring.envoy import EnvoyWiring, format_envoy
from meshtrail.wiring.values import parse_endpoint

Config = dict[str, Any]


def emitted(*, is_otlp: bool = False) -> Config:
    collector = parse_endpoint("127.0.0.1:4317")
    wiring = EnvoyWiring(collector=collector, service_name="payments.shop", is_otlp=is_otlp)
    pieces: Config = yaml.safe_load(format_envoy(wiring))
    return pieces


@pytest.mark.parametrize(
    ("logger", "is_otlp"), [(AccessLogService(), False), (OtlpAccessLogger(), True)]
)
def test_access_logs_are_those_that_are_printed(logger: AccessLogger, *, is_otlp: bool) -> None:
    pieces = emitted(is_otlp=is_otlp)
    assert [logger.http()] == pieces["http_connection_manager"]["access_log"]
    assert [logger.connections()] == pieces["listener"]["access_log"]
    assert LISTENER_LOG in str(logger.connections())


def test_spans_are_asked_for_as_printed() -> None:
    assert tracing("payments.shop") == emitted()["http_tracing"]["tracing"]


def test_counters_are_sent_as_printed_only_more_often() -> None:
    printed = emitted()["bootstrap"]
    assert process_wide()["stats_sinks"] == printed["stats_sinks"]
    assert printed.keys() <= process_wide().keys()
    assert (
        PUSH_INTERVAL == process_wide()["stats_flush_interval"] != printed["stats_flush_interval"]
    )
