"""What a search will read, and in which order, before it reads anything.

Segments are left out by the range of entries and by arrival, row groups by their statistics and
Bloom filters. What is left is read newest first, more at a time the longer nothing turns up, until
there are enough: measured on 20 million rows, 36 ms for the latest 100, where one ordered query
over all segments takes 690. An id that few entries have is looked up in all of them at once, by its
Bloom filter. Alternatives over several such columns become one branch each: an OR of two columns
would defeat both filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from meshtrail.errors import QueryError
from meshtrail.model.event import BLOOM_COLUMNS, BY_NAME, EVENT_SCHEMA
from meshtrail.search.bounds import Bounds, bounds_of
from meshtrail.search.catalogue import segments_within
from meshtrail.search.compile import Compiler
from meshtrail.search.json_lines import plain_value
from meshtrail.search.moments import format_moment
from meshtrail.search.parquet_source import parquet_source
from meshtrail.search.parse import parse_query
from meshtrail.search.period import Period
from meshtrail.search.query import Query, conjuncts
from meshtrail.search.where import Where, all_of, any_of, negated
from meshtrail.units import INT64_MAX, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from meshtrail.search.catalogue import Catalogue, PinnedSegment

FIRST_ENTRIES: Final = 1 << 16
"""How many entries the first step looks at; each next one looks at 4 times as many."""

_GROWTH: Final = 4
_UNIQUE: Final = {"trace_id", "request_id"}
"""Columns of which one value stands in so few entries that no order of reading helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is looked for.

    Attributes:
        query: in the query language; empty for everything.
        period: of arrival.
        columns: names of event columns; all of them when empty.
        limit: rows at most, 1 or more.
    """

    query: str = ""
    period: Period = field(default_factory=Period)
    columns: tuple[str, ...] = ()
    limit: int = 100

    def __post_init__(self) -> None:
        """Raise QueryError for a column that does not exist, or a limit below 1."""
        if self.limit < 1:
            raise QueryError(f"a limit is at least 1, got {self.limit}")
        for name in self.columns:
            if name not in BY_NAME:
                raise QueryError(f"no column is called {name!r}")


@dataclass(frozen=True, slots=True)
class Step:
    """The entries [start, end), and the segments that hold them."""

    segments: tuple[PinnedSegment, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A search, ready to run.

    Attributes:
        catalogue: what is pinned.
        columns: the event columns to give.
        branches: conditions of which no entry fulfils two; what fulfils one is found.
        steps: read one after the other, newest first.
        is_lookup: whether all is read in one step, by Bloom filter.
    """

    request: SearchRequest
    catalogue: Catalogue
    columns: tuple[str, ...]
    branches: tuple[Where, ...]
    steps: tuple[Step, ...]
    is_lookup: bool

    @property
    def schema(self) -> pa.Schema:
        """Of what is found: as in the event schema, but ids are binary of any length."""
        fields = (EVENT_SCHEMA.field(name).remove_metadata() for name in self.columns)
        return pa.schema(
            pa.field(field.name, pa.binary() if _is_id(field.type) else field.type)
            for field in fields
        )

    def statement(
        self,
        step: Step,
        columns: Sequence[str],
        *,
        limit: int | None,
        is_newest_first: bool = True,
    ) -> Where:
        """The statement that finds what matches in a step, and its values."""
        paths = [str(segment.path) for segment in step.segments]
        # A merged segment may be far larger than the step. The bounds make the engine skip its
        # other row groups, which it would otherwise decode to sort them.
        bounds = _bounds(step)
        wheres = [all_of([bounds, branch]) for branch in self.branches]
        inner = _selected(dict.fromkeys([*columns, "log_index"]))
        found = " UNION ALL ".join(
            f"SELECT {inner} FROM {parquet_source('?')} WHERE {where.sql}"  # noqa: S608 - names of our own
            for where in wheres
        )
        values = tuple(value for where in wheres for value in (paths, *where.values))
        order = "DESC" if is_newest_first else "ASC"
        sql = f'SELECT {_selected(columns)} FROM ({found}) ORDER BY "log_index" {order}'  # noqa: S608 - names of our own
        return Where(sql, values) if limit is None else Where(f"{sql} LIMIT ?", (*values, limit))

    def rows_statement(self, step: Step, indexes: Sequence[int]) -> Where:
        """The statement that reads entries by their index, newest first, and its values."""
        paths = [
            str(segment.path)
            for segment in step.segments
            if any(segment.named.start <= index < segment.named.end for index in indexes)
        ]
        # Numbers, not values: only a list that the planner sees leaves row groups out.
        listed = ", ".join(map(str, indexes))
        return Where(
            f"SELECT {_selected(self.columns)} FROM {parquet_source('?')} "  # noqa: S608 - names and numbers of our own
            f'WHERE "log_index" IN ({listed}) ORDER BY "log_index" DESC',
            (paths,),
        )

    def explain(self) -> dict[str, Any]:
        """The plan as plain facts."""
        period = self.request.period
        ends = {"from": period.from_ns, "to": period.to_ns}
        segments = {segment for step in self.steps for segment in step.segments}
        return {
            "query": self.request.query,
            "period": {
                name: format_moment(moment) for name, moment in ends.items() if moment is not None
            },
            "log": self.catalogue.origin,
            "tree_size": self.catalogue.tree_size,
            "segments_live": len(self.catalogue.segments),
            "segments_read_at_most": len(segments),
            "entries_read_at_most": sum(step.end - step.start for step in self.steps),
            "order": "all at once, by Bloom filter" if self.is_lookup else "newest first",
            "steps": [
                {"from": step.start, "to": step.end, "segments": len(step.segments)}
                for step in self.steps
            ],
            "branches": [
                {"sql": branch.sql, "values": [plain_value("", value) for value in branch.values]}
                for branch in self.branches
            ],
            "limit": self.request.limit,
        }


