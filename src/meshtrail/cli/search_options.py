"""The options that every searching command has: where, when, how long, how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.cli.documentation import add_data_option, add_key_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from meshtrail.search.limits import SearchLimits
    from meshtrail.search.period import Period
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos
    from meshtrail.verify import TrustedKey


def add_period_options(parser: argparse.ArgumentParser) -> None:
    """``--from`` and ``--to``."""
    parser.add_argument(
        "--from",
        dest="from_",
        metavar="TIME",
        help="received at this time or later: 2026-11-21T08:00:00Z, 2026-11-21, unix nanoseconds, "
        "now, or back from now: -15m, -2h, -7d",
    )
    parser.add_argument("--to", metavar="TIME", help="received before this time")


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Which log, whose key, and the budget."""
    add_data_option(parser)
    add_key_options(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="end the search after this long, 600 at most (default: 60)",
    )
    parser.add_argument(
        "--memory",
        metavar="MIB",
        type=int,
        default=1024,
        help="memory that the engine may use (default: 1024)",
    )
    parser.add_argument(
        "--threads", metavar="N", type=int, default=2, help="threads to search with (default: 2)"
    )


def with_relative_times(argv: Sequence[str]) -> list[str]:
    """Join ``--from -15m`` to ``--from=-15m``: argparse would take -15m for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in {"--from", "--to"} and word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def read_period(arguments: argparse.Namespace, *, now_ns: UnixNanos) -> Period:
    """The period that was asked for.

    Raises:
        QueryError: no moments, or none between them.
    """
    from meshtrail.search.period import parse_period

    return parse_period(arguments.from_, arguments.to, now_ns=now_ns)


def open_searcher(arguments: argparse.Namespace) -> tuple[Searcher, TrustedKey]:
    """A searcher of the log that was named, and what its key rests on.

    Raises:
        ConfigError: no data directory, no budget, or no pinned key where one is required.
    """
    from meshtrail.app.data import open_data
    from meshtrail.cli.trust import find_trusted_key
    from meshtrail.search.searcher import Searcher

    limits = read_limits(arguments)
    data = open_data(arguments.data)
    trusted = find_trusted_key(arguments, is_remembering=False)
    return Searcher(data.layout, trusted.verifier, origin=data.origin, limits=limits), trusted


def read_limits(arguments: argparse.Namespace) -> SearchLimits:
    """The budget that was given.

    Raises:
        ConfigError: a bound that makes no sense.
    """
    from meshtrail.search.limits import SearchLimits

    return SearchLimits(
        memory_bytes_max=arguments.memory << 20,
        threads_count=arguments.threads,
        seconds_max=arguments.timeout,
    )
