"""A text that every match of a regular expression contains, to be looked for first.

Looking for a text costs a fifth of running the expression. Whatever is not plainly understood here
ends the text, or yields none: a text that a match need not contain would hide entries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

CHARACTERS_MIN: Final = 3
"""Shorter ones are in too many values to be worth looking for."""

_NOT_UNDERSTOOD: Final = re.compile(r"\(\?(?!:)|\\[^\W_dDwWsSbBAzntrfva]|\\[^\x00-\x7f]")
"""Flags, named groups and lookarounds; escapes with an argument, which could look like text."""

_TOKEN: Final = re.compile(
    r"""
    (?P<text> \\[^\w] | [^\\\[\](){}.*+?|^$] )
  | (?P<repeat> [*?] | \{[0-9]+(?:,[0-9]*)?\} )
  | (?P<open> \( (?:\?:)? )
  | (?P<close> \) )
  | (?P<either> \| )
  | (?P<other> [+.^$] | \\\w | \[ \^? \]? (?: \\. | \[:\^?[a-z]+:\] | [^\]\\] )* \] )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(slots=True)
class _Texts:
    """The longest text so far, and the one that is being read."""

    longest: str = ""
    reading: list[str] = field(default_factory=list)

    def end(self) -> None:
        """The text that was being read goes no further."""
        self.longest = max(self.longest, "".join(self.reading), key=len)
        self.reading = []


def required_text(pattern: str) -> str | None:
    """The longest plain text that stands in every match.

    Args:
        pattern: an expression that RE2 accepts.

    Returns:
        At least ``CHARACTERS_MIN`` characters; None when no such text is plain to see.
    """
    if _NOT_UNDERSTOOD.search(pattern):
        return None
    texts = _Texts()
    depth = place = 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        if token is None:
            return None
        place = token.end()
        if token.lastgroup == "text" and not depth:
            # Of an escaped character only the character.
            texts.reading.append(token[0][-1])
            continue
        if token.lastgroup == "either" and not depth:
            return None
        if token.lastgroup == "repeat" and texts.reading:
            # It may stand there no times.
            texts.reading.pop()
        depth += {"open": 1, "close": -1}.get(token.lastgroup or "", 0)
        texts.end()
    texts.end()
    return texts.longest if len(texts.longest) >= CHARACTERS_MIN else None
