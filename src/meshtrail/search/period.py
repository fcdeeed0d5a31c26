"""A span of arrival times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import QueryError
from meshtrail.search.moments import parse_moment

if TYPE_CHECKING:
    from meshtrail.units import UnixNanos


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Half-open range of ``received_time``; None leaves an end open."""

    from_ns: UnixNanos | None = None
    to_ns: UnixNanos | None = None

    def __post_init__(self) -> None:
        """Raise QueryError when it holds no moment."""
        if self.from_ns is not None and self.to_ns is not None and self.from_ns >= self.to_ns:
            raise QueryError("--from is not before --to: no moment lies between them")


def parse_period(from_: str | None, to: str | None, *, now_ns: UnixNanos) -> Period:
    """Read both ends as people write them; None leaves an end open.

    Raises:
        QueryError: no moments, or none between them.
    """
    return Period(
        from_ns=None if from_ is None else parse_moment(from_, now_ns=now_ns),
        to_ns=None if to is None else parse_moment(to, now_ns=now_ns),
    )
