"""``meshtrail changes``."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Sequence

_ABOUT = """
    Lists the changes of what governs the mesh that took effect: policies, routes, gateways, RBAC;
    who made them, and what each did to security. By the two states of an object where the log has
    both, else by what the request alone says: `unclear` where that does not tell.

    QUERY chooses among them, in the language of `meshtrail search`; without one all are listed.
    Calls that were refused, or only read, are not changes: `meshtrail search` finds those.
"""
_EXAMPLES = (
    ("meshtrail changes --from -1d", "What was changed since yesterday."),
    ("meshtrail changes 'actor:*@contractor.example'", "What some people changed."),
    ("meshtrail changes 'object.namespace:shop' --json", "One namespace, an object a line."),
)
_TITLES: Final = ("TIME", "ACTOR", "VERB", "OBJECT", "EFFECT", "SPEC", "ENTRY")
_ELASTIC: Final = (False, True, False, True, True, False, False)


def make_changes_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail changes``."""
    parser = make_parser(
        "changes",
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
    parser.add_argument("query", metavar="QUERY", nargs="?", default="", help="which of them")
    add_period_options(parser)
    add_json_option(parser, "one object a line")
    add_log_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_changes_parser().parse_args(with_relative_times(argv))
    from meshtrail.app.clock import SystemClock
    from meshtrail.cli.change_rows import change_cells, change_json
    from meshtrail.correlate.config_history import find_changes

    now_ns = SystemClock().wall_ns()
    period = read_period(arguments, now_ns=now_ns)
    searcher, trusted = open_searcher(arguments)
    with searcher:
        changes = find_changes(searcher, arguments.query, period=period, now_ns=now_ns)
    if arguments.json:
        for change in changes:
            print(json.dumps(change_json(change)))
        return exit_codes.OK
    from meshtrail.search.table import AlignedLines

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = AlignedLines(_TITLES, _ELASTIC, width=width)
    lines.add(map(change_cells, changes))
    print("\n".join(lines.take()))
    sys.stdout.flush()
    print(f"{len(changes)} changes", trusted.render(), sep="\n", file=sys.stderr)
    return exit_codes.OK
