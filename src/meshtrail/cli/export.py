"""``meshtrail export``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
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
    from collections.abc import Sequence

_ABOUT = """
    Writes the log in a form that other tools read.

    tlog: the static tlog-tiles layout of C2SP (checkpoint, tile/…, tile/entries/…), ready for any
    web server and any tlog client. Run it again on the same folder to bring it up to date: only
    what is new is written, the checkpoint last, so that readers always find a whole tree.
"""
_EXAMPLES = (("meshtrail export tlog --out public", "The published tree as static files."),)


def make_export_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail export``."""
    parser = make_parser(
        "export",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.DURABILITY,
            exit_codes.CONFIG,
        ),
    )
    parser.add_argument("form", metavar="FORM", choices=("tlog",), help="tlog")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="the folder to write, made if need be",
    )
    add_data_option(parser)
    add_key_options(parser)
    add_json_option(parser, "what was written as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_export_parser().parse_args(argv)
    from meshtrail.app.data import open_data
    from meshtrail.cli.progress import ProgressLine
    from meshtrail.cli.trust import find_trusted_key
    from meshtrail.store.durable import Disk
    from meshtrail.store.export_tlog import export_tlog

    data = open_data(arguments.data)
    trusted = find_trusted_key(arguments, is_remembering=True)
    with ProgressLine() as progress:
        report = export_tlog(
            Disk(),
            data.layout,
            trusted.verifier,
            origin=data.origin,
            out=arguments.out,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps({**asdict(report), "out": str(arguments.out), **trusted.as_json()}))
    else:
        print(
            f"{report.tree_size} entries of {report.origin} are in {arguments.out}: "
            f"{report.files_count} files written, {report.old_size} entries were there before"
        )
        print(trusted.render())
    return exit_codes.OK
