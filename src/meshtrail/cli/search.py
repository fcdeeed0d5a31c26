"""``meshtrail search``."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_json_option, make_parser
from meshtrail.cli.search_options import (
    add_log_options,
    add_period_options,
    open_searcher,
    read_limits,
    read_period,
    with_relative_times,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from meshtrail.cli.workload_view import WorkloadView
    from meshtrail.search.catalogue import Catalogue
    from meshtrail.search.period import Period
    from meshtrail.search.plan import Plan, SearchRequest
    from meshtrail.search.rows_out import RowWriter
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos
    from meshtrail.verify import TrustedKey

FORMATS: Final = ("table", "json", "csv", "arrow")
FOLLOW_SECONDS: Final = 0.25
"""How often a followed log is looked at: as often as it is sealed."""

_ABOUT = """
    Finds events in the sealed part of the log, newest first.

    A query is made of field:value terms with AND, OR, NOT and parentheses; terms side by side are
    joined by AND. A field is a column of the event schema or its short name (method, path, status,
    src.spiffe, dst.sa, decision, policy, trace, request, …; --fields lists them); spiffe, sa, ip,
    port, namespace and domain alone mean either end. In a value, * stands for any characters and ?
    for one; * alone asks for any value; quotes take everything literally. Numbers, times and
    durations take >= > <= < and [LOW TO HIGH]; addresses take networks (10.1.0.0/16);
    path:(/a, /b) is a list and path:~"^/v[0-9]+/" a regular expression. An empty query finds
    everything. docs/query-language.md has it all.

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
        "meshtrail search 'src.sa:checkout AND NOT src.ip:(10.0.0.5, 10.0.1.0/24)'",
        "Where checkout's certificate was used that is not checkout.",
    ),
    ("meshtrail search -f 'decision:denied'", "Every denial from now on, as it is sealed."),
    (
        "meshtrail search 'trace:4bf92f3577b34da6a3ce929d0e0e4736' --json",
        "Every event of one trace, as JSON lines.",
    ),
    (
        "meshtrail search 'decision:denied' --with-workloads",
        "Who was turned away, with the pods that had the addresses then.",
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
    parser.add_argument("query", metavar="QUERY", nargs="*", help="what to find")
    parser.add_argument("--sql", metavar="SELECT", help="one SELECT over `events`, in DuckDB's SQL")
    add_period_options(parser)
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=100,
        help="rows at most (default: 100; not for --sql)",
    )
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="show the newest matches, oldest first, and then each new one as it is sealed; "
        "until Ctrl-C",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="table for people, json for one object a line, csv, or an arrow stream "
        "(default: table)",
    )
    add_json_option(parser, "the same as --format json")
    parser.add_argument(
        "--columns",
        metavar="A,B,…",
        help="the columns to show, by name or short name (not for --sql)",
    )
    parser.add_argument(
        "--with-workloads",
        action="store_true",
        help="show besides who had the addresses of both ends then: pod, image, commit and the "
        "entry that says so, by docs/inventory.md (not for --sql and --follow)",
    )
    parser.add_argument(
        "--explain", action="store_true", help="show what would be read and how, and end"
    )
    parser.add_argument("--fields", action="store_true", help="list every field, and end")
    add_log_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = make_search_parser()
    arguments = parser.parse_args(with_relative_times(argv))
    if arguments.fields:
        _print_fields()
        return exit_codes.OK
    if arguments.sql is not None and (
        arguments.query or arguments.columns or arguments.follow or arguments.explain
    ):
        parser.error("--sql stands alone: no QUERY, --columns, --follow or --explain go with it")
    if arguments.with_workloads and (arguments.sql is not None or arguments.follow):
        parser.error(
            "--with-workloads is for what was found: what is known of pods arrives after the events"
        )
    if arguments.json and arguments.format not in {None, "json"}:
        parser.error(f"--json and --format {arguments.format} contradict one another")
    if arguments.format == "arrow" and sys.stdout.isatty():
        parser.error("--format arrow is for programs: write it to a file or a pipe")
    arguments.format = "json" if arguments.json else arguments.format or "table"
    return _search(arguments)


