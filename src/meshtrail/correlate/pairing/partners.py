"""The first two stages of a window: pairs by request id as records come, by connection later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshtrail.correlate.pairing.happenings import EXPECTS, IS_CALLEE, IS_CONNECTION, taken
from meshtrail.correlate.pairing.keys import NO_REQUEST_ID, keys_with_request_id
from meshtrail.correlate.pairing.open_records import TOLD, TOLD_NOT_MESHED
from meshtrail.correlate.pairing.outcome import Count
from meshtrail.correlate.pairing.reasons import other_ips

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.matching import Pairs
    from meshtrail.correlate.pairing.open_records import Positions
    from meshtrail.correlate.pairing.state import State


def pair_new(state: State, parts: Columns) -> None:
    """Let parts wait, and pair those that share connection, time and request id with another."""
    expecting = (parts["flags"] & EXPECTS) != 0
    received = parts["received_ns"][expecting]
    state.report.count(Count.EXPECTED, parts["reporter"][expecting], received)
    state.memory.expect(other_ips(parts)[expecting], received)
    positions = state.records.append(parts)
    has_id = parts["request_id"] != NO_REQUEST_ID
    keys = keys_with_request_id(parts["key"], parts["request_id"])
    _tell(state, state.by_request_id.pair(state.records, keys[has_id], positions[has_id]))


def pair_settled(state: State, now_ns: int) -> None:
    """Pair those that share connection and time, among what has waited for its request id.

    TCP connections that need no partner stand back twice as long: a listener's record of one must
    not take the caller's from the proxy's own, which may arrive a little later.
    """
    records, settle_ns = state.records, state.options.settle_ns
    first, records.settled = records.settled, records.until(now_ns - settle_ns)
    firmly = np.arange(first, records.settled, dtype=np.int64)
    first, records.yielded = records.yielded, records.until(now_ns - 2 * settle_ns)
    meekly = np.arange(first, records.yielded, dtype=np.int64)
    yields = [
        (records["flags"][positions] & (IS_CONNECTION | EXPECTS)) == IS_CONNECTION
        for positions in (firmly, meekly)
    ]
    positions = np.concatenate([firmly[~yields[0]], meekly[yields[1]]])
    positions = positions[records.is_present(positions)]
    if len(positions):
        keys = records["key"][positions]
        _tell(state, state.by_connection.pair(records, keys, positions))
        _excuse_attempts(state, positions[records.is_present(positions)])


def _excuse_attempts(state: State, positions: Positions) -> None:
    """Do not take what is left of retried requests for a sign that their caller is sampled."""
    parts = taken(state.records.columns, positions)
    is_callee = (parts["flags"] & (IS_CALLEE | EXPECTS)) == (IS_CALLEE | EXPECTS)
    parts = taken(parts, is_callee)
    parts = taken(parts, state.retried.knows(parts["request_id"]))
    state.memory.pair(other_ips(parts), parts["received_ns"])


def retract(state: State, parts: Columns, marks: npt.NDArray[np.uint8]) -> None:
    """Take back the counts of what was told of some parts.

    Args:
        state: where it is counted.
        parts: what found its partner after all.
        marks: the state in which it waited.
    """
    for mark, what in ((TOLD, Count.UNPAIRED), (TOLD_NOT_MESHED, Count.NOT_MESHED)):
        told = (marks & mark) != 0
        state.report.count(what, parts["reporter"][told], parts["received_ns"][told], by=-1)


def _tell(state: State, pairs: Pairs) -> None:
    if not len(pairs.callers):
        return
    ends = []
    for positions in pairs:
        parts = taken(state.records.columns, positions)
        marks = state.records.state[positions]
        parts["is_retracted"] = (marks & (TOLD | TOLD_NOT_MESHED)) != 0
        ends.append(parts)
        expecting = (parts["flags"] & EXPECTS) != 0
        received = parts["received_ns"][expecting]
        state.report.count(Count.PAIRED, parts["reporter"][expecting], received)
        state.memory.pair(other_ips(parts)[expecting], received)
        retract(state, parts, marks)
    state.report.pair(*ends)
