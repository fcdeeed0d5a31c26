"""Base64 and decimal numbers in their one canonical spelling.

Two spellings of one value would let two different files carry "the same" checkpoint, so every
parser of this package reads these two through here. Must not know what the values mean.
"""

from __future__ import annotations

import binascii
import re

from meshtrail.errors import NoteSyntaxError
from meshtrail.units import INT64_MAX

# int() also takes "4_2", "+5", " 5" and digits of other scripts; this takes ASCII digits only.
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def encode_base64(data: bytes) -> str:
    """Return the standard base64 of ``data``, padded, without line breaks."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Return the bytes whose ``encode_base64`` is exactly ``text``.

    Raises:
        NoteSyntaxError: ``text`` is not base64, or is a second spelling of its bytes (no padding,
            line breaks, trailing bits that are not zero). The message never repeats ``text``,
            because private keys pass through here too.

    Source: RFC 4648 section 4; section 3.5 has the trailing bits.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise NoteSyntaxError(f"{len(text)} characters are not base64: {error}") from error
    if encode_base64(data) != text:
        raise NoteSyntaxError(f"{len(text)} characters are not the canonical base64 of their bytes")
    return data


def format_decimal(value: int) -> str:
    """Return ``value`` as ASCII decimal.

    Raises:
        NoteSyntaxError: ``value`` is negative or above 2^63-1.
    """
    if not 0 <= value <= INT64_MAX:
        raise NoteSyntaxError(f"number {value} is outside 0..2^63-1", value=value)
    return str(value)


def parse_decimal(text: str) -> int:
    """Return the number whose ``format_decimal`` is exactly ``text``.

    Raises:
        NoteSyntaxError: ``text`` is anything but ASCII digits without leading zeros, or is above
            2^63-1.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > INT64_MAX:
        raise NoteSyntaxError(f"{text[:40]!r} is not a decimal number in 0..2^63-1")
    return int(text)
