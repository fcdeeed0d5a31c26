"""The row-wise reference of ``json_columns``: one JSON object at a time, slow and plain.

What ``JsonColumns`` reads besides what JSON allows is read here, too: of equal keys in an object
the first counts, and there may be NaN, Infinity and a comma before a closing bracket.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from meshtrail.errors import InputError
from meshtrail.sources.json_columns import NOT_AN_OBJECT, NOT_JSON, NOT_UTF8, TOO_DEEP
from meshtrail.sources.json_text import NESTING_MAX, count_tokens

_TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|-?(?:infinity|inf|nan)\b|[][{},:]|[^][{},:" \t\n\r]+|"',
    re.DOTALL | re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(u....|.)")
_CONSTANT: Final = re.compile(r"-?(?:infinity|inf|nan)", re.IGNORECASE)
_PLAIN_EXPONENTS: Final = range(-6, 21)
"""Exponents of ten for which a number is written without one."""


class Written(str):
    """A number or constant, as ``JsonColumns`` writes it; no string."""

    __slots__ = ()


class Real(Written):
    """A number with a fraction or an exponent, in the shortest way that is exact."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Members:
    """The members of an object, in order."""

    pairs: list[tuple[str, Value]]

    def get(self, key: str) -> Value:
        """The first member of that name; None where there is none."""
        return next((value for name, value in self.pairs if name == key), None)

    def text(self, key: str) -> str | None:
        """The same as a text: a number as it is written, an object as its JSON."""
        value = self.get(key)
        return None if value is None else format_text(value)


Value: TypeAlias = "str | bool | list[Value] | Members | None"


def parse_members(text: bytes) -> Members:
    """Read an object.

    Raises:
        InputError: it is none, with the reason that ``JsonColumns`` gives.
    """
    try:
        whole = text.decode()
    except UnicodeDecodeError as error:
        raise InputError(NOT_UTF8) from error
    if count_tokens(text).depth > NESTING_MAX:
        raise InputError(TOO_DEEP)
    try:
        value = _load(whole)
        # Half of a surrogate pair is no text.
        format_text(value).encode()
    except ValueError:
        value = _load_leniently(whole)
    if value is None:
        # As DuckDB has it, null is as good as no text.
        raise InputError(NOT_JSON)
    if not isinstance(value, Members):
        raise InputError(NOT_AN_OBJECT)
    return value


def format_text(value: Value) -> str:
    """A value as the text that ``JsonColumns`` gives of it."""
    if isinstance(value, str):
        return str(value)
    return _format(value)


def _format(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Written):
        return _format_real(value) if isinstance(value, Real) else str(value)
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        return _ESCAPE.sub(lambda found: f"\\{found[1][0]}{found[1][1:].upper()}", quoted)
    if isinstance(value, Members):
        return "{" + ",".join(f"{_format(key)}:{_format(one)}" for key, one in value.pairs) + "}"
    return "[" + ",".join(map(_format, value)) + "]"


def _load(text: str) -> Value:
    loaded: Value = json.loads(
        text,
        object_pairs_hook=Members,
        parse_int=_integer,
        parse_float=_real,
        parse_constant=Written,
    )
    return loaded


def _load_leniently(text: str) -> Value:
    """Read what JSON forbids: every string is marked, so that a constant can stand as one."""
    pieces: list[str] = []
    for token in _TOKEN.findall(text):
        if token in ("]", "}") and pieces[-1:] == [","] and pieces[-2:-1] not in ([], ["["], ["{"]):
            pieces.pop()
        if _CONSTANT.fullmatch(token):
            pieces.append(f'"c{token}"')
        else:
            pieces.append(f'"s{token[1:]}' if token.startswith('"') else token)
    try:
        value = _unmarked(_load(" ".join(pieces)))
        format_text(value).encode()
    except ValueError as error:
        raise InputError(NOT_JSON) from error
    return value


def _unmarked(value: Value) -> Value:
    if isinstance(value, Members):
        if any(key.startswith("c") for key, _ in value.pairs):
            raise ValueError(NOT_JSON)
        return Members([(key[1:], _unmarked(one)) for key, one in value.pairs])
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    if isinstance(value, str) and not isinstance(value, Written):
        return Written(value[1:]) if value.startswith("c") else value[1:]
    return value


def _integer(text: str) -> Written:
    """An integer; minus zero is zero."""
    return Written("0" if text == "-0" else text)


def _real(text: str) -> Written:
    """A number with a fraction or exponent; one beyond 64 bits stands as it is."""
    return Written(text) if math.isinf(float(text)) else Real(repr(float(text)))


def _format_real(text: str) -> str:
    """The same number as it is written inside an object or list: with fewer exponents."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, power = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = len(digits) - len(fraction) - 1 + int(power or 0)
    digits = digits.rstrip("0")
    if not digits or exponent not in _PLAIN_EXPONENTS:
        rest = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{rest}e{exponent}" if digits else f"{sign}0.0"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    padded = digits.ljust(exponent + 1, "0")
    return f"{sign}{padded[: exponent + 1]}.{padded[exponent + 1 :] or '0'}"
