"""Members of a JSON object that others wrote: nothing is taken to be there, or to be of its type.

What is of another type than it should be is absent, with a noted problem. Problems name members
and never quote values, so that there are few different ones however many records there are.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from meshtrail.errors import InputError
from meshtrail.sources.json_columns import NOT_AN_OBJECT, NOT_JSON, NOT_UTF8
from meshtrail.sources.json_text import NESTING_MAX, count_tokens
from meshtrail.sources.surrogates import mend_surrogates
from meshtrail.sources.timestamps import parse_any_time
from meshtrail.units import INT64_MAX

VALUES_COUNT_MAX: Final = 1_000_000
"""A Kubernetes object has at most 1.5 MiB; as objects of Python a value takes some 60 bytes."""
TEXT_CHARACTERS_MAX: Final = 4096
"""Names have at most 253, messages of events 1024; what is longer belongs into no column."""
LIST_ITEMS_MAX: Final = 1000
"""Elements of a list that are looked at: a pod has at most some dozen of anything."""
TOO_MUCH: Final = "JSON that is too much or too deep"
_GO_ZERO: Final = "0001-01-01T00:00:00Z"
"""A moment that was never set, as Go writes it."""


def read_object(record: bytes) -> dict[str, Any]:
    """The object that a record is; of equal keys the last counts.

    Raises:
        InputError: it is none, or too much; the message is one of few.
    """
    tokens = count_tokens(record)
    if tokens.depth > NESTING_MAX or tokens.commas_count + tokens.colons_count > VALUES_COUNT_MAX:
        raise InputError(TOO_MUCH)
    try:
        # One character that somebody could choose must not hide all the rest.
        said = msgspec.json.decode(mend_surrogates(record))
    except UnicodeDecodeError as error:
        raise InputError(NOT_UTF8) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(NOT_JSON) from error
    if not isinstance(said, dict):
        raise InputError(NOT_AN_OBJECT)
    return said


def compact_json(value: Any) -> str:  # noqa: ANN401 - any JSON
    """JSON without spaces; keys stay in their order."""
    return msgspec.json.encode(value).decode()


class Members:
    """An object of JSON, asked for what it should hold.

    Attributes:
        problems: which members were not what they should be; shared by all that came out of one.
    """

    def __init__(self, said: object, problems: list[str] | None = None, at: str = "") -> None:
        """Look at a value; where it is no object, at an empty one.

        Args:
            said: a parsed value.
            problems: to add to.
            at: what it is called in problems, with a dot behind.
        """
        self._said: dict[str, Any] = said if isinstance(said, dict) else {}
        self._at = at
        self.problems: list[str] = problems if problems is not None else []

    def text(self, *path: str) -> str | None:
        """A text that is not empty and not longer than a column should hold."""
        value = self.value(*path)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
            self.note(*path, what="is too long" if isinstance(value, str) else "is no text")
            return None
        return value

    def integer(self, *path: str) -> int | None:
        """A whole number of 64 bits."""
        value = self.value(*path)
        if value is None:
            return None
        # A truth value is an int to Python.
        if type(value) is not int or abs(value) > INT64_MAX:
            self.note(*path, what="is no whole number")
            return None
        return value

    def moment(self, *path: str) -> int | None:
        """A moment in RFC 3339, as nanoseconds since 1970."""
        value = self.text(*path)
        if value is None or value == _GO_ZERO:
            return None
        moment_ns = parse_any_time(value)
        if moment_ns is None:
            self.note(*path, what="is no moment")
        return moment_ns

    def is_true(self, *path: str) -> bool:
        """Whether it says ``true``."""
        return self.value(*path) is True

    def inner(self, *path: str) -> Members:
        """An object in it; an empty one where there is none."""
        value = self.value(*path)
        if value is not None and not isinstance(value, dict):
            self.note(*path, what="is no object")
        return Members(value, self.problems, f"{self._name(path)}.")

    def objects(self, *path: str) -> list[Members]:
        """A list of objects, as far as it is looked at."""
        return [
            Members(one, self.problems, f"{self._name(path)}[].")
            for one in self._list(path)
            if self._is(dict, one, path)
        ]

    def texts(self, *path: str) -> list[str]:
        """A list of texts, as far as it is looked at; those that are too long left out."""
        return [
            one
            for one in self._list(path)
            if self._is(str, one, path) and len(one) <= TEXT_CHARACTERS_MAX
        ]

    def pairs(self, *path: str) -> dict[str, str]:
        """An object of texts, sorted by key, as far as it is looked at."""
        said = self.inner(*path)._said  # noqa: SLF001 - its own kind
        if len(said) > LIST_ITEMS_MAX:
            self.note(*path, what="has too many members")
        return {
            key: said[key]
            for key in sorted(said)[:LIST_ITEMS_MAX]
            if self._is(str, said[key], path) and len(key) + len(said[key]) <= TEXT_CHARACTERS_MAX
        }

    def value(self, *path: str) -> Any:  # noqa: ANN401 - any JSON
        """What stands at the end of a path of keys; None where there is nothing, or null."""
        value: Any = self._said
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def has(self, *path: str) -> bool:
        """Whether anything but null stands there."""
        return self.value(*path) is not None

    def _list(self, path: tuple[str, ...]) -> list[Any]:
        value = self.value(*path)
        if value is None:
            return []
        if not isinstance(value, list):
            self.note(*path, what="is no list")
            return []
        if len(value) > LIST_ITEMS_MAX:
            self.note(*path, what="has too many elements")
        return value[:LIST_ITEMS_MAX]

    def _is(self, wanted: type, value: object, path: tuple[str, ...]) -> bool:
        if isinstance(value, wanted):
            return True
        self.note(*path, what="holds something else than it should")
        return False

    def note(self, *path: str, what: str) -> None:
        """Note that a member is not what it should be."""
        problem = f"{self._name(path)} {what}"
        if problem not in self.problems:
            self.problems.append(problem)

    def _name(self, path: tuple[str, ...]) -> str:
        return self._at + ".".join(path)
