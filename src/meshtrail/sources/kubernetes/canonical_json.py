"""The one way to write a JSON value, so that equal values have equal hashes.

RFC 8785, which others can compute too, with one difference: an integer beyond 2^53 is written with
all its digits, because Kubernetes has such and a double has not.
"""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal
from typing import Final

_INTEGRAL_MAX: Final = 1 << 53
_POINT_MAX: Final = 21
_POINT_MIN: Final = -6
"""Beyond these places of the decimal point ECMAScript writes an exponent."""

_write_text: Final = json.encoder.encode_basestring


def encode_canonical(value: object) -> bytes:
    """The value in UTF-8: no spaces, members sorted by the UTF-16 of their names.

    Args:
        value: as a JSON parser gives it, not nested deeper than ``json_text.NESTING_MAX``.

    Raises:
        ValueError: it holds what is no JSON value, or half of a surrogate pair.
    """
    out: list[str] = []
    _write(value, out)
    return "".join(out).encode()


def hash_canonical(value: object) -> bytes:
    """SHA-256 of ``encode_canonical``."""
    return hashlib.sha256(encode_canonical(value)).digest()


def _write(value: object, out: list[str]) -> None:
    if isinstance(value, str):
        out.append(_write_text(value))
    elif value is True:
        out.append("true")
    elif value is False:
        out.append("false")
    elif value is None:
        out.append("null")
    elif isinstance(value, int):
        out.append(str(value))
    elif isinstance(value, float):
        out.append(_number(value))
    elif isinstance(value, list):
        _write_list(value, out)
    elif isinstance(value, dict):
        _write_object(value, out)
    else:
        raise ValueError(f"no JSON value: {type(value).__name__}")


def _write_list(values: list[object], out: list[str]) -> None:
    before = "["
    for value in values:
        out.append(before)
        _write(value, out)
        before = ","
    out.append("]" if values else "[]")


def _write_object(members: dict[str, object], out: list[str]) -> None:
    before = "{"
    for name in sorted(members, key=_utf16):
        out.append(f"{before}{_write_text(name)}:")
        _write(members[name], out)
        before = ","
    out.append("}" if members else "{}")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def _number(value: float) -> str:
    """As ECMAScript writes a number, whose digits are those that Python finds too."""
    if not math.isfinite(value):
        raise ValueError(f"no JSON value: {value}")
    if value.is_integer() and abs(value) < _INTEGRAL_MAX:
        return str(int(value))
    sign, figures, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, figures)).rstrip("0")
    # Where the decimal point stands, counted from before the first digit.
    point = len(figures) + int(exponent)
    return ("-" if sign else "") + _place_point(digits, point)


def _place_point(digits: str, point: int) -> str:
    if len(digits) <= point <= _POINT_MAX:
        return digits.ljust(point, "0")
    if 0 < point <= _POINT_MAX:
        return f"{digits[:point]}.{digits[point:]}"
    if _POINT_MIN < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
