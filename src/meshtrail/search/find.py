"""Runs a plan: the newest matches first, stopping as soon as there are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from meshtrail.search.engine import Engine
    from meshtrail.search.limits import Deadline
    from meshtrail.search.plan import Plan


def find_newest(engine: Engine, plan: Plan, deadline: Deadline) -> Iterator[pa.RecordBatch]:
    """The newest entries that a plan finds, newest first, as many as were asked for.

    Yields:
        Batches with the plan's columns; the first of each step may have no rows.

    Raises:
        BudgetError, MissingFileError, DigestError: as ``Engine.run``.
    """
    wanted = plan.request.limit
    for step in plan.steps:
        statement = plan.sql(step, limit=wanted)
        for batch in engine.run(statement.sql, statement.values, deadline=deadline):
            wanted -= batch.num_rows
            yield batch
        if not wanted:
            return


def find_oldest(engine: Engine, plan: Plan, deadline: Deadline) -> Iterator[pa.RecordBatch]:
    """Everything that a plan finds, oldest first, without limit.

    Raises:
        BudgetError, MissingFileError, DigestError: as ``Engine.run``.
    """
    for step in reversed(plan.steps):
        statement = plan.sql(step, limit=None, is_newest_first=False)
        yield from engine.run(statement.sql, statement.values, deadline=deadline)
