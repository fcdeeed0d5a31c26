"""Who reports: each distinct claim under each authenticated identity, and the rows that are its.

A claim alone is nobody: whoever sends another's name under an identity of his own is a reporter of
his own, and his records fill no gap of the other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

KEY_COLUMNS: Final = ("reporter_id", "reporter_spiffe_id", "reporter_token")
REPORTERS_MAX: Final = 100_000
"""A sender can claim a new name with each stream; further ones are one reporter together."""

OVERFLOW: Final = "(others)"
"""Stands for the reporters beyond that."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """A proxy or node as it is known here.

    Attributes:
        id: what it claims to be.
        spiffe_id: what it was authenticated as.
        token: the token that it came with.
    """

    id: str | None = None
    spiffe_id: str | None = None
    token: str | None = None

    @property
    def name(self) -> str | None:
        """What people look it up by."""
        return self.id or self.spiffe_id or self.token


class Reporters:
    """Numbers reporters, from 0 in the order in which they were first heard of."""

    def __init__(self) -> None:
        self._numbers: dict[Reporter, int] = {}
        self._by_names: dict[tuple[str | None, str | None], int] = {}
        self._shared_names: set[tuple[str | None, str | None]] = set()
        self.all: list[Reporter] = []

    def number(self, events: pa.Table) -> npt.NDArray[np.int64]:
        """The reporter of each row.

        Args:
            events: with ``KEY_COLUMNS``, n rows.

        Returns:
            int64[n]; -1 for rows that nobody reported, such as meshtrail's own.
        """
        count = events.num_rows
        combined = np.zeros(count, dtype=np.int64)
        dictionaries = []
        for name in KEY_COLUMNS:
            codes, values = _codes(events.column(name))
            combined = combined * (len(values) + 1) + codes
            dictionaries.append(values)
        distinct, rows = np.unique(combined, return_inverse=True)
        numbers = np.array([self._number(one, dictionaries) for one in distinct.tolist()], np.int64)
        return numbers[rows] if count else combined

    def find(self, claimed: str | None, spiffe_id: str | None) -> int | None:
        """The reporter that was last heard of under these names."""
        return self._by_names.get((claimed, spiffe_id))

    def find_each(
        self, claimed: pa.ChunkedArray, spiffe_ids: pa.ChunkedArray
    ) -> npt.NDArray[np.int64]:
        """The only reporter that was heard of under each two names; -1 for none or several."""
        (codes, names), (others, identities) = _codes(claimed), _codes(spiffe_ids)
        distinct, rows = np.unique(codes * (len(identities) + 1) + others, return_inverse=True)
        numbers = []
        for one in distinct.tolist():
            name, identity = divmod(one, len(identities) + 1)
            key = [None, *names][name], [None, *identities][identity]
            numbers.append(-1 if key in self._shared_names else self._by_names.get(key, -1))
        return np.array(numbers, np.int64)[rows]

    def _number(self, combined: int, dictionaries: list[list[str]]) -> int:
        parts: list[str | None] = []
        for values in reversed(dictionaries):
            combined, code = divmod(combined, len(values) + 1)
            parts.append(values[code - 1] if code else None)
        token, spiffe_id, claimed = parts
        reporter = Reporter(claimed, spiffe_id, token)
        if reporter.name is None:
            return -1
        if reporter not in self._numbers and len(self.all) >= REPORTERS_MAX:
            reporter = Reporter(OVERFLOW)
        if reporter not in self._numbers:
            self._numbers[reporter] = len(self.all)
            names = reporter.id, reporter.spiffe_id
            if names in self._by_names:
                self._shared_names.add(names)
            self._by_names[names] = len(self.all)
            self.all.append(reporter)
        return self._numbers[reporter]


def rows_by_number(
    numbers: npt.NDArray[np.int64],
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The rows of each number but -1, each in the order of the table."""
    order = np.argsort(numbers, kind="stable")
    order = order[np.count_nonzero(numbers < 0) :]
    for rows in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if len(rows):
            yield int(numbers[rows[0]]), rows


def _codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Codes from 1 and their values; 0 for null."""
    encoded = column.unify_dictionaries().combine_chunks().dictionary_encode()
    codes = pc.fill_null(pc.add(encoded.indices, 1), 0)
    return np.asarray(codes, dtype=np.int64), encoded.dictionary.to_pylist()
