"""Searches one log: pins what is published, plans, runs. What the faces use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.search.catalogue import open_catalogue, segments_within
from meshtrail.search.engine import Engine
from meshtrail.search.find import find_newest
from meshtrail.search.limits import Deadline
from meshtrail.search.plan import plan_search
from meshtrail.store.manifest_follower import ManifestFollower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from meshtrail.note import Verifier
    from meshtrail.search.catalogue import Catalogue
    from meshtrail.search.limits import SearchLimits
    from meshtrail.search.period import Period
    from meshtrail.search.plan import Plan, SearchRequest
    from meshtrail.store.layout import Layout
    from meshtrail.units import UnixNanos


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """Rows of a person's SQL, and what they rest on.

    Attributes:
        catalogue: what was pinned.
        batches: runs as it is read; at least one batch, so that the columns are known.
    """

    catalogue: Catalogue
    batches: Iterator[pa.RecordBatch]


class Searcher:
    """Searches one log, one search at a time. A context manager.

    What was read of segments' footers is kept, so a second search is far faster than the first.
    """

    def __init__(
        self, layout: Layout, verifier: Verifier, *, origin: str, limits: SearchLimits
    ) -> None:
        """Take the log to search.

        Args:
            layout: of the data directory.
            verifier: the log's key; whether it is trusted or only claimed is the caller's to say.
            origin: of its log.
            limits: of each search.
        """
        self._layout = layout
        self._verifier = verifier
        self._origin = origin
        self._limits = limits
        self._manifests = ManifestFollower(layout, verifier, origin=origin)
        self.engine = Engine(layout.segments, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what runs and let go of the files."""
        self.engine.close()

    def start(self) -> Deadline:
        """The deadline of a search that begins now."""
        return Deadline(self._limits.seconds_max)

    def pin(self) -> Catalogue:
        """What is searchable now.

        Raises:
            SignatureError, ManifestError, NoteSyntaxError: what the directory says of itself does
                not hold.
        """
        return open_catalogue(
            self._layout, self._verifier, origin=self._origin, manifests=self._manifests
        )

    def plan(self, request: SearchRequest, *, now_ns: UnixNanos) -> Plan:
        """Plan a search of what is published now.

        Raises:
            QueryError: the query is not understood; says where.
            TamperError: the directory does not hold what it says.
        """
        return plan_search(request, self.pin(), now_ns=now_ns)

    def find(self, plan: Plan) -> Iterator[pa.RecordBatch]:
        """Run a plan.

        Yields:
            Batches with the plan's columns, newest first; some may have no rows.

        Raises:
            BudgetError: a limit was reached.
            MissingFileError, DigestError: a segment is gone, or does not read back.
        """
        return find_newest(self.engine, plan, self.start())

    def run_sql(self, sql: str, period: Period) -> SqlAnswer:
        """Run a person's SQL over the events of a period.

        Raises:
            QueryError: it is not one SELECT over ``events``, or it fails.
            BudgetError: a limit was reached.
        """
        catalogue = self.pin()
        segments = segments_within(catalogue, period)
        return SqlAnswer(
            catalogue, self.engine.run_sql(sql, segments, period, deadline=self.start())
        )