def plan_search(
    request: SearchRequest,
    catalogue: Catalogue,
    *,
    now_ns: UnixNanos,
    start: int = 0,
    end: int = INT64_MAX,
) -> Plan:
    """Plan a search of what a catalogue pins.

    Args:
        request: what is looked for.
        catalogue: the segments there are.
        now_ns: what relative times count back from.
        start: entries before it are not looked at.
        end: nor are this one and those behind it.

    Raises:
        QueryError: the query is not understood; says where.
        MissingFileError, DigestError: a segment does not tell its times.
    """
    query = parse_query(request.query)
    branches, is_lookup = _branches(query, request.period, now_ns=now_ns)
    entries = bounds_of(query, "log_index", now_ns=now_ns)
    entries = entries.within(Bounds(low=start, high=min(end, catalogue.tree_size)))
    received = bounds_of(query, "received_time", now_ns=now_ns).within(_as_bounds(request.period))
    return Plan(
        request=request,
        catalogue=catalogue,
        columns=request.columns or tuple(EVENT_SCHEMA.names),
        branches=branches,
        steps=tuple(_steps(_segments(catalogue, entries, received), entries, is_one=is_lookup)),
        is_lookup=is_lookup,
    )


def _selected(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _is_id(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(kind))


def _bounds(step: Step) -> Where:
    """That an entry lies in a step; nothing where all entries of its segments do."""
    first, last = step.segments[0].named, step.segments[-1].named
    return all_of(
        Where(f'"log_index" {comparison} ?', (index,))
        for index, comparison, is_needed in (
            (step.start, ">=", step.start > first.start),
            (step.end, "<", step.end < last.end),
        )
        if is_needed
    )


def _branches(query: Query, period: Period, *, now_ns: UnixNanos) -> tuple[tuple[Where, ...], bool]:
    """Conditions that exclude each other, and whether each is a lookup of a rare value."""
    compiler = Compiler(query, now_ns)
    parts = [compiler.compile_alternatives(node) for node in conjuncts(query.root)]
    rest = [_compile_period(period)]
    lookup: list[Where] = []
    # At most one part becomes branches: that of the rarest values, else the first with several.
    for part in sorted(parts, key=lambda part: not _are_in(part, _UNIQUE)):
        if not lookup and _are_in(part, BLOOM_COLUMNS):
            lookup = part
        else:
            rest.append(any_of(part))
    branches = tuple(
        all_of([one, *map(negated, lookup[:at]), *rest]) for at, one in enumerate(lookup)
    )
    return branches or (all_of(rest),), bool(lookup) and _are_in(lookup, _UNIQUE)


def _are_in(alternatives: Sequence[Where], columns: Collection[str]) -> bool:
    return all(where.looked_up in columns for where in alternatives)


def _compile_period(period: Period) -> Where:
    return all_of(
        Where(f'"received_time" {comparison} ?', (moment,))
        for moment, comparison in ((period.from_ns, ">="), (period.to_ns, "<"))
        if moment is not None
    )


def _segments(catalogue: Catalogue, entries: Bounds, received: Bounds) -> tuple[PinnedSegment, ...]:
    """Those that can hold entries of a range that were received within another, by range."""
    if entries.is_empty or received.is_empty:
        return ()
    period = Period(from_ns=UnixNanos(received.low), to_ns=UnixNanos(received.high))
    return tuple(
        segment
        for segment in segments_within(catalogue, period)
        if segment.named.start < entries.high and segment.named.end > entries.low
    )


def _as_bounds(period: Period) -> Bounds:
    return Bounds(
        low=0 if period.from_ns is None else period.from_ns,
        high=INT64_MAX if period.to_ns is None else period.to_ns,
    )


def _steps(segments: Sequence[PinnedSegment], entries: Bounds, *, is_one: bool) -> Iterator[Step]:
    """What to read one after the other: ranges of entries.

    A step begins where a segment does if it becomes at most twice as long by that: where its bounds
    are those of its segments, the engine need not read them in each entry.
    """
    if not segments:
        return
    first = max(segments[0].named.start, entries.low)
    end = min(segments[-1].named.end, entries.high)
    entries_count = end - first if is_one else FIRST_ENTRIES
    while end > first:
        start = max(end - entries_count, first)
        around = next(one.named.start for one in segments if one.named.end > start)
        if end - around <= 2 * entries_count:
            start = max(around, first)
        inside = (one for one in segments if one.named.start < end and one.named.end > start)
        yield Step(tuple(inside), start, end)
        end = start
        entries_count *= _GROWTH
