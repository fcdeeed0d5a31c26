"""What a query says about arrival and position, so that a plan can leave segments out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.search.compile import parse_number
from meshtrail.search.fields import FieldKind
from meshtrail.search.moments import parse_span
from meshtrail.search.query import Comparison, Pattern, Query, Range, Regex, Term, conjuncts
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.search.query import Value
    from meshtrail.units import UnixNanos


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A half-open range of integers."""

    low: int = 0
    high: int = INT64_MAX

    @property
    def is_empty(self) -> bool:
        """Whether no integer lies in it."""
        return self.low >= self.high

    def within(self, other: Bounds) -> Bounds:
        """What lies in both."""
        return Bounds(low=max(self.low, other.low), high=min(self.high, other.high))


def bounds_of(query: Query, column: str, *, now_ns: UnixNanos) -> Bounds:
    """The values of an ordered column outside which a query matches nothing.

    Args:
        query: one that compiles; only terms that have to hold narrow the range.
        column: a number or time.
        now_ns: what relative times count back from.
    """
    bounds = Bounds()
    for node in conjuncts(query.root):
        if isinstance(node, Term) and node.field.name == column:
            bounds = bounds.within(_value_bounds(node.value, node.field.kind, now_ns))
    return bounds


def _value_bounds(value: Value, kind: FieldKind, now_ns: UnixNanos) -> Bounds:
    match value:
        case Pattern() if value.literal is None:
            return Bounds()
        case Pattern():
            literal = value.literal or ""
            if kind is FieldKind.TIME:
                start, end = parse_span(literal, now_ns=now_ns)
                return Bounds(low=start, high=end)
            number = parse_number(literal, kind, now_ns)
            return Bounds(low=number, high=number + 1)
        case Comparison(operator, text):
            number = parse_number(text, kind, now_ns)
            after = number + (operator in {">", "<="})
            return Bounds(low=after) if operator.startswith(">") else Bounds(high=after)
        case Range():
            low, high = 0, INT64_MAX
            if value.low is not None:
                low = parse_number(value.low, kind, now_ns) + (not value.is_low_included)
            if value.high is not None:
                high = parse_number(value.high, kind, now_ns) + value.is_high_included
            return Bounds(low=low, high=high)
        case Regex():
            return Bounds()
