"""``meshtrail explain``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_json_option, make_parser
from meshtrail.cli.search_options import add_log_options, open_searcher

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from meshtrail.correlate.commits import CommitClue
    from meshtrail.correlate.explanation import EndFacts, Explanation, Governing

_ABOUT = """
    Shows what stands behind one event: who was at both ends, what they ran, the policy in force at
    that moment, who changed it, and the commits behind image and change.

    INDEX is the log index of an entry, as `meshtrail search` shows it. What the event does not say
    itself is joined from other entries: pods from inventories and audit events, by address and
    time; changes of policies from audit events; commits from the labels of images, annotations,
    what delivery tools say, and git logs. Each line names the entry that it rests on, and how far
    it is to be believed: attested, reported, derived, asserted. What the log does not know is said,
    too.
"""
_EXAMPLES = (
    ("meshtrail search 'decision:denied' --limit 1", "The last request that was denied."),
    ("meshtrail explain 4711", "What stands behind it."),
    ("meshtrail explain 4711 --json", "The same as one JSON object."),
)


def make_explain_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail explain``."""
    parser = make_parser(
        "explain",
        _ABOUT,
        usage="INDEX [options]",
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    parser.add_argument("index", metavar="INDEX", type=int, help="of an entry")
    add_json_option(parser, "one object")
    add_log_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_explain_parser().parse_args(argv)
    from meshtrail.app.clock import SystemClock
    from meshtrail.cli.explained_lines import explained_lines
    from meshtrail.correlate.explanation import explain

    searcher, trusted = open_searcher(arguments)
    with searcher:
        explanation = explain(searcher, arguments.index, now_ns=SystemClock().wall_ns())
    if arguments.json:
        print(json.dumps(_as_json(explanation)))
        return exit_codes.OK
    for line in explained_lines(explanation):
        print(line)
    sys.stdout.flush()
    print(trusted.render(), file=sys.stderr)
    return exit_codes.OK


def _as_json(explanation: Explanation) -> dict[str, Any]:
    from meshtrail.cli.change_rows import plain_row

    return {
        "event": plain_row(explanation.event),
        "ends": [_end(one) for one in explanation.ends],
        "is_policy_named": explanation.is_named,
        "governing": [_governing(one) for one in explanation.governing],
    }


def _end(end: EndFacts) -> dict[str, Any]:
    from meshtrail.cli.change_rows import plain_row

    return {
        "side": end.side,
        **plain_row(end.facts),
        "commits": [_clue(one) for one in end.commits],
    }


def _governing(one: Governing) -> dict[str, Any]:
    from meshtrail.cli.change_rows import change_json

    return {
        "object": one.key._asdict(),
        "in_force": one.in_force and change_json(one.in_force),
        "next": one.next and change_json(one.next),
        "commits": [_clue(clue) for clue in one.commits],
    }


def _clue(clue: CommitClue) -> dict[str, Any]:
    from meshtrail.cli.change_rows import plain_row

    return {
        "commit_id": clue.commit_id,
        "reason": clue.reason,
        "trust": clue.trust.value,
        "told_by": clue.told_by,
        "repository_url": clue.repository_url,
        "commit": clue.commit and plain_row(clue.commit),
    }
