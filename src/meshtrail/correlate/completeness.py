"""How complete a period is: what the ledger has sealed about each reporter, added up.

Beside it stands what sources tell of their own losses, as Hubble does.

No log can prove that something which was never recorded and never counted did not happen. This says
what was counted, what came, and what is known to be missing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from meshtrail.model.event import Kind
from meshtrail.search.moments import format_moment
from meshtrail.search.period import Period
from meshtrail.search.table import escape
from meshtrail.units import INT64_MAX, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.search.searcher import Searcher

TOLD_LATER_NS: Final = 180_000_000_000
"""What is sealed about a moment is sealed within this, as long as the ledger runs."""

# The detail of statements is looked into by functions that read text; JSON functions would need an
# extension of the engine. ``about`` is null but in statements, so row groups without any are left
# out by their statistics.
_NAMES_MAX: Final = 3
_SECONDS: Final = 19
_OWN: Final = "source = 'meshtrail'"
_MINUTES: Final = "kind = 'counter' AND contains(detail, '\"name\":\"ledger_minute\"')"
_OF_A_KIND: Final = f"(({_MINUTES}) OR kind IN ('gap', 'finding'))"
_BY_LEDGER: Final = f"{_OWN} AND contains(detail, '\"step_ns\":') AND {_OF_A_KIND}"
# Hubble tells of its losses itself. Its words are those of whoever sent the line: they stand under
# the identity of that sender, and nothing of the ledger's is read out of them.
_BY_HUBBLE: Final = "source = 'hubble' AND kind = 'gap' AND NOT is_duplicate"
_STATED: Final = f"about IS NOT NULL AND (({_BY_LEDGER}) OR ({_BY_HUBBLE}))"
_IN_DETAIL: Final = 'regexp_extract(detail, \'"spiffe_id":"([^"]*)"\', 1)'
_SPIFFE_ID: Final = f"CASE WHEN {_OWN} THEN {_IN_DETAIL} ELSE coalesce(reporter_spiffe_id, '') END"
# A reporter's own clock may be hours off, and it chooses it: a period is the collector's.
_NUMBER: Final = "TRY_CAST(regexp_extract(detail, '\"{}\":([0-9]+)', 1) AS BIGINT)"
_SEEN: Final = "CASE WHEN {} THEN coalesce({}, {}) ELSE {} END"
_FROM: Final = _SEEN.format(_OWN, _NUMBER.format("seen_from_ns"), "time", "received_time")
_UNTIL: Final = _SEEN.format(_OWN, _NUMBER.format("seen_until_ns"), "end_time", "received_time + 1")
_FIGURES: Final = (
    "received",
    "duplicates",
    "undecoded",
    "late",
    "expected",
    "paired",
    "answered",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Records of one reporter that are missing for one cause.

    Attributes:
        missing_max: None where nothing bounds it.
        gaps_count: statements that this adds up.
        first_ns: where the first begins, on the collector's clock.
        last_ns: where the last ends.
    """

    cause: str
    missing_min: int
    missing_max: int | None
    gaps_count: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """Findings about one reporter of one cause."""

    cause: str
    findings_count: int
    first_ns: int
    last_ns: int


@dataclass(slots=True, kw_only=True)
class ReporterCompleteness:
    """The account of one reporter.

    Attributes:
        about: its name, which it claims.
        spiffe_id: what it was authenticated as.
        minutes_count: minutes that were accounted for.
        told_until_ns: end of the last of them; None before the first.
        received: records that came in, and were sealed.
        duplicates: of retries, not counted in ``received``.
        undecoded: of them, that cannot be read.
        late: of them, that had been told as missing before they came.
        expected: of them, that another reporter should have a record of, too.
        paired: of them, where it has.
        answered: of them, that the proxy answered itself.
    """

    about: str
    spiffe_id: str | None = None
    minutes_count: int = 0
    told_until_ns: int | None = None
    received: int = 0
    duplicates: int = 0
    undecoded: int = 0
    late: int = 0
    expected: int = 0
    paired: int = 0
    answered: int = 0
    missing: list[Missing] = field(default_factory=list)
    noticed: list[Noticed] = field(default_factory=list)

    @property
    def missing_min(self) -> int:
        """Records that are missing, at least."""
        return sum(one.missing_min for one in self.missing)

    @property
    def missing_max(self) -> int | None:
        """Records that are missing, at most; None where nothing bounds it."""
        return _add(one.missing_max for one in self.missing)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is known to be missing, and nothing is odd."""
        return not self.missing and not self.noticed


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The account of a period.

    Attributes:
        reporters: by name.
        asked_ns: when it was asked for.
    """

    period: Period
    reporters: tuple[ReporterCompleteness, ...]
    asked_ns: int

    @property
    def told_until_ns(self) -> int | None:
        """Up to when anything was accounted for; None where nothing was."""
        told = [one.told_until_ns for one in self.reporters if one.told_until_ns is not None]
        return max(told, default=None)

    @property
    def is_late(self) -> bool:
        """Whether the account should go on longer than it does: the ledger may not run."""
        until_ns = min(self.period.to_ns or self.asked_ns, self.asked_ns)
        return self.told_until_ns is not None and self.told_until_ns + TOLD_LATER_NS < until_ns

    def as_json(self) -> dict[str, Any]:
        """Plain facts."""
        return {
            "from_ns": self.period.from_ns,
            "to_ns": self.period.to_ns,
            "told_until_ns": self.told_until_ns,
            "reporters": [
                {
                    **asdict(one),
                    "missing_min": one.missing_min,
                    "missing_max": one.missing_max,
                }
                for one in self.reporters
            ],
        }

    def summary(self) -> str:
        """One line: what a result of this period rests on."""
        if not self.reporters:
            return "completeness: nothing is accounted for in this period"
        lossy = [one for one in self.reporters if one.missing]
        odd = [one for one in self.reporters if one.noticed]
        received = sum(one.received for one in self.reporters)
        count = len(self.reporters)
        # A minute is told when its pairs are known; what is missing, when it is missed.
        is_told = any(one.minutes_count for one in self.reporters)
        records = f"{received:,} records" if is_told else "no minute told yet"
        text = f"completeness: {count} reporter{'s' * (count > 1)}, {records}"
        if self.told_until_ns is not None and self.is_late:
            text += f" accounted for until {format_moment(self.told_until_ns)[:_SECONDS]}Z"
        if not lossy and not odd:
            return f"{text}, nothing known to be missing"
        if lossy:
            low = sum(one.missing_min for one in lossy)
            high = _add(one.missing_max for one in lossy)
            text += f", {format_bounds(low, high)} missing of {_names(lossy)}"
        return text + (f", look at {_names(odd)}" if odd else "")


