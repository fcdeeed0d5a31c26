"""What became of each imported record: an event, and the reason where something was not read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.search.searcher import Searcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshtrail.app.data import OwnedData
    from meshtrail.app.importing import ImportedFile

_LIMITS: Final = SearchLimits(memory_bytes_max=1 << 30, threads_count=2, seconds_max=600)
_SQL: Final = """
    SELECT stream, kind, decode_error,
        count(*) AS records, min(log_index) AS first, max(log_index) AS last
    FROM events
    WHERE stream IN ({streams}) AND kind NOT IN ('stream_opened', 'stream_closed')
    GROUP BY ALL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAccount:
    """Every record of one file.

    Attributes:
        name: of the file.
        records_count: that were read of it.
        repeated_count: of these, how many had been imported before.
        kinds: events by kind; together as many as records.
        reasons: events by what could not be read of them.
        first_index: of its entries.
        last_index: likewise; other entries may lie between.
    """

    name: str
    records_count: int
    repeated_count: int
    kinds: Counter[str]
    reasons: Counter[str]
    first_index: int | None
    last_index: int | None

    def as_json(self) -> dict[str, Any]:
        """Plain facts."""
        return {
            "file": self.name,
            "records": self.records_count,
            "repeated": self.repeated_count,
            "kinds": dict(sorted(self.kinds.items())),
            "reasons": dict(sorted(self.reasons.items())),
            "first_index": self.first_index,
            "last_index": self.last_index,
        }


def account_for(owned: OwnedData, files: Sequence[ImportedFile]) -> Iterator[FileAccount]:
    """The account of each file, read from the log.

    Raises:
        TamperError: the log does not hold what it says.
        BudgetError: it takes over ten minutes.
    """
    rows = _count(owned, sorted(set[int]().union(*(file.streams for file in files))))
    for file in files:
        own = [row for row in rows if row["stream"] in file.streams]
        kinds: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for row in own:
            kinds[row["kind"]] += row["records"]
            if row["decode_error"] is not None:
                reasons[row["decode_error"]] += row["records"]
        yield FileAccount(
            name=file.name,
            records_count=file.records_count,
            repeated_count=file.repeated_count,
            kinds=kinds,
            reasons=reasons,
            first_index=min((row["first"] for row in own), default=None),
            last_index=max((row["last"] for row in own), default=None),
        )


def _count(owned: OwnedData, streams: Sequence[int]) -> list[dict[str, Any]]:
    if not streams:
        return []
    sql = _SQL.format(streams=", ".join(map(str, streams)))
    verifier = owned.signer.verifier
    searcher = Searcher(owned.layout, verifier, origin=verifier.name, limits=_LIMITS)
    with searcher:
        answer = searcher.run_sql(sql, Period())
        return [row for batch in answer.batches for row in batch.to_pylist()]
