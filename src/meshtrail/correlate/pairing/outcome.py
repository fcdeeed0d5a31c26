"""What pairing tells: pairs, attempts, records without a partner, and counts, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from meshtrail.correlate.pairing.happenings import IS_CALLEE, IS_CONNECTION, IS_WHOLE
from meshtrail.correlate.pairing.names import NONE
from meshtrail.model.event import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns, Registers
    from meshtrail.correlate.pairing.names import Codes

MINUTE_NS: Final = 60_000_000_000


class Reason(StrEnum):
    """Why a record that expects a partner has none."""

    COLLECTOR_GAP = "collector_gap"
    SILENT_REPORTER = "silent_reporter"
    FILTERED_OR_SAMPLED = "filtered_or_sampled"
    NOT_MESHED = "not_meshed"
    UNKNOWN = "unknown"
    OVERFLOW = "overflow"


class Count(IntEnum):
    """What is counted for each reporter and minute, in the order of the columns."""

    EXPECTED = 0
    PAIRED = 1
    ATTEMPTS = 2
    UNPAIRED = 3
    NOT_MESHED = 4
    LOCALLY_ANSWERED = 5


REASONS: Final = tuple(Reason)
"""Reasons by number, as columns hold them until they are written out."""

_COUNT_NAMES: Final = tuple(count.name.lower() for count in Count)
_I64: Final = pa.int64()
_S: Final = pa.string()
_CODED: Final = pa.dictionary(pa.int32(), _S)


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


_REPORTER: Final = {"reporter_id": _CODED, "reporter_spiffe_id": _CODED}


def _of_end(end: str) -> dict[str, pa.DataType]:
    numbers = ("index", "time", "end_time", "received_time")
    reporter = {f"{end}_{name}": kind for name, kind in _REPORTER.items()}
    return {f"{end}_{name}": _I64 for name in numbers} | reporter


PAIR_SCHEMA: Final = _schema(
    **_of_end("source"),
    **_of_end("destination"),
    kind=_CODED,
    same_request_id=pa.bool_(),
    are_whole=pa.bool_(),
    retracts_source=pa.bool_(),
    retracts_destination=pa.bool_(),
)
"""``same_request_id``: joined by addresses, time and request id, else by addresses and time.
``are_whole``: both ends say when it began and ended, and nothing broke it off or was tried again.
``retracts_…``: that end had been told as unpaired, and is no more."""

ATTEMPT_SCHEMA: Final = _schema(
    source_index=_I64, destination_index=_I64, retracts_destination=pa.bool_()
)
"""Records of earlier attempts of a retried request."""

UNPAIRED_SCHEMA: Final = _schema(
    log_index=_I64, side=_CODED, kind=_CODED, **_REPORTER, time=_I64, end_time=_I64,
    received_time=_I64, other_ip=_S, other_port=pa.int32(), other_reporter_id=_CODED,
    other_reporter_spiffe_id=_CODED, reason=_CODED,
)  # fmt: skip
"""``other_…``: where the other end is, and whose proxy is known to report from there."""

COUNT_SCHEMA: Final = _schema(**_REPORTER, minute=_I64, **dict.fromkeys(_COUNT_NAMES, _I64))
"""Changes to the counts of a reporter and minute (of ``received_time``): add them up. What was
told as unpaired and is retracted counts -1, so that in the end ``expected`` is ``paired``,
``attempts``, ``unpaired`` and ``not_meshed`` together; ``locally_answered`` were not expected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call of ``Pairing.take`` found out.

    Attributes:
        pairs: ``PAIR_SCHEMA``.
        attempts: ``ATTEMPT_SCHEMA``.
        unpaired: ``UNPAIRED_SCHEMA``.
        counts: ``COUNT_SCHEMA``.
        forgotten_count: records that need no partner, forgotten early because too many waited.
        decided_until_ns: records that arrived before have been looked at.
    """

    pairs: pa.Table
    attempts: pa.Table
    unpaired: pa.Table
    counts: pa.Table
    forgotten_count: int
    decided_until_ns: int


def join_outcomes(several: Sequence[Outcome], *, decided_until_ns: int) -> Outcome:
    """Several outcomes as one."""
    if len(several) == 1:
        return several[0]
    pairs, attempts, unpaired, counts = (
        pa.concat_tables([getattr(one, name) for one in several]).unify_dictionaries()
        for name in ("pairs", "attempts", "unpaired", "counts")
    )
    forgotten_count = sum(one.forgotten_count for one in several)
    return Outcome(pairs, attempts, unpaired, counts, forgotten_count, decided_until_ns)


class Report:
    """Collects what the steps of one call find, as numbers, and writes it out."""

    def __init__(self) -> None:
        self._pairs: list[Columns] = []
        self._attempts: list[Columns] = []
        self._unpaired: list[Columns] = []
        self.forgotten_count = 0
        self._counts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []

    def pair(self, source: Columns, destination: Columns) -> None:
        """Tell pairs: parts, with ``is_retracted`` besides."""
        same = (source["request_id"] == destination["request_id"]) & (source["request_id"] != 0)
        are_whole = (source["flags"] & destination["flags"] & IS_WHOLE) != 0
        columns = {"flags": source["flags"], "same_request_id": same, "are_whole": are_whole}
        for end, parts in (("source", source), ("destination", destination)):
            columns |= {
                f"{end}_index": parts["log_index"],
                f"{end}_time": parts["start_ns"],
                f"{end}_end_time": parts["end_ns"],
                f"{end}_received_time": parts["received_ns"],
                f"{end}_reporter": parts["reporter"],
                f"retracts_{end}": parts["is_retracted"],
            }
        self._pairs.append(columns)

    def attempt(self, attempts: Columns) -> None:
        """Tell attempts: ``ATTEMPT_SCHEMA``."""
        self._attempts.append(attempts)

    def leave(self, parts: Columns, *, others: Codes, reasons: npt.NDArray[np.int8]) -> None:
        """Tell parts without a partner, with the reporters of their other ends."""
        self._unpaired.append(parts | {"other_reporter": others, "reason": reasons})

    def count(
        self, what: Count, reporter: Codes, received_ns: npt.NDArray[np.int64], by: int = 1
    ) -> None:
        """Count something for each of some records."""
        if not len(reporter):
            return
        minutes = received_ns // MINUTE_NS
        first = int(minutes.min())
        width = int(reporter.max()) + 1
        height = int(minutes.max()) - first + 1
        cells = (minutes - first) * width + reporter
        if width * height <= 4 * len(cells) + 65_536:
            dense = np.bincount(cells)
            found = np.flatnonzero(dense)
            amounts = dense[found]
        else:
            found, amounts = np.unique(cells, return_counts=True)
        keys = np.stack([found % width, found // width + first, np.full_like(found, what)])
        self._counts.append((keys, amounts * by))

    def write(
        self, registers: Registers, reporters: ReporterColumns, *, decided_until_ns: int
    ) -> Outcome:
        """Everything as tables."""
        reporters.follow(registers.reporters.texts)
        return Outcome(
            pairs=_write_pairs(_joined(self._pairs), reporters),
            attempts=_table(_joined(self._attempts), ATTEMPT_SCHEMA),
            unpaired=_write_unpaired(_joined(self._unpaired), reporters, registers),
            counts=self._write_counts(reporters),
            forgotten_count=self.forgotten_count,
            decided_until_ns=decided_until_ns,
        )

    def _write_counts(self, reporters: ReporterColumns) -> pa.Table:
        if not self._counts:
            return COUNT_SCHEMA.empty_table()
        keys = np.concatenate([keys for keys, _ in self._counts], axis=1)
        amounts = np.concatenate([amounts for _, amounts in self._counts])
        (reporter, minute), places = np.unique(keys[:2], axis=1, return_inverse=True)
        table = np.zeros((len(Count), len(reporter)), dtype=np.int64)
        np.add.at(table, (keys[2], places.reshape(-1)), amounts)
        columns = dict(zip(_COUNT_NAMES, table, strict=True))
        return _table(
            reporters.columns("reporter", reporter) | {"minute": minute * MINUTE_NS} | columns,
            COUNT_SCHEMA,
        )


class ReporterColumns:
    """The names of reporters as dictionary columns, made anew only when there are new ones."""

    def __init__(self) -> None:
        self._names: list[Any] = []
        self._names_count = -1
        self._dictionaries: list[tuple[Codes, pa.Array]] = []

    def follow(self, names: list[Any]) -> None:
        """Take over names: a list that only grows, or another list."""
        if names is self._names and len(names) == self._names_count:
            return
        self._names, self._names_count = names, len(names)
        self._dictionaries = []
        for at in (1, 0):
            values = [name[at] for name in names]
            distinct = dict.fromkeys(value for value in values if value is not None)
            codes = {value: code for code, value in enumerate(distinct)}
            by_reporter = [NONE if value is None else codes[value] for value in values]
            self._dictionaries.append(
                (np.array([*by_reporter, NONE], dtype=np.int32), pa.array(list(codes), _S))
            )

    def columns(self, name: str, reporters: npt.NDArray[Any]) -> dict[str, Any]:
        """``{name}_id`` and ``{name}_spiffe_id``."""
        return {
            f"{name}{end}": _coded(codes[reporters], names)
            for end, (codes, names) in zip(("_id", "_spiffe_id"), self._dictionaries, strict=True)
        }


def _coded(codes: npt.NDArray[Any], values: pa.Array | Sequence[str]) -> pa.DictionaryArray:
    names = values if isinstance(values, pa.Array) else pa.array(values, _S)
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, names)


def _joined(several: list[Columns]) -> Columns | None:
    if not several:
        return None
    return {name: np.concatenate([one[name] for one in several]) for name in several[0]}


def _table(columns: dict[str, Any] | None, schema: pa.Schema) -> pa.Table:
    if columns is None:
        return schema.empty_table()
    arrays = [
        value if isinstance(value := columns[field.name], pa.Array) else pa.array(value, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _kinds(flags: npt.NDArray[np.uint8]) -> pa.DictionaryArray:
    is_connection = (flags & IS_CONNECTION) != 0
    return _coded(is_connection.astype(np.int32), [Kind.REQUEST.value, Kind.CONNECTION.value])


def _write_pairs(columns: Columns | None, reporters: ReporterColumns) -> pa.Table:
    if columns is None:
        return PAIR_SCHEMA.empty_table()
    named: dict[str, Any] = {**columns, "kind": _kinds(columns["flags"])}
    for end in ("source", "destination"):
        named |= reporters.columns(f"{end}_reporter", columns[f"{end}_reporter"])
    return _table(named, PAIR_SCHEMA)


def _write_unpaired(
    columns: Columns | None, reporters: ReporterColumns, registers: Registers
) -> pa.Table:
    if columns is None:
        return UNPAIRED_SCHEMA.empty_table()
    is_callee = (columns["flags"] & IS_CALLEE) != 0
    # A callee's part looks for its caller, a caller's for the server.
    other_ip = np.where(is_callee, columns["client_ip"], columns["server_ip"])
    other_port = np.where(is_callee, columns["client_port"], columns["server_port"])
    texts = registers.addresses.texts
    named = {
        "log_index": columns["log_index"],
        "side": _coded(is_callee.astype(np.int32), ["source", "destination"]),
        "kind": _kinds(columns["flags"]),
        "time": columns["start_ns"],
        "end_time": columns["end_ns"],
        "received_time": columns["received_ns"],
        "other_ip": pa.array([texts[code] if code >= 0 else None for code in other_ip], _S),
        "other_port": pa.array(other_port, mask=other_port < 0),
        "reason": _coded(columns["reason"], [reason.value for reason in REASONS]),
    }
    named |= reporters.columns("reporter", columns["reporter"])
    named |= reporters.columns("other_reporter", columns["other_reporter"])
    return _table(named, UNPAIRED_SCHEMA)
