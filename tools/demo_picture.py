"""The picture of the README: a terminal in which `meshtrail demo` ran.

    ./dev python tools/demo_picture.py docs/pictures/demo.svg [--steps 2,4,7] [--columns 120]

Runs the demo on a terminal of its own and writes what it said as SVG: the beginning, the steps
asked for, and the last line. Nothing is drawn that was not printed; cuts are marked.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
READ_BYTES = 65_536
ROWS = 50
STYLE = re.compile(r"\x1b\[([0-9;]*)m")
HEADING = re.compile(r"(\d+)\. ")
CELL = re.compile(r"\S+(?: \S+)*")
SETTING = "To follow in another terminal"
CUT = "\x1b[2m…\x1b[0m"

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FONT_PX = 13
CHARACTER_PX = 7.8
LINE_PX = 18
MARGIN_PX = 18
BACKGROUND = "#11161d"
FOREGROUND = "#d5dbe3"
FILLS = {"2": "#7d8794", "32": "#57c374", "31": "#f0716b", "36": "#62b8e8"}
"""Colours by their code; 1 is bold."""


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one line in one style."""

    column: int
    text: str
    codes: frozenset[str]


def record(columns: int) -> str:
    """What the demo says on a terminal of this width.

    Raises:
        CalledProcessError: a claim of the demo did not hold.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT / "src")}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "meshtrail", "demo"]
    data = bytearray()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            while chunk := os.read(ours, READ_BYTES):
                data += chunk
        except OSError:
            pass  # how Linux says that the other side is closed
        finally:
            os.close(ours)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, bytes(data))
    return data.decode().replace("\r\n", "\n")


def choose(text: str, steps: set[int]) -> list[str]:
    """The lines to draw: the beginning, some steps, the verdict."""
    sections = split(text.rstrip("\n").split("\n"))
    beginning = sections.pop(0)
    last = sections[-1][1].pop()
    chosen = [*beginning[1]]
    previous = 0
    for number, lines in sections:
        if number in steps:
            chosen += lines if number == previous + 1 else [CUT, "", *lines]
            previous = number
    if previous != sections[-1][0]:
        chosen += [CUT, ""]
    return [*chosen, last]


def split(lines: list[str]) -> list[tuple[int, list[str]]]:
    """The lines by step; step 0 is the beginning, without the lines that name this machine."""
    sections: list[tuple[int, list[str]]] = [(0, [])]
    is_setting = False
    for line in lines:
        heading = HEADING.match(STYLE.sub("", line))
        if heading and "\x1b[1;36m" in line:
            sections.append((int(heading[1]), []))
            is_setting = False
        is_setting = is_setting or line.startswith(SETTING)
        if not is_setting:
            sections[-1][1].append(line)
    return sections


def runs_of(line: str, columns: int) -> Iterator[list[Run]]:
    """The rows that a line takes on the terminal, each as its runs."""
    row: list[Run] = []
    codes: frozenset[str] = frozenset()
    column = 0
    for at, piece in enumerate(STYLE.split(line)):
        if at % 2:
            codes = frozenset(piece.split(";")) - {"0", ""}
            continue
        text = piece
        while text:
            part, text = text[: columns - column], text[columns - column :]
            row.append(Run(column, part, codes))
            column += len(part)
            if text:
                yield row
                row, column = [], 0
    yield row


def draw(lines: list[str], columns: int) -> str:
    """The picture."""
    rows = [row for line in lines for row in runs_of(line, columns)]
    width = round(columns * CHARACTER_PX + 2 * MARGIN_PX)
    height = len(rows) * LINE_PX + 2 * MARGIN_PX
    texts = [
        draw_run(run, y=MARGIN_PX + LINE_PX * at + FONT_PX)
        for at, row in enumerate(rows)
        for run in row
        if run.text.strip()
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        "<title>A terminal in which meshtrail demo ran</title>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>\n'
        f'<g font-family="{FONT}" font-size="{FONT_PX}" fill="{FOREGROUND}">\n'
    )
    return f"{head}{''.join(texts)}</g>\n</svg>\n"


def draw_run(run: Run, *, y: int) -> str:
    """One run: each of its words that stand alone as wide as its characters, whatever font is used.

    So the columns of a table stay aligned where the reader has no monospaced font of these.
    """
    style = "".join(f' fill="{FILLS[code]}"' for code in sorted(run.codes & FILLS.keys()))
    if "1" in run.codes:
        style += ' font-weight="bold"'
    drawn = []
    for cell in CELL.finditer(run.text):
        x = MARGIN_PX + (run.column + cell.start()) * CHARACTER_PX
        length = len(cell[0]) * CHARACTER_PX
        drawn.append(
            f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{style}>{escape(cell[0])}</text>\n'
        )
    return "".join(drawn)


def main() -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="the SVG to write")
    parser.add_argument("--steps", default="2,4,7", help="numbers of the steps to show")
    parser.add_argument("--columns", type=int, default=120, help="width of the terminal")
    options = parser.parse_args()
    steps = {int(number) for number in options.steps.split(",")}
    lines = choose(record(options.columns), steps)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(draw(lines, options.columns), encoding="utf-8")
    print(f"{options.file}: {len(lines)} lines")


if __name__ == "__main__":
    main()
