"""``meshtrail completeness``."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_json_option, make_parser
from meshtrail.cli.search_options import (
    add_log_options,
    add_period_options,
    open_searcher,
    read_period,
    with_relative_times,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from meshtrail.correlate.completeness import Completeness, ReporterCompleteness

_ABOUT = """
    Says how complete a period is: for each reporter what it counted itself, what came in, what the
    other end of its requests reports, and what is missing, with the cause where one is known.

    Proxies lose records without a word: while the collector is down, when a buffer is full, when a
    connection breaks, and when somebody turns their access log off. `meshtrail up` keeps account of
    it, from the counters that proxies send (see `meshtrail emit-config`) and from the two ends of
    each request, and seals the account with everything else. A number is exact where the counters
    allow it, and two numbers are bounds.

    No log can prove that what was never recorded and never counted did not happen.
"""
_EXAMPLES = (
    ("meshtrail completeness --from -1h", "The last hour."),
    (
        "meshtrail completeness --from 2026-11-21T08:00Z --to 2026-11-21T09:00Z --json",
        "An hour, as one JSON object; times in unix nanoseconds.",
    ),
    ("meshtrail search 'kind:gap' --from -1h", "The gaps themselves, entry by entry."),
)


def make_completeness_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail completeness``."""
    parser = make_parser(
        "completeness",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
        ),
    )
    add_period_options(parser)
    add_json_option(parser, "the account as one JSON object")
    add_log_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_completeness_parser().parse_args(with_relative_times(argv))
    from meshtrail.app.clock import SystemClock
    from meshtrail.correlate.completeness import read_completeness

    now_ns = SystemClock().wall_ns()
    period = read_period(arguments, now_ns=now_ns)
    searcher, trusted = open_searcher(arguments)
    with searcher:
        found = read_completeness(searcher, period, now_ns=now_ns)
    if arguments.json:
        print(json.dumps({**found.as_json(), "summary": found.summary(), **trusted.as_json()}))
        return exit_codes.OK
    for line in _lines(found):
        print(line)
    sys.stdout.flush()
    print(found.summary(), file=sys.stderr)
    print(trusted.render(), file=sys.stderr)
    return exit_codes.OK


def _lines(found: Completeness) -> Iterator[str]:
    from meshtrail.search.table import AlignedLines

    titles = ["REPORTER", "RECEIVED", "PAIRED", "MISSING", "WHY"]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = AlignedLines(titles, [True, False, False, False, True], width=width)
    lines.add(_cells(one) for one in found.reporters)
    yield from lines.take()


def _cells(one: ReporterCompleteness) -> list[str]:
    from meshtrail.correlate.completeness import format_bounds
    from meshtrail.search.table import NULL, escape

    reasons = [
        f"{missing.cause} {format_bounds(missing.missing_min, missing.missing_max)}"
        for missing in one.missing
    ]
    reasons += [noticed.cause for noticed in one.noticed]
    paired = f"{one.paired:,} of {one.expected:,}" if one.expected else NULL
    missing = format_bounds(one.missing_min, one.missing_max) if one.missing else "0"
    received = f"{one.received:,}" if one.minutes_count else NULL
    return [escape(one.about), received, paired, missing, ", ".join(reasons) or NULL]
