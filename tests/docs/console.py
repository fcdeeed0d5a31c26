"""Console blocks of a Markdown document: the commands that it shows, and what it says they print.

    ```console
    $ ./dev meshtrail up --data demo &
    listening on …
    $ ./dev meshtrail search 'status:403' \
    >     --limit 10
    ```

A block whose fence says ``console no-run: <reason>``, and a command that ends in
``# no-run: <reason>``, are shown but not run. In what is printed, ``…`` stands for any text within
a line, and a line of nothing but ``…`` for any number of lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PROMPT = "$ "
CONTINUED = "> "
ELLIPSIS = "…"
NO_RUN = "no-run"
REASON_WORDS_MIN = 2


class DocumentError(Exception):
    """A console block that cannot be run as it is written."""


@dataclass(frozen=True)
class Command:
    """One command of a document, with the output that stands under it."""

    line: int
    text: str
    shown: tuple[str, ...]

    @property
    def is_background(self) -> bool:
        """Whether it ends in ``&``, so that it runs on beside the commands after it."""
        return self.text.rstrip().endswith("&") and not self.text.rstrip().endswith("&&")


def parse_commands(markdown: str) -> list[Command]:
    """The commands to run, in order."""
    commands: list[Command] = []
    block: list[tuple[int, str]] | None = None
    reason = ""
    for number, line in enumerate(markdown.split("\n"), start=1):
        if block is None and (fence := re.fullmatch(r"```console\b *(.*)", line.strip())):
            block, reason = [], reason_of(fence.group(1), line=number)
        elif block is not None and line.strip() == "```":
            commands += parse_block(block) if not reason else []
            block = None
        elif block is not None:
            block.append((number, line))
    return commands


def reason_of(info: str, *, line: int) -> str:
    """Why a block or command is not run; empty where it is.

    Raises:
        DocumentError: it is marked, but no reason is given, or the mark is unknown.
    """
    if not info:
        return ""
    mark, _, reason = info.partition(":")
    if mark != NO_RUN or len(reason.split()) < REASON_WORDS_MIN:
        raise DocumentError(f"line {line}: write '{NO_RUN}: <reason>', not {info!r}")
    return reason.strip()


def parse_block(block: list[tuple[int, str]]) -> list[Command]:
    """The commands of one block.

    Raises:
        DocumentError: the block opens with output, or a command goes on into nothing.
    """
    commands: list[Command] = []
    lines = iter(block)
    run = False
    for number, line in lines:
        if not line.startswith(PROMPT):
            if not commands and not run and line.strip():
                raise DocumentError(f"line {number}: output without a command before it: {line!r}")
            if run:
                last = commands.pop()
                commands.append(Command(last.line, last.text, (*last.shown, line.rstrip())))
            continue
        text = line.removeprefix(PROMPT)
        while text.endswith("\\"):
            _, more = next(lines, (number, None))
            if more is None:
                raise DocumentError(f"line {number}: the command goes on, but the block ends")
            text = f"{text}\n{more.removeprefix(CONTINUED)}"
        text, mark, info = text.partition(f"# {NO_RUN}")
        run = not (mark and reason_of(NO_RUN + info, line=number))
        if run:
            commands.append(Command(number, text.rstrip(), ()))
    return commands


def output_matches(shown: tuple[str, ...], printed: str) -> bool:
    """Whether a command printed what the document shows; nothing shown says nothing about it."""
    lines = list(shown)
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return True
    pattern = "".join(pattern_of(line) for line in lines)
    text = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").split("\n"))
    return re.fullmatch(pattern, text) is not None


def pattern_of(line: str) -> str:
    """A regular expression for one line shown, its end included."""
    if line.strip() == ELLIPSIS:
        return r"(?:[^\n]*\n)*?"
    return "[^\n]*".join(map(re.escape, line.rstrip().split(ELLIPSIS))) + "\n"
