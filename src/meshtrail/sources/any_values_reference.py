"""The row-wise reference of ``any_values``: one attribute of one record at a time.

Slow and plain on purpose; it shares nothing with the columnar reading but the cut descriptors and
``mend_utf8``.
"""

# ruff: noqa: ANN401 - generated classes have no types
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.sources.envoy_values import mend_utf8

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_WHOLE_DOUBLE_MAX: Final = 2**53


class AttributeMap:
    """The attributes of one record, by key. Of equal keys the last counts."""

    def __init__(self, key_values: Iterable[Any]) -> None:
        self._values = {item.key: item.value for item in key_values}

    def text(self, *keys: str) -> str | None:
        """The text under the first of the keys that has one."""
        texts = (text_of(self._values[key]) for key in keys if key in self._values)
        return next((text for text in texts if text is not None), None)

    def integer(self, *keys: str, maximum: int) -> int | None:
        """The number under the first of the keys that has one between 0 and ``maximum``."""
        numbers = (integer_of(self._values[key]) for key in keys if key in self._values)
        fitting = (number for number in numbers if number is not None and 0 <= number <= maximum)
        return next(fitting, None)


def text_of(value: Any) -> str | None:
    """An ``AnyValue`` as a text; None where it is none."""
    text: str | None = None
    elements = value.array_value.values
    if value.HasField("string_value"):
        text = mend_utf8(value.string_value)
    elif len(elements) == 1 and elements[0].HasField("string_value"):
        text = mend_utf8(elements[0].string_value)
    elif value.HasField("int_value"):
        text = f"{value.int_value}"
    elif value.HasField("bool_value"):
        text = "true" if value.bool_value else "false"
    return text or None


def integer_of(value: Any) -> int | None:
    """An ``AnyValue`` as a number; None where it is none."""
    if value.HasField("int_value"):
        return int(value.int_value)
    double = value.double_value
    if (
        value.HasField("double_value")
        and abs(double) <= _WHOLE_DOUBLE_MAX
        and double == int(double)
    ):
        return int(double)
    text = text_of(value)
    return int(text) if text is not None and _DIGITS.fullmatch(text) else None
