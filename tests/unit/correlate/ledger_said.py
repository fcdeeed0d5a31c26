"""What the ledger says of rows: everything, or statements of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshtrail.correlate.ledger import Ledger
from meshtrail.model.entry import EntryType
from tests.unit.correlate.ledger_events import BEGIN, at, count, table

if TYPE_CHECKING:
    from tests.unit.correlate.ledger_events import Row

Said = list[dict[str, Any]]


def run(*rows: Row, until_s: float = 600) -> list[tuple[EntryType, dict[str, Any]]]:
    ledger = Ledger(recording_since_ns=BEGIN)
    steps = [*ledger.take(table(*rows)), *ledger.pass_time(at(until_s))]
    return [(one.entry_type, one.payload) for step in steps for one in step.statements]


def gaps(*rows: Row) -> Said:
    return [payload for kind, payload in run(*rows) if kind is EntryType.GAP]


def findings(*rows: Row, until_s: float = 600) -> Said:
    return [payload for kind, payload in run(*rows, until_s=until_s) if kind is EntryType.FINDING]


def minutes(*rows: Row) -> Said:
    return [payload for kind, payload in run(*rows) if kind is EntryType.COUNTER]


def counts(*, written: list[int], every_s: float = 10, **more: Any) -> list[Row]:
    return [count(every_s * (at + 1), one, **more) for at, one in enumerate(written)]
