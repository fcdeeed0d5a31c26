"""What all handlers of one serve process share."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from meshtrail.api.entry_reader import EntryReader
from meshtrail.api.head_watch import HeadWatch
from meshtrail.api.published_log import PublishedLog
from meshtrail.api.search_pool import SearchPool
from meshtrail.api.serve_metrics import ServeMetrics
from meshtrail.api.span_reader import SpanReader
from meshtrail.app.figures import read_figures
from meshtrail.app.sql_runner import SqlRunner
from meshtrail.store.manifest_follower import ManifestFollower

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from meshtrail.app.figures import Figures
    from meshtrail.config import ServeOptions
    from meshtrail.search.searcher import Searcher
    from meshtrail.store.layout import Layout
    from meshtrail.units import Clock
    from meshtrail.verify.pins import TrustedKey

FIGURES_SECONDS: Final = 1.0


class Diag(Protocol):
    """Where diagnostics go: the name of an event and its facts."""

    def info(self, event: str, **facts: object) -> object:
        """Note something that happened."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Note something that somebody should look at."""
        ...

    def error(self, event: str, **facts: object) -> object:
        """Raise an alarm."""
        ...

    def exception(self, event: str, **facts: object) -> object:
        """Raise an alarm about a mistake of our own, with its traceback."""
        ...


class LatestFigures:
    """The figures of a log, read once for all who ask within a second."""

    def __init__(
        self, layout: Layout, key: TrustedKey, manifests: ManifestFollower, *, clock: Clock
    ) -> None:
        self._layout = layout
        self._key = key
        self._manifests = manifests
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_s = 0.0
        self._figures: Figures | None = None

    async def read(self) -> Figures:
        """Figures that are at most a second old.

        Raises:
            TamperError, InputError, OSError: see ``read_figures``.
        """
        async with self._lock:
            if self._figures is None or time.monotonic() - self._read_s > FIGURES_SECONDS:
                self._figures = None
                self._figures = await asyncio.to_thread(self._read)
                self._read_s = time.monotonic()
            return self._figures

    def _read(self) -> Figures:
        verifier = self._key.verifier
        return read_figures(
            self._layout, verifier, self._manifests, origin=verifier.name, clock=self._clock
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One log, and what answers for it.

    Attributes:
        searches: where searches run.
        sql: where SQL runs, in a process that can be killed.
        following: where live tails read.
        alarms: this process's own, by name.
        stopping: set once the process is to end.
        spans: what live tails read with, on the one thread of ``following``.
        tails: those that are open.
    """

    layout: Layout
    key: TrustedKey
    options: ServeOptions
    clock: Clock
    diag: Diag
    alarms: Counter[str]
    metrics: ServeMetrics
    figures: LatestFigures
    log: PublishedLog
    searches: SearchPool[Searcher]
    sql: SearchPool[SqlRunner]
    following: SearchPool[Searcher]
    heads: HeadWatch
    stopping: asyncio.Event
    spans: SpanReader = field(default_factory=SpanReader)
    tails: set[object] = field(default_factory=set)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.key.verifier.name


@contextmanager
def open_serving(
    layout: Layout,
    key: TrustedKey,
    options: ServeOptions,
    *,
    clock: Clock,
    diag: Diag,
    alarms: Counter[str],
    version: str,
) -> Iterator[Serving]:
    """Put together what the handlers of one log share; searches are stopped at the end.

    Args:
        layout: of the data directory.
        key: of its log.
        options: bounds.
        clock: of the machine.
        diag: hears what happens.
        alarms: counts what ``diag`` is told as an error.
        version: of meshtrail.
    """
    origin = key.verifier.name
    manifests = ManifestFollower(layout, key.verifier, origin=origin)
    log = PublishedLog(layout, key.verifier, manifests, EntryReader(layout.root), origin=origin)
    stopping = asyncio.Event()

    def make_searcher() -> Searcher:
        # Not before somebody searches: until then nobody waits for the engine to be imported.
        from meshtrail.search.searcher import Searcher  # noqa: PLC0415 - see above

        return Searcher(layout, key.verifier, origin=origin, limits=options.make_search_limits())

    metrics = ServeMetrics(version=version)
    serving = Serving(
        layout=layout,
        key=key,
        options=options,
        clock=clock,
        diag=diag,
        alarms=alarms,
        metrics=metrics,
        figures=LatestFigures(layout, key, manifests, clock=clock),
        log=log,
        searches=SearchPool(
            make_searcher,
            name="search",
            places_count=options.searches_max,
            waiting_max=options.searches_waiting_max,
        ),
        sql=SearchPool(
            lambda: SqlRunner(layout, key.verifier, options.make_search_limits()),
            name="sql",
            places_count=1,
            waiting_max=options.searches_waiting_max,
        ),
        # One thread for all tails; each has at most one reading under way, so they take turns.
        following=SearchPool(
            make_searcher, name="follow", places_count=1, waiting_max=options.tails_max
        ),
        heads=HeadWatch(layout.published, log.read_head, stopping=stopping),
        stopping=stopping,
    )
    pools = (serving.searches, serving.sql)
    metrics.searches_running.set_function(lambda: sum(pool.running_count for pool in pools))
    metrics.searches_waiting.set_function(lambda: sum(pool.waiting_count for pool in pools))
    metrics.tails_open.set_function(lambda: len(serving.tails))
    try:
        yield serving
    finally:
        serving.searches.close()
        serving.sql.close()
        serving.following.close()
