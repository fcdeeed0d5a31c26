"""The last stages of a window: who waited in vain, and what is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.pairing.attempts import Attempt
from meshtrail.correlate.pairing.happenings import EXPECTS, IS_CALLEE, IS_CONNECTION, taken
from meshtrail.correlate.pairing.keys import NO_REQUEST_ID
from meshtrail.correlate.pairing.names import NONE
from meshtrail.correlate.pairing.open_records import DEFERRED, PRESENT, TOLD, TOLD_NOT_MESHED
from meshtrail.correlate.pairing.outcome import REASONS, Count, Reason
from meshtrail.correlate.pairing.partners import retract
from meshtrail.correlate.pairing.reasons import explain, other_ips

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.open_records import Positions
    from meshtrail.correlate.pairing.state import State

    Mask = npt.NDArray[np.bool_]

_NOT_MESHED: Final = REASONS.index(Reason.NOT_MESHED)
_OVERFLOW: Final = REASONS.index(Reason.OVERFLOW)


def expire(state: State, now_ns: int) -> None:
    """Tell what waited for the grace period in vain, unless it is an attempt or goes on."""
    records = state.records
    first, last = records.expired, records.until(now_ns - state.options.grace_ns)
    records.expired = last
    waits = (records.state[first:last] & PRESENT) != 0
    waits &= (records["flags"][first:last] & EXPECTS) != 0
    positions = np.concatenate([_due_again(state, now_ns), np.flatnonzero(waits) + first])
    if not len(positions):
        return
    parts = taken(records.columns, positions)
    goes_on = _defer(state, positions, parts, now_ns)
    positions, parts = positions[~goes_on], taken(parts, ~goes_on)
    claimed = _claim_attempts(state, positions, parts)
    _leave(state, positions[~claimed], taken(parts, ~claimed), now_ns)


def find_late_attempts(state: State, retried: Columns) -> None:
    """Take back what was told of attempts whose request was reported only now."""
    if not len(retried["request_id"]) or not len(state.told_by_request_id):
        return
    request_ids = np.unique(retried["request_id"])
    is_present = state.records.is_present
    _, found = state.told_by_request_id.find(request_ids, is_present=is_present)
    positions = np.sort(found)
    _claim_attempts(state, positions, taken(state.records.columns, positions))


def drop(state: State, now_ns: int) -> None:
    """Forget what is too old even for a late partner."""
    options, records = state.options, state.records
    first = records.dropped
    records.dropped = last = records.until(now_ns - options.grace_ns - options.late_ns)
    marks = records.state[first:last]
    records.remove(np.flatnonzero((marks & (PRESENT | DEFERRED)) == PRESENT) + first)


def bound(state: State) -> None:
    """Forget the oldest of too many: first what nobody waits for; the rest is told."""
    records = state.records
    excess = len(records) - state.options.open_max
    if excess <= 0:
        return
    marks, flags = records.state[: records.count], records["flags"][: records.count]
    is_present = (marks & PRESENT) != 0
    is_awaited = ((flags & EXPECTS) != 0) & ((marks & (TOLD | TOLD_NOT_MESHED)) == 0)
    spare = np.flatnonzero(is_present & ~is_awaited)[:excess]
    state.report.forgotten_count += int((flags[spare] & EXPECTS == 0).sum())
    awaited = np.flatnonzero(is_present & is_awaited)[: excess - len(spare)]
    parts = taken(records.columns, awaited)
    _tell(state, parts, np.full(len(awaited), _OVERFLOW, dtype=np.int8))
    records.remove(np.concatenate([spare, awaited]))


def _due_again(state: State, now_ns: int) -> Positions:
    """Those deferred records that are still there, and are due."""
    deferred = state.deferred
    is_due = deferred.until_ns < now_ns
    due = deferred.positions[is_due]
    deferred.keep(~is_due)
    return np.sort(due[state.records.is_present(due)])


def _defer(state: State, positions: Positions, parts: Columns, now_ns: int) -> Mask:
    """Let those wait on whose streams go on at the other end; gives which those are."""
    options, marks = state.options, state.records.state
    state.life.forget(now_ns - options.alive_ns)
    until_ns = np.minimum(
        state.life.last_of_other_end(parts) + options.alive_ns,
        parts["received_ns"] + options.grace_ns + options.longest_ns,
    )
    goes_on: Mask = until_ns >= now_ns
    marks[positions[goes_on]] |= DEFERRED
    marks[positions[~goes_on]] &= ~DEFERRED
    state.deferred.add(positions[goes_on], until_ns[goes_on])
    return goes_on


def _claim_attempts(state: State, positions: Positions, parts: Columns) -> Mask:
    """Tell which parts are earlier attempts of requests that were tried again: bool[n]."""
    claimed = np.zeros(len(positions), dtype=np.bool_)
    may_be = (parts["flags"] & (IS_CALLEE | IS_CONNECTION)) == IS_CALLEE
    may_be &= parts["request_id"] != NO_REQUEST_ID
    requests = []
    for at in np.flatnonzero(may_be).tolist() if len(state.retried) else ():
        attempt = Attempt(
            int(parts["request_id"][at]),
            int(parts["client_ip"][at]),
            int(parts["start_ns"][at]),
            int(parts["tolerance_ns"][at]),
        )
        request = state.retried.claim(
            attempt, reporter_of=lambda address: int(state.memory.reporter[address])
        )
        if request is not None:
            claimed[at] = True
            requests.append(request)
    if not requests:
        return claimed
    attempts, marks = taken(parts, claimed), state.records.state[positions[claimed]]
    state.records.remove(positions[claimed])
    state.report.count(Count.ATTEMPTS, attempts["reporter"], attempts["received_ns"])
    retract(state, attempts, marks)
    state.report.attempt(
        {
            "source_index": np.array(requests, dtype=np.int64),
            "destination_index": attempts["log_index"],
            "retracts_destination": (marks & TOLD) != 0,
        }
    )
    return claimed


def _leave(state: State, positions: Positions, parts: Columns, now_ns: int) -> None:
    """Tell that parts are without a partner, and why; a late one may still come."""
    if not len(positions):
        return
    options, records = state.options, state.records
    state.gaps = [gap for gap in state.gaps if gap.until_ns >= now_ns - options.replay_ns]
    reasons = explain(
        parts,
        memory=state.memory,
        gaps=[gap for gap in state.gaps if gap.known_ns < now_ns],
        reporters=state.registers.reporters,
        now_ns=now_ns,
        options=options,
    )
    _tell(state, parts, reasons)
    records.state[positions] |= np.where(reasons == _NOT_MESHED, TOLD_NOT_MESHED, TOLD)
    # One that was deferred beyond the time for late partners is not dropped by its age any more.
    is_old = parts["received_ns"] < now_ns - options.grace_ns - options.late_ns
    records.remove(positions[is_old])
    has_id = (parts["request_id"] != NO_REQUEST_ID) & ~is_old
    state.told_by_request_id.add(
        parts["request_id"][has_id], positions[has_id], is_present=records.is_present
    )


def _tell(state: State, parts: Columns, reasons: npt.NDArray[np.int8]) -> None:
    is_strange = reasons == _NOT_MESHED
    for what, which in ((Count.NOT_MESHED, is_strange), (Count.UNPAIRED, ~is_strange)):
        state.report.count(what, parts["reporter"][which], parts["received_ns"][which])
    other = other_ips(parts)
    reporters = np.where(other == NONE, np.int32(NONE), state.memory.reporter[other])
    state.report.leave(parts, others=reporters, reasons=reasons)
