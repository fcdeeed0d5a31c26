"""``meshtrail check``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_json_option, add_key_options, make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_ABOUT = """
    Checks a .tlog-proof file or a case bundle, offline: that each entry is, byte for byte, in the
    log whose checkpoint was signed. It needs no data directory.

    The answer is worth as much as the key: give --key as the log's owner gave it to you. Without a
    key from outside it says "key NOT pinned" and shows the fingerprint to compare.
"""
_EXAMPLES = (
    (
        "meshtrail check case.zip --key log.vkey --require-pin",
        "A bundle, against a key from outside.",
    ),
    (
        "meshtrail check evidence/70412.tlog-proof",
        "A proof; its entry lies beside it as 70412.entry.",
    ),
)


def make_check_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail check``."""
    parser = make_parser(
        "check",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(exit_codes.TAMPERED, exit_codes.BAD_INPUT, exit_codes.CONFIG),
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a .tlog-proof file or a bundle")
    parser.add_argument(
        "--entry",
        metavar="FILE",
        type=Path,
        help="the entry that a .tlog-proof is about (default: the .entry file beside it)",
    )
    add_key_options(parser)
    add_json_option(parser, "the report as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_check_parser().parse_args(argv)
    from meshtrail.verify import check_file, default_pins_file

    report = check_file(
        arguments.file,
        key_option=arguments.key,
        pins_file=default_pins_file(os.environ),
        is_pin_required=arguments.require_pin,
        entry=arguments.entry,
    )
    print(json.dumps(report.as_json()) if arguments.json else report.render().rstrip("\n"))
    return exit_codes.OK
