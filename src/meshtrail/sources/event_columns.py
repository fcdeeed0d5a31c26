"""The event columns that some records become, and why values are missing."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Kind
from meshtrail.sources.columns import labelled, mask_null, plain

if TYPE_CHECKING:
    from meshtrail.model.event import Trust


@dataclass
class EventColumns:
    """The event columns of some records, by name, and why values are missing.

    Attributes:
        rows_count: records.
        columns: what is set; every other column is null.
        problems: bool[n] by reason: rows that have this problem.
        refused: bool[n] by reason: rows of which nothing is told. Where identities or decision
            cannot be read, the rest would say something else than the record.
    """

    rows_count: int
    columns: dict[str, pa.Array] = field(default_factory=dict)
    problems: dict[str, pa.Array] = field(default_factory=dict)
    refused: dict[str, pa.Array] = field(default_factory=dict)

    def note(self, problems: pa.Array) -> None:
        """Note a column of reasons, null where there is none."""
        self.problems |= _rows_by_reason(problems)

    def refuse(self, problems: pa.Array) -> None:
        """Make the rows with a reason say that, and nothing else."""
        self.refused |= _rows_by_reason(problems)

    def trust(self, name: str, how: Trust) -> None:
        """Label a column; null where the column is."""
        self.columns[f"{name}_trust"] = labelled(pc.is_valid(self.columns[name]), how.value)

    def blank_refused(self, bad: dict[int, str]) -> None:
        """Make rows that cannot be read say so, and nothing else; the last step of a mapping.

        Args:
            bad: why a record could not be decoded, by row.
        """
        refused = dict(self.refused)
        for reason in sorted(set(bad.values())):
            here = np.zeros(self.rows_count, dtype=np.bool_)
            here[[row for row, why in bad.items() if why == reason]] = True
            refused[reason] = pa.array(here)
        if not refused:
            return
        keep = pc.invert(functools.reduce(pc.or_, refused.values()))
        for name, column in self.columns.items():
            self.columns[name] = mask_null(column, keep)
        self.columns["kind"] = pc.fill_null(self.columns["kind"], Kind.UNDECODED.value)
        for reason, where in self.problems.items():
            self.problems[reason] = pc.and_(where, keep)
        for reason, where in refused.items():
            # One reason may refuse some rows and be a remark on others.
            noted = self.problems.get(reason)
            self.problems[reason] = where if noted is None else pc.or_(noted, where)


def explain_undecoded(out: EventColumns, bad: dict[int, str]) -> None:
    """Give rows that say nothing the reason why, in place of what a later step made of them.

    Args:
        out: where these rows are undecoded.
        bad: the reason, by row.
    """
    if not bad:
        return
    others = np.ones(out.rows_count, dtype=np.bool_)
    others[list(bad)] = False
    keep = pa.array(others)
    out.problems = {reason: pc.and_(where, keep) for reason, where in out.problems.items()}
    for reason in sorted(set(bad.values())):
        here = pa.array([bad.get(row) == reason for row in range(out.rows_count)])
        known = out.problems.get(reason)
        out.problems[reason] = here if known is None else pc.or_(known, here)


def _rows_by_reason(problems: pa.Array) -> dict[str, pa.Array]:
    problems = plain(problems)
    return {
        reason: pc.fill_null(pc.equal(problems, reason), fill_value=False)
        for reason in pc.unique(problems).drop_null().to_pylist()
    }
