from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli.search_options import (
    add_log_options,
    add_period_options,
    open_searcher,
    read_limits,
    read_period,
    with_relative_times,
)
from meshtrail.errors import ConfigError, QueryError
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import make_log

if TYPE_CHECKING:
    from pathlib import Path

NOW = UnixNanos(1_763_712_000_000_000_000)
MINUTE = 60_000_000_000


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_period_options(parser)
    add_log_options(parser)
    return parser.parse_args(with_relative_times(words))


@pytest.mark.parametrize("words", [("--from", "-1m"), ("--from=-1m",)])
def test_a_relative_time_is_a_value_and_no_option(words: tuple[str, ...]) -> None:
    assert read_period(parsed(*words), now_ns=NOW) == Period(from_ns=UnixNanos(NOW - MINUTE))


def test_a_period_without_a_moment_is_refused() -> None:
    with pytest.raises(QueryError):
        read_period(parsed("--from", "now", "--to", "-1m"), now_ns=NOW)


def test_the_budget_is_what_was_given() -> None:
    assert read_limits(parsed()) == SearchLimits()
    words = ("--timeout", "5", "--memory", "64", "--threads", "1")
    assert read_limits(parsed(*words)) == SearchLimits(
        memory_bytes_max=64 << 20, threads_count=1, seconds_max=5
    )
    with pytest.raises(ConfigError):
        read_limits(parsed("--timeout", "0"))


def test_a_searcher_of_the_named_log_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    log = make_log(tmp_path / "data")
    log.add_segment([{}] * 2)
    searcher, trusted = open_searcher(parsed("--data", str(log.layout.root)))
    with searcher:
        assert searcher.pin().tree_size == 2
    assert not trusted.is_pinned
