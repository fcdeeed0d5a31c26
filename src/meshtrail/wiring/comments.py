"""Comments of a configuration, which fit a terminal."""

from __future__ import annotations

from textwrap import wrap
from typing import Final

_COLUMNS: Final = 100


def format_comment(text: str, *, indent: str = "") -> str:
    """The text as lines that begin with ``#``; an empty line parts paragraphs.

    Args:
        text: sentences; where they break is not kept.
        indent: stands before each line.
    """
    prefix = f"{indent}# "
    paragraphs = [
        "\n".join(wrap(paragraph, _COLUMNS - len(prefix), break_on_hyphens=False))
        for paragraph in text.split("\n\n")
    ]
    lines = "\n\n".join(paragraphs).split("\n")
    return "\n".join(f"{prefix}{line}".rstrip() for line in lines) + "\n"
