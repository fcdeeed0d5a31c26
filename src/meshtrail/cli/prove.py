"""``meshtrail prove``."""

from __future__ import annotations

import json
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
    Writes what a stranger needs to check entries offline, without the log and without trust in
    anyone here.

    --out writes <index>.tlog-proof and <index>.entry for each entry: the C2SP format, checked by
    `meshtrail check` or any other tlog tool. --bundle writes one zip with the entries, their
    proofs, the signed checkpoint, a readable rendering, and a checker of one file that needs only
    Python.
"""
_EXAMPLES = (
    ("meshtrail prove 70412 70413 --out evidence", "Proofs of two entries."),
    (
        "meshtrail prove prod/eu-1/1f2e3d4c#70412 --bundle case.zip",
        "A bundle to hand over; the full name of an entry is refused by any other log.",
    ),
)


def make_prove_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail prove``."""
    parser = make_parser(
        "prove",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.DURABILITY,
            exit_codes.CONFIG,
        ),
    )
    parser.add_argument(
        "indexes", metavar="INDEX", nargs="+", help="log_index of an entry, or ORIGIN#INDEX"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="DIR", type=Path, help="write .tlog-proof files here")
    where.add_argument("--bundle", metavar="FILE.zip", type=Path, help="write a case bundle")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    add_data_option(parser)
    add_key_options(parser)
    add_json_option(parser, "what was written as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_prove_parser().parse_args(argv)
    from meshtrail.app.data import open_data
    from meshtrail.cli.trust import find_trusted_key
    from meshtrail.verify import prove, write_bundle

    origin = open_data(arguments.data).origin
    indexes = [parse_entry_name(text, origin=origin) for text in arguments.indexes]
    trusted = find_trusted_key(arguments, is_remembering=True)
    if arguments.out is not None:
        report = prove(
            arguments.data,
            indexes,
            trusted=trusted,
            out=arguments.out,
            is_overwriting=arguments.overwrite,
        )
    else:
        report = write_bundle(
            arguments.data,
            indexes,
            trusted=trusted,
            path=arguments.bundle,
            is_overwriting=arguments.overwrite,
        )
    print(
        json.dumps(report.as_json(), default=str)
        if arguments.json
        else report.render().rstrip("\n")
    )
    return exit_codes.OK


def parse_entry_name(text: str, *, origin: str) -> int:
    """The index in ``INDEX`` or ``ORIGIN#INDEX``.

    Raises:
        QueryError: neither, or an entry of another log.
    """
    from meshtrail.errors import NoteSyntaxError, QueryError
    from meshtrail.note import parse_decimal

    named, hash_sign, digits = text.rpartition("#")
    if hash_sign and named != origin:
        raise QueryError(f"{text!r} is an entry of another log: this one is {origin}")
    try:
        return parse_decimal(digits)
    except NoteSyntaxError as error:
        raise QueryError(f"{text!r} is no entry: want INDEX or ORIGIN#INDEX") from error
