"""The right answers: by brute force over columns of the whole log, without any search engine.

Segments are read with pyarrow, paths matched by Python's own regular expressions. 20 bytes for each
entry stay in memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.harness.search.questions import (
    LIMIT,
    Answer,
    ByCaller,
    ById,
    ByPath,
    ByPrincipal,
    PairCounts,
    Proof,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from bench.harness.search.questions import Pair, Question, Window

ID_COLUMNS = ("trace_id", "request_id")
NULL_PLACE = -1
_TEXT_COLUMNS = ("src_spiffe_id", "dst_spiffe_id", "url_path")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogColumns:
    """What questions are about, a value for each entry, by leaf index.

    Attributes:
        received_ns: int64[n]; never decreases.
        callers: int32[n], places in ``identities``; -1 where null.
        callees: the same.
        path_places: int32[n], places in ``paths``; -1 where null.
        identities: each once, in order of appearance.
        paths: each once.
    """

    received_ns: npt.NDArray[np.int64]
    callers: npt.NDArray[np.int32]
    callees: npt.NDArray[np.int32]
    path_places: npt.NDArray[np.int32]
    identities: Sequence[str]
    paths: Sequence[str]

    def range_of(self, window: Window) -> tuple[int, int]:
        """The entries [start, end) that were received within a window."""
        start, end = np.searchsorted(self.received_ns, [window.from_ns, window.to_ns])
        return int(start), int(end)


@dataclass(slots=True)
class _TextPlaces:
    """Numbers texts in order of appearance."""

    places: dict[str, int] = field(default_factory=dict)

    def encode(self, column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """The place of each value."""
        encoded = column.combine_chunks().dictionary_encode()
        own = [
            self.places.setdefault(text, len(self.places))
            for text in encoded.dictionary.to_pylist()
        ]
        places = np.array([*own, NULL_PLACE], dtype=np.int32)
        indices = np.asarray(pc.fill_null(encoded.indices, len(own)).to_numpy())
        return np.asarray(places[indices])


def read_log_columns(segments: Sequence[Path]) -> LogColumns:
    """Read what questions are about.

    Args:
        segments: the live ones, ascending, without hole.
    """
    identities, paths = _TextPlaces(), _TextPlaces()
    received, callers, callees, path_places = [], [], [], []
    for segment in segments:
        table = pq.read_table(segment, columns=["received_time", *_TEXT_COLUMNS], partitioning=None)
        received.append(np.asarray(table["received_time"].to_numpy(), dtype=np.int64))
        callers.append(identities.encode(table["src_spiffe_id"]))
        callees.append(identities.encode(table["dst_spiffe_id"]))
        path_places.append(paths.encode(table["url_path"]))
    return LogColumns(
        received_ns=np.concatenate(received),
        callers=np.concatenate(callers),
        callees=np.concatenate(callees),
        path_places=np.concatenate(path_places),
        identities=tuple(identities.places),
        paths=tuple(paths.places),
    )


def take_ids(
    segments: Sequence[Path], column: str, indexes: npt.NDArray[np.int64]
) -> dict[int, bytes]:
    """The ids of some entries, in the order asked for; those without one are left out."""
    found: dict[int, bytes] = {}
    for start, ids in _read_ids(segments, column):
        here = indexes[(indexes >= start) & (indexes < start + len(ids))]
        values = ids.take(pa.array(here - start)).to_pylist()
        pairs = zip(here.tolist(), values, strict=True)
        found |= {index: value for index, value in pairs if value is not None}
    return {index: found[index] for index in indexes.tolist() if index in found}


def find_ids(
    segments: Sequence[Path], column: str, values: Collection[bytes]
) -> dict[bytes, tuple[int, ...]]:
    """Every entry that has one of some ids, newest first."""
    wanted = pa.array(sorted(values), pa.binary(16))
    found: dict[bytes, list[int]] = defaultdict(list)
    for start, ids in _read_ids(segments, column):
        matches = pc.indices_nonzero(pc.is_in(ids, value_set=wanted, skip_nulls=True))
        pairs = zip(matches.to_pylist(), ids.take(matches).to_pylist(), strict=True)
        for place, value in pairs:
            found[value].append(start + place)
    return {value: tuple(reversed(indexes)) for value, indexes in found.items()}


def _read_ids(segments: Sequence[Path], column: str) -> Iterator[tuple[int, pa.ChunkedArray]]:
    """The ids of one segment after the other, behind the leaf index of the first."""
    start = 0
    for segment in segments:
        ids = pq.read_table(segment, columns=[column], partitioning=None)[column]
        yield start, ids
        start += len(ids)


class Reference:
    """Answers every question, slowly and obviously right."""

    def __init__(
        self, columns: LogColumns, ids: Mapping[str, Mapping[bytes, tuple[int, ...]]]
    ) -> None:
        """Take what was read.

        Args:
            columns: of the whole log.
            ids: for each id column, the entries of every id that will be asked for.
        """
        self._columns = columns
        self._ids = ids
        self._places = {identity: place for place, identity in enumerate(columns.identities)}

    def answer(self, question: Question) -> Answer:
        """The only right answer."""
        columns = self._columns
        match question:
            case ById(column=column, value=value):
                return self._ids[column][value][:LIMIT]
            case ByCaller(identity=identity, window=window):
                start, end = columns.range_of(window)
                return _newest(columns.callers[start:end] == self._place(identity), start)
            case ByPrincipal(identity):
                place = self._place(identity)
                return _newest((columns.callers == place) | (columns.callees == place))
            case PairCounts(window):
                return self._count_pairs(window)
            case ByPath(pattern):
                matches = re.compile(pattern).fullmatch
                fits = [matches(path) is not None for path in columns.paths]
                # The last place, -1, is that of entries without a path.
                return _newest(np.array([*fits, False])[columns.path_places])
            case Proof(leaf_index=leaf_index):
                return (leaf_index, int(columns.received_ns[leaf_index]))

    def _place(self, identity: str) -> int:
        """Where an identity is; beyond all places when the log does not have it."""
        return self._places.get(identity, len(self._places))

    def _count_pairs(self, window: Window) -> dict[Pair, int]:
        start, end = self._columns.range_of(window)
        # A pair as one number, with 0 for null.
        base = len(self._columns.identities) + 1
        callers = self._columns.callers[start:end].astype(np.int64) + 1
        pairs, counts = np.unique(
            callers * base + self._columns.callees[start:end] + 1, return_counts=True
        )
        names = (None, *self._columns.identities)
        return {
            (names[pair // base], names[pair % base]): count
            for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
        }


def _newest(is_match: npt.NDArray[np.bool_], start: int = 0) -> tuple[int, ...]:
    """The last leaf indexes that match, newest first."""
    return tuple((np.flatnonzero(is_match)[-LIMIT:][::-1] + start).tolist())
