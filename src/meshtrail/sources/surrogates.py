r"""Halves of surrogate pairs in JSON: escapes such as ``\ud800`` that no text can hold.

JSON's grammar allows them, and Go hands them on as they came; parsers of texts refuse them. Who may
write one character into a record could so make it unreadable, or all that come with it.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT: Final = rb"\ufffd"


def mend_surrogates(text: bytes) -> bytes:
    """A JSON text with the replacement character for each half of a surrogate pair.

    Returns:
        As many bytes, each at its place; the same text where there is no half.

    Cost: linear, and nothing where nothing is escaped.
    """
    if b"\\u" not in text:
        return text
    # Each backslash begins an escape, and those before it are behind us: none is taken apart.
    return _ESCAPE.sub(lambda found: _REPLACEMENT if found[1] else found[0], text)