def _search(arguments: argparse.Namespace) -> int:
    from meshtrail.app.clock import SystemClock

    clock = SystemClock()
    now_ns = clock.wall_ns()
    period = read_period(arguments, now_ns=now_ns)
    request = _read_request(arguments, period)
    if arguments.sql is not None:
        _search_sql(arguments, period)
        searcher, trusted = open_searcher(arguments)
        with searcher:
            _print_account(searcher, trusted, period, now_ns=now_ns)
        return exit_codes.OK
    searcher, trusted = open_searcher(arguments)
    with searcher:
        plan = searcher.plan(request, now_ns=now_ns)
        if arguments.explain:
            _print_plan(plan, is_json=arguments.json)
            return exit_codes.OK
        if arguments.follow:
            print(trusted.render(), file=sys.stderr)
            _follow(searcher, plan, _writer(arguments, is_events=not arguments.columns))
        view = _view(arguments, searcher, now_ns=now_ns)
        writer = _writer(arguments, is_events=not arguments.columns)
        count = _write(searcher, plan, writer, view)
        if arguments.format == "table":
            _print_footer(plan.catalogue, period, count, arguments.limit)
        _print_account(searcher, trusted, period, now_ns=now_ns)
    return exit_codes.OK


def _print_account(searcher: Searcher, trusted: TrustedKey, period: Period, *, now_ns: int) -> None:
    """Say what an answer rests on: how complete the log is, and whose key it is checked with."""
    from meshtrail.correlate.completeness import read_completeness

    account = read_completeness(searcher, period, now_ns=now_ns)
    print(account.summary(), file=sys.stderr)
    print(trusted.render(), file=sys.stderr)


def _search_sql(arguments: argparse.Namespace, period: Period) -> None:
    """Run SQL in a process of its own: one that does not end by itself is ended."""
    from meshtrail.app.data import open_data
    from meshtrail.app.sql_runner import SqlRunner
    from meshtrail.cli.trust import find_trusted_key

    limits = read_limits(arguments)
    data = open_data(arguments.data)
    key = find_trusted_key(arguments, is_remembering=False).verifier
    with closing(SqlRunner(data.layout, key, limits)) as runner:
        writer = _writer(arguments, is_events=False)
        for batch in runner.run_sql(arguments.sql, period).batches:
            writer.write(batch)
        writer.close()


def _read_request(arguments: argparse.Namespace, period: Period) -> SearchRequest:
    from meshtrail.search.fields import find_field
    from meshtrail.search.plan import SearchRequest
    from meshtrail.search.table import event_columns

    if arguments.with_workloads:
        from meshtrail.cli.workload_view import needed_columns

        columns = needed_columns(_view_columns(arguments))
    else:
        names = [find_field(name).name for name in _chosen_columns(arguments)]
        columns = names or (event_columns() if arguments.format == "table" else [])
    return SearchRequest(
        query=" ".join(arguments.query),
        period=period,
        columns=tuple(columns),
        limit=arguments.limit,
    )


def _view_columns(arguments: argparse.Namespace) -> list[str]:
    """The columns of events and of the view that are to be shown."""
    from meshtrail.cli.workload_view import ALL_COLUMNS, find_column
    from meshtrail.search.table import event_columns

    names = [find_column(name) for name in _chosen_columns(arguments)]
    is_readable = arguments.format == "table"
    return names or (event_columns(with_pods=True) if is_readable else list(ALL_COLUMNS))


def _view(
    arguments: argparse.Namespace, searcher: Searcher, *, now_ns: UnixNanos
) -> WorkloadView | None:
    """What adds to found events who had which address; None where that was not asked for."""
    from meshtrail.cli.workload_view import WorkloadView
    from meshtrail.correlate.workloads import read_history

    if not arguments.with_workloads:
        return None
    return WorkloadView(read_history(searcher, now_ns=now_ns), _view_columns(arguments))


def _chosen_columns(arguments: argparse.Namespace) -> list[str]:
    """Columns as they were asked for, by name or short name; none for SQL."""
    return [name for name in (arguments.columns or "").split(",") if name]


