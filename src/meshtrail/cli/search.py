"""``meshtrail search``."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import (
    add_data_option,
    add_json_option,
    add_key_options,
    make_parser,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from meshtrail.search.catalogue import Catalogue
    from meshtrail.search.compile import Period

_ABOUT = """
    Finds events in the sealed part of the log, newest first.

    A query is field:value terms joined by AND. A field is a column of the event schema or its short
    name
    (method, path, status, src.spiffe, dst.spiffe, decision, policy, trace, request, …; --fields
    lists them). In a value, * stands for any characters and ? for one; * alone asks for any value;
    numbers, times and durations take >= > <= <; quotes keep spaces and take everything literally.
    An empty query finds everything.

    --sql runs one SELECT over the view `events` instead; it has exactly the columns of the event
    schema. Nothing else can be read, and nothing written.

    Every row has its log_index, so `meshtrail prove` can prove it. Search itself does not check the
    log against its signatures: `meshtrail verify` does.
"""
_EXAMPLES = (
    ("meshtrail search 'decision:denied AND path:/admin/*'", "Who was turned away from /admin."),
    (
        "meshtrail search 'src.spiffe:*/sa/checkout AND status:>=500' --from -1h",
        "What failed for checkout in the last hour.",
    ),
    (
        "meshtrail search 'trace:4bf92f3577b34da6a3ce929d0e0e4736' --json",
        "Every event of one trace, as JSON lines.",
    ),
    (
        "meshtrail search --sql 'SELECT src_spiffe_id, count(*) FROM events GROUP BY ALL'",
        "Who called how often.",
    ),
)


def make_search_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail search``."""
    parser = make_parser(
        "search",
        _ABOUT,
        usage="[QUERY] [options]",
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    parser.add_argument("query", metavar="QUERY", nargs="*", help="terms, joined by AND")
    parser.add_argument("--sql", metavar="SELECT", help="one SELECT over `events`, in DuckDB's SQL")
    parser.add_argument(
        "--from",
        dest="from_",
        metavar="TIME",
        help="received at this time or later: 2026-11-21T08:00:00Z, 2026-11-21, unix nanoseconds, "
        "now, or back from now: -15m, -2h, -7d",
    )
    parser.add_argument("--to", metavar="TIME", help="received before this time")
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=100,
        help="rows at most (default: 100; not for --sql)",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        help="table for people, json for one object a line (default: table)",
    )
    add_json_option(parser, "the same as --format json")
    parser.add_argument(
        "--columns",
        metavar="A,B,…",
        help="the columns to show, by name or short name (not for --sql)",
    )
    parser.add_argument("--fields", action="store_true", help="list every field, and end")
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
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = make_search_parser()
    arguments = parser.parse_args(_with_relative_times(argv))
    if arguments.fields:
        _print_fields()
        return exit_codes.OK
    if arguments.sql is not None and (arguments.query or arguments.columns):
        parser.error("--sql stands alone: neither QUERY nor --columns go with it")
    if arguments.json and arguments.format == "table":
        parser.error("--json and --format table contradict one another")
    return _search(arguments)


def _with_relative_times(argv: Sequence[str]) -> list[str]:
    """Join ``--from -15m`` to ``--from=-15m``: argparse would take -15m for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in {"--from", "--to"} and word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _search(arguments: argparse.Namespace) -> int:
    from meshtrail.app.clock import SystemClock
    from meshtrail.app.data import open_data
    from meshtrail.cli.trust import find_trusted_key
    from meshtrail.search.catalogue import open_catalogue, segments_within
    from meshtrail.search.compile import Period, compile_query
    from meshtrail.search.engine import Engine
    from meshtrail.search.fields import find_field
    from meshtrail.search.limits import SearchLimits
    from meshtrail.search.moments import parse_moment
    from meshtrail.search.newest import find_newest
    from meshtrail.search.query import parse_query
    from meshtrail.search.table import event_columns

    now_ns = SystemClock().wall_ns()
    period = Period(
        from_ns=None if arguments.from_ is None else parse_moment(arguments.from_, now_ns=now_ns),
        to_ns=None if arguments.to is None else parse_moment(arguments.to, now_ns=now_ns),
    )
    where = compile_query(parse_query(" ".join(arguments.query)), period, now_ns=now_ns)
    limits = SearchLimits(
        memory_bytes_max=arguments.memory << 20,
        threads_count=arguments.threads,
        seconds_max=arguments.timeout,
    )
    names = [find_field(name).name for name in (arguments.columns or "").split(",") if name]
    data = open_data(arguments.data)
    trusted = find_trusted_key(arguments, is_remembering=False)
    catalogue = open_catalogue(data.layout, trusted.verifier, origin=data.origin)
    segments = segments_within(catalogue, period)
    is_json = arguments.json or arguments.format == "json"
    with Engine(segments, period, limits) as engine:
        if arguments.sql is not None:
            _print_rows(engine.run_sql(arguments.sql), is_json=is_json, columns=[])
            return exit_codes.OK
        wanted = names or (_all_columns() if is_json else event_columns())
        found = find_newest(engine, segments, where, columns=wanted, limit=arguments.limit)
        count = _print_rows(found, is_json=is_json, columns=names, is_events=not names)
    if not is_json:
        _print_footer(catalogue, period, count, arguments.limit, trusted.render())
    return exit_codes.OK


def _print_rows(
    batches: Iterable[pa.RecordBatch],
    *,
    is_json: bool,
    columns: list[str],
    is_events: bool = False,
) -> int:
    """Print rows as they come, JSON; or all at the end, aligned.

    Returns:
        How many there were.
    """
    if is_json:
        return _print_json(batches)
    from meshtrail.search.table import format_columns, format_events

    rows = []
    names = columns
    for batch in batches:
        names = batch.schema.names
        rows += batch.to_pylist()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = (
        format_events(rows, width=width) if is_events else format_columns(names, rows, width=width)
    )
    print("\n".join(lines))
    return len(rows)


def _print_json(batches: Iterable[pa.RecordBatch]) -> int:
    from meshtrail.search.json_lines import format_json_lines

    count = 0
    for batch in batches:
        for line in format_json_lines(batch):
            print(line)
        count += batch.num_rows
    return count


def _print_footer(catalogue: Catalogue, period: Period, count: int, limit: int, trust: str) -> None:
    """On standard error: what the answer rests on, so that "nothing found" can be weighed."""
    from meshtrail.search.moments import format_moment

    bounds = [
        f"{word} {format_moment(moment)}"
        for word, moment in (("from", period.from_ns), ("to", period.to_ns))
        if moment is not None
    ]
    more = "; there may be more, raise --limit" if count == limit else ""
    within = f" received {' '.join(bounds)}" if bounds else ""
    searched = f"{catalogue.tree_size} sealed entries of {catalogue.origin}"
    print(
        f"{count} found in {searched}{within}{more}",
        trust,
        sep="\n",
        file=sys.stderr,
    )


def _print_fields() -> None:
    from meshtrail.model.event import COLUMNS

    for line in _field_lines((column.short, column.name, column.about) for column in COLUMNS):
        print(line)


def _field_lines(fields: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    for short, name, about in fields:
        yield f"{short or name:<20} {name:<38} {about}".rstrip()


def _all_columns() -> list[str]:
    from meshtrail.model.event import EVENT_SCHEMA

    return list(EVENT_SCHEMA.names)