def read_completeness(searcher: Searcher, period: Period, *, now_ns: int) -> Completeness:
    """What the ledger has sealed about a period.

    Args:
        searcher: of the log.
        period: on the collector's clock.
        now_ns: by which something should have been told.

    Raises:
        BudgetError, TamperError: as for a search.
    """
    later = None if period.to_ns is None else UnixNanos(period.to_ns + TOLD_LATER_NS)
    searched = Period(from_ns=period.from_ns, to_ns=later)
    batches = searcher.run_sql(_statements_sql(period), searched).batches
    reporters: dict[tuple[str, str], ReporterCompleteness] = {}
    for row in pa.Table.from_batches(batches).to_pylist():
        key = row["about"], row["spiffe_id"]
        one = reporters.setdefault(
            key, ReporterCompleteness(about=key[0], spiffe_id=key[1] or None)
        )
        _add_statements(one, row)
    return Completeness(
        period=period,
        reporters=tuple(reporters[key] for key in sorted(reporters)),
        asked_ns=now_ns,
    )


def _add_statements(one: ReporterCompleteness, row: dict[str, Any]) -> None:
    """Take in the statements of one kind and cause about a reporter."""
    if row["kind"] == Kind.COUNTER:
        one.minutes_count, one.told_until_ns = row["count"], row["last_ns"]
        for name in _FIGURES:
            setattr(one, name, int(row[name] or 0))
    elif row["kind"] == Kind.GAP:
        one.missing.append(_missing(row))
    else:
        noticed = Noticed(
            cause=row["cause"],
            findings_count=row["count"],
            first_ns=row["first_ns"],
            last_ns=row["last_ns"],
        )
        one.noticed.append(noticed)


def format_bounds(low: int, high: int | None) -> str:
    """A number of records as people read it."""
    if high is None:
        return f"{low:,} or more" if low else "an unknown number"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _missing(row: dict[str, Any]) -> Missing:
    is_bounded = row["bounded"] == row["count"]
    return Missing(
        cause=row["cause"],
        missing_min=int(row["missing_min"]),
        missing_max=int(row["missing_max"]) if is_bounded else None,
        gaps_count=row["count"],
        first_ns=row["first_ns"],
        last_ns=row["last_ns"],
    )


def _statements_sql(period: Period) -> str:
    figures = ", ".join(f"sum({_NUMBER.format(name)}) AS {name}" for name in _FIGURES)
    within = f"{_UNTIL} > {period.from_ns or 0} AND {_FROM} < {period.to_ns or INT64_MAX}"
    return (
        f"SELECT about, {_SPIFFE_ID} AS spiffe_id, kind, cause, count(*) AS count, "  # noqa: S608 - names and numbers of our own
        "sum(missing_min) AS missing_min, sum(missing_max) AS missing_max, "
        f"count(missing_max) AS bounded, min({_FROM}) AS first_ns, max({_UNTIL}) AS last_ns, "
        f"{figures} FROM events WHERE {_STATED} AND {within} "
        "GROUP BY ALL ORDER BY kind, cause"
    )


def _add(highs: Iterable[int | None]) -> int | None:
    """The sum; None where one of them is unbounded."""
    known = list(highs)
    return None if None in known else sum(high for high in known if high is not None)


def _names(reporters: list[ReporterCompleteness]) -> str:
    # Names are what senders say of themselves.
    shown = ", ".join(escape(one.about) for one in reporters[:_NAMES_MAX])
    more = len(reporters) - _NAMES_MAX
    return f"{shown} and {more} more" if more > 0 else shown
