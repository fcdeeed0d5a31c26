"""What the demo says: headings, sentences, commands, their output, and whether a claim held.

Bold and colour only on a terminal, and never where NO_COLOR is set.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WIDTH_MAX: Final = 100
INDENT: Final = "  "
"""Before commands and their output: they stand out from what is said about them."""
_BOLD: Final = "1"
_DIM: Final = "2"
_GREEN: Final = "32"
_RED: Final = "1;31"
_CYAN: Final = "1;36"


class Narrator:
    """Writes to one stream, line by line as things happen."""

    def __init__(self, stream: TextIO, *, is_styled: bool) -> None:
        """Write to ``stream``.

        Args:
            stream: where everything goes.
            is_styled: whether it shows bold and colour.
        """
        self._stream = stream
        self._is_styled = is_styled

    def title(self, text: str) -> None:
        """The first line."""
        self._write(self._style(text, _BOLD), "")

    def tell(self, text: str) -> None:
        """Something that has been done now."""
        self._write(self._style("•", _DIM) + f" {text}")

    def lines(self, lines: Iterable[str]) -> None:
        """Lines as they are, such as a table."""
        self._write(*(f"{INDENT}{line}".rstrip() for line in lines))

    def heading(self, number: int, text: str) -> None:
        """The beginning of a step."""
        self._write("", self._style(f"{number}. {text}", _CYAN))

    def say(self, text: str) -> None:
        """A paragraph."""
        self._write(*textwrap.wrap(text, WIDTH_MAX, break_on_hyphens=False))

    def command(self, text: str) -> None:
        """A command that is run now, as a reader can copy it."""
        first, *more = text.split("\n")
        self._write("", INDENT + self._style(f"$ {first}", _BOLD))
        self._write(*(self._style(f"{INDENT}{line}", _BOLD) for line in more))

    def output(self, text: str) -> None:
        """What a command printed."""
        # A progress line is written over itself; what stood there last counts.
        self.lines(line.rpartition("\r")[2] for line in text.rstrip("\n").split("\n") if text)

    def claim(self, text: str, *, holds: bool, want: object = None, got: object = None) -> None:
        """Whether a claim holds; where it does not, what was expected and what was seen."""
        if holds:
            self._write(self._style("✓", _GREEN) + f" {text}")
            return
        self._write(self._style(f"✗ {text}", _RED))
        self._write(f"{INDENT}expected  {want!r}", f"{INDENT}seen      {got!r}")

    def space(self) -> None:
        """An empty line."""
        self._write("")

    def verdict(self, text: str, *, holds: bool) -> None:
        """The last word."""
        self._write("", self._style(text, _GREEN if holds else _RED))

    def _style(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_styled else text

    def _write(self, *lines: str) -> None:
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


def is_styled(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream shows bold and colour: a terminal does, unless its user said otherwise."""
    is_dumb = environment.get("TERM", "dumb") == "dumb"
    return stream.isatty() and not is_dumb and not environment.get("NO_COLOR")
