"""How every command documents itself: what it does, its options, examples, exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from meshtrail.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH_MAX: Final = 100
_OPTION_COLUMN: Final = 26
_ALWAYS: Final = (exit_codes.OK, exit_codes.USAGE)


class Parser(argparse.ArgumentParser):
    """Arguments of one command; its help reads like a page of documentation."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is, and end with status 2."""
        sys.stderr.write(f"{self.prog}: {message}\nSee {self.prog} --help\n")
        sys.exit(exit_codes.USAGE)


def make_parser(
    name: str,
    about: str,
    *,
    examples: Sequence[tuple[str, str]],
    exits: Sequence[int],
    usage: str | None = None,
) -> Parser:
    """A parser for ``meshtrail <name>``.

    Args:
        name: of the command, with its subcommand if there is one.
        about: paragraphs separated by empty lines; wrapped here.
        examples: command lines and what each is for.
        exits: exit statuses besides 0 and 2 that the command is known for.
        usage: the arguments, where argparse's own line would not say enough.
    """
    return Parser(
        prog=f"meshtrail {name}",
        usage=f"meshtrail {name} {usage}" if usage else None,
        description=_wrap(about),
        epilog=_examples(examples) + "\n" + _exits(exits),
        formatter_class=_formatter,
        allow_abbrev=False,
    )


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """``--data``, which most commands have."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        default=Path(os.environ.get("MESHTRAIL_DATA", "meshtrail-data")),
        help="the data directory (default: $MESHTRAIL_DATA, else ./meshtrail-data)",
    )


def add_json_option(parser: argparse.ArgumentParser, what: str) -> None:
    """``--json``, for commands that print facts."""
    parser.add_argument("--json", action="store_true", help=f"{what}; errors are JSON too")


def add_key_options(parser: argparse.ArgumentParser) -> None:
    """Where trust in the log's key comes from."""
    parser.add_argument(
        "--key",
        metavar="VKEY|FILE",
        help="the log's verifier key, or a file that holds it, as its owner gave it to you "
        "(default: the key pinned for this log in $MESHTRAIL_HOME/pins)",
    )
    parser.add_argument(
        "--require-pin",
        action="store_true",
        help="fail (78) unless the key comes from --key or a pin",
    )


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = min(WIDTH_MAX, _terminal_width())
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=_OPTION_COLUMN, width=width)


def _terminal_width() -> int:
    """The terminal's width; the same 100 columns for everything that is none."""
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns - 2, 60)
    except (OSError, ValueError):
        return WIDTH_MAX


def _wrap(text: str, indent: str = "") -> str:
    width = min(WIDTH_MAX, _terminal_width())
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(
        textwrap.fill(
            " ".join(paragraph.split()),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for paragraph in paragraphs
    )


def _examples(examples: Sequence[tuple[str, str]]) -> str:
    lines = ["examples:"]
    for command, what in examples:
        lines += [f"  {command}", _wrap(what, "      ")]
    return "\n".join(lines) + "\n"


def _exits(exits: Sequence[int]) -> str:
    codes = sorted({*_ALWAYS, *exits})
    return "\n".join(
        ["exit status:", *(f"  {code:<4}{exit_codes.MEANINGS[code]}" for code in codes)]
    )
