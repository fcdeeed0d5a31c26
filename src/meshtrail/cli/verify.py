"""``meshtrail verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import (
    add_data_option,
    add_json_option,
    add_key_options,
    make_parser,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from meshtrail.verify import AuditReport

_ABOUT = """
    Audits a data directory that it does not trust: every signed checkpoint against every other, the
    chain of manifests, each file's digest before it is parsed, every entry re-hashed against the
    tree, the numbering of streams, the times. It names the exact entry, file or checkpoint that is
    wrong, and tells tampering from what a crash explains. It changes nothing, and may run while the
    log is written.

    Trust starts with the key: give --key as the log's owner gave it to you, on another way than the
    data. Without one the pinned key is used; without a pin the key that the directory claims, and
    that proves only that the directory agrees with itself: compare the fingerprint.
"""
_EXAMPLES = (
    ("meshtrail verify", "The whole log in ./meshtrail-data, against the pinned key."),
    (
        "meshtrail verify --data /mnt/copy --key log.vkey --require-pin --json",
        "A copy, against a key from outside, for a script.",
    ),
    (
        "meshtrail verify --deep --lock-record /other-volume/heads",
        "Derive every event again, and hold the log against the record of heads: finds a rollback.",
    ),
)


def make_verify_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail verify``."""
    parser = make_parser(
        "verify",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    add_data_option(parser)
    add_key_options(parser)
    parser.add_argument(
        "--lock-record",
        metavar="FILE",
        type=Path,
        help="the file on another volume to which `up --lock-record` appends each signed head",
    )
    parser.add_argument(
        "--range",
        metavar="A-B",
        help="read only entries A up to, not with, B; all that is signed is checked nevertheless",
    )
    parser.add_argument(
        "--deep", action="store_true", help="derive every event from its entry again, and compare"
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=2,
        help="processes that read entries beside this one; 1: this one alone (default: 2)",
    )
    add_json_option(parser, "the report as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_verify_parser().parse_args(argv)
    from meshtrail.cli.progress import ProgressLine
    from meshtrail.cli.trust import find_trusted_key
    from meshtrail.errors import TamperError
    from meshtrail.verify import audit, parse_index_range

    trusted = find_trusted_key(arguments, is_remembering=True)
    index_range = parse_index_range(arguments.range) if arguments.range else None
    try:
        with ProgressLine() as progress:
            report = audit(
                arguments.data,
                trusted=trusted,
                lock_record=arguments.lock_record,
                index_range=index_range,
                is_deep=arguments.deep,
                workers=arguments.workers,
                progress=progress,
            )
    except TamperError as error:
        # What else was found stands in the report; an error before the audit began has none.
        if (found := error.facts.get("report")) is not None:
            _print_report(cast("AuditReport", found), is_json=arguments.json)
        raise
    _print_report(report, is_json=arguments.json)
    return exit_codes.OK


def _print_report(report: AuditReport, *, is_json: bool) -> None:
    if is_json:
        print(json.dumps(report.as_json(), default=str), flush=True)
    else:
        print(report.render(), end="", flush=True)