def _writer(arguments: argparse.Namespace, *, is_events: bool) -> RowWriter:
    from meshtrail.search import rows_out
    from meshtrail.search.table import TableLines

    sys.stdout.flush()
    sink = sys.stdout.buffer
    match arguments.format:
        case "json":
            return rows_out.JsonWriter(sink)
        case "csv":
            return rows_out.CsvWriter(sink)
        case "arrow":
            return rows_out.ArrowWriter(sink)
        case _:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            titles = () if is_events else _chosen_columns(arguments)
            lines = TableLines(
                is_events=is_events,
                width=width,
                titles=titles,
                with_pods=arguments.with_workloads,
            )
            return rows_out.TableWriter(sink, lines, is_following=arguments.follow)


def _write(searcher: Searcher, plan: Plan, writer: RowWriter, view: WorkloadView | None) -> int:
    """Write what a plan finds as it comes.

    Returns:
        How many rows there were.
    """
    count = 0
    for batch in searcher.find(plan):
        writer.write(batch if view is None else view.show(batch))
        count += batch.num_rows
    writer.close()
    return count


def _follow(searcher: Searcher, plan: Plan, writer: RowWriter) -> None:
    """Write the newest matches in their order, then what is sealed, for ever."""
    import pyarrow as pa

    from meshtrail.app.clock import SystemClock
    from meshtrail.search.follow import Follower

    found = pa.Table.from_batches(searcher.find(plan)) if plan.steps else None
    if found is not None:
        for batch in found.take(pa.array(range(found.num_rows - 1, -1, -1))).to_batches():
            writer.write(batch)
    follower = Follower(searcher, plan.request, from_size=plan.catalogue.tree_size)
    while True:
        for batch in follower.read_new(now_ns=SystemClock().wall_ns()):
            writer.write(batch)
        sys.stdout.buffer.flush()
        time.sleep(FOLLOW_SECONDS)  # a log has no way to call us: it is files


def _print_plan(plan: Plan, *, is_json: bool) -> None:
    facts = plan.explain()
    if is_json:
        print(json.dumps(facts))
        return
    for line in _plan_lines(facts):
        print(line)


def _plan_lines(facts: dict[str, object]) -> Iterator[str]:
    yield f"query     {facts['query'] or '(everything)'}"
    yield f"log       {facts['log']}, {facts['tree_size']:,} entries"
    yield (
        f"reads     at most {facts['entries_read_at_most']:,} entries in "
        f"{facts['segments_read_at_most']} of {facts['segments_live']} segments"
    )
    yield f"order     {facts['order']}, until {facts['limit']} are found"
    steps = facts["steps"]
    assert isinstance(steps, list)  # noqa: S101 - plan.explain says so
    for step in steps:
        yield f"step      entries {step['from']:,} to {step['to']:,}, {step['segments']} segments"
    branches = facts["branches"]
    assert isinstance(branches, list)  # noqa: S101 - plan.explain says so
    for branch in branches:
        yield f"where     {branch['sql']}"
        yield f"          with {', '.join(map(repr, branch['values'])) or 'no values'}"


def _print_footer(catalogue: Catalogue, period: Period, count: int, limit: int) -> None:
    """On standard error: what the answer rests on, so that "nothing found" can be weighed."""
    from meshtrail.search.moments import format_moment

    sys.stdout.flush()
    bounds = [
        f"{word} {format_moment(moment)}"
        for word, moment in (("from", period.from_ns), ("to", period.to_ns))
        if moment is not None
    ]
    more = "; there may be more, raise --limit" if count == limit else ""
    within = f" received {' '.join(bounds)}" if bounds else ""
    searched = f"{catalogue.tree_size} sealed entries of {catalogue.origin}"
    print(f"{count} found in {searched}{within}{more}", file=sys.stderr)


def _print_fields() -> None:
    from meshtrail.model.columns import COLUMNS
    from meshtrail.search.fields import EITHER_END

    for column in COLUMNS:
        print(f"{column.short or column.name:<20} {column.name:<38} {column.about}".rstrip())
    for name, (src, dst) in EITHER_END.items():
        print(f"{name:<20} {'':<38} {src.column.short} or {dst.column.short}")
