"""Conditions in SQL with the values bound to them, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Where:
    """A condition in SQL.

    Attributes:
        sql: never empty; ``TRUE`` when everything matches.
        values: bound to its question marks, in order.
        looked_up: the column, when the condition is that it has one of these values.
    """

    sql: str
    values: tuple[object, ...]
    looked_up: str | None = None


EVERYTHING: Final = Where("TRUE", ())


def equals(name: str, *values: object) -> Where:
    """Equality with one of some values of the column's own type.

    Statistics and Bloom filters leave row groups out by it.
    """
    if len(values) == 1:
        return Where(f'"{name}" = ?', values, looked_up=name)
    return Where(f'"{name}" IN ({", ".join("?" * len(values))})', values, looked_up=name)


def negated(part: Where) -> Where:
    """Where it does not hold; also where a value is missing, which SQL's NOT would leave out."""
    return Where(f"({part.sql}) IS NOT TRUE", part.values)


def all_of(parts: Iterable[Where]) -> Where:
    """All of them; ``TRUE`` when there are none."""
    return _joined(" AND ", [part for part in parts if part != EVERYTHING])


def any_of(parts: Iterable[Where]) -> Where:
    """One of them, in parentheses where there are several."""
    return _joined(" OR ", list(parts))


def _joined(word: str, parts: list[Where]) -> Where:
    if len(parts) < 2:  # noqa: PLR2004 - one condition needs no word between
        return parts[0] if parts else EVERYTHING
    sql = word.join(part.sql for part in parts)
    return Where(f"({sql})", tuple(value for part in parts for value in part.values))
