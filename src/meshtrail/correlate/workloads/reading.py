"""The workload events of a log, as of now or as of an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from meshtrail.correlate.workloads.address_history import AddressHistory
from meshtrail.correlate.workloads.facts import WORKLOAD_COLUMNS, shorten_details
from meshtrail.correlate.workloads.lifetimes import pod_lifetimes
from meshtrail.errors import BudgetError
from meshtrail.model.event import Kind
from meshtrail.search.plan import SearchRequest

if TYPE_CHECKING:
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

EVENTS_MAX: Final = 2_000_000
"""Workload events that are read: at ten for each pod, those of 200,000 pods, and 1 GB."""


def read_workloads(
    searcher: Searcher, *, now_ns: UnixNanos, tree_size: int | None = None
) -> pa.Table:
    """What a log says of pods.

    Args:
        searcher: of the log.
        now_ns: the time.
        tree_size: how much of the log is read, for what was known when it had so many entries; all
            of it when None.

    Returns:
        ``WORKLOAD_COLUMNS``, newest first; of ``detail`` only what lifetimes need.

    Raises:
        BudgetError: there are too many of them, or a limit of the search was reached.
        TamperError: the directory does not hold what it says.
    """
    known = "" if tree_size is None else f" AND log_index:<{tree_size}"
    request = SearchRequest(
        query=f"kind:{Kind.WORKLOAD}{known}", columns=WORKLOAD_COLUMNS, limit=EVENTS_MAX + 1
    )
    plan = searcher.plan(request, now_ns=now_ns)
    events = pa.Table.from_batches(map(_shortened, searcher.find(plan)), schema=plan.schema)
    if events.num_rows > EVENTS_MAX:
        raise BudgetError(
            f"the log has more than {EVENTS_MAX:,} workload events: ask for the state at an "
            "earlier entry",
            entries_max=EVENTS_MAX,
        )
    return events


def read_history(
    searcher: Searcher, *, now_ns: UnixNanos, tree_size: int | None = None
) -> AddressHistory:
    """Who had which address, by what a log says of pods.

    Raises:
        BudgetError, TamperError: as for ``read_workloads``.
    """
    return AddressHistory(
        pod_lifetimes(read_workloads(searcher, now_ns=now_ns, tree_size=tree_size))
    )


def _shortened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch without what takes most of the room and says nothing of lifetimes."""
    place = batch.schema.get_field_index("detail")
    return batch.set_column(place, "detail", shorten_details(batch.column(place)))
