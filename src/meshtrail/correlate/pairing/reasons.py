"""Why a record that expects a partner has none, as far as the log explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.pairing.happenings import IS_CALLEE
from meshtrail.correlate.pairing.mesh_memory import NEVER_NS
from meshtrail.correlate.pairing.names import NONE
from meshtrail.correlate.pairing.outcome import REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.mesh_memory import MeshMemory
    from meshtrail.correlate.pairing.names import Codes, Names
    from meshtrail.correlate.pairing.options import PairingOptions

_CODES: Final = {reason: code for code, reason in enumerate(REASONS)}


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time in which records of a reporter are known to be missing.

    Attributes:
        reporter: its ``reporter_id`` or ``reporter_spiffe_id``; None for all of them.
        from_ns, until_ns: on the collector's clock.
        known_ns: arrival of what tells of it; it explains nothing that was decided before.
    """

    reporter: str | None
    from_ns: int
    until_ns: int
    known_ns: int


def other_ips(parts: Columns) -> Codes:
    """Where the other end of each part is: a caller's address, or a server's."""
    is_callee = (parts["flags"] & IS_CALLEE) != 0
    others: Codes = np.where(is_callee, parts["client_ip"], parts["server_ip"])
    return others


def explain(
    parts: Columns,
    *,
    memory: MeshMemory,
    gaps: Sequence[Gap],
    reporters: Names,
    now_ns: int,
    options: PairingOptions,
) -> npt.NDArray[np.int8]:
    """The reason of each part: int8[n], positions in ``REASONS``; the first that holds.

    Args:
        parts: parts that waited in vain.
        memory: who reports.
        gaps: known by now.
        reporters: their names.
        now_ns: end of the grace period.
        options: how long what is remembered.
    """
    other = other_ips(parts)
    received = parts["received_ns"]
    last = memory.last_reported_ns(other)
    reports = last >= now_ns - options.silent_ns
    # A reporter that was heard of in the second half of the grace period goes on reporting.
    is_silent = reports & (last <= received + options.grace_ns // 2)
    is_thin = memory.is_thin(other, from_ns=received, until_ns=now_ns - options.settle_ns)
    since = now_ns - options.memory_ns
    shown = np.where(other == NONE, NEVER_NS, memory.shown_ns[other])
    # Only a callee's part expects anything because its caller showed an identity.
    is_strange = (parts["flags"] & IS_CALLEE == 0) & (last < since) & (shown < since)
    reasons = np.full(len(other), _CODES[Reason.UNKNOWN], dtype=np.int8)
    for reason, holds in (
        (Reason.FILTERED_OR_SAMPLED, reports & is_thin),
        (Reason.SILENT_REPORTER, is_silent),
        (
            Reason.COLLECTOR_GAP,
            _lies_in_gap(parts, memory.reporter[other], gaps, reporters, options),
        ),
        # Whoever has reported neither before a gap nor since does not for its sake.
        (Reason.NOT_MESHED, is_strange),
    ):
        reasons[holds] = _CODES[reason]
    return reasons


def _lies_in_gap(
    parts: Columns,
    other_reporter: Codes,
    gaps: Sequence[Gap],
    reporters: Names,
    options: PairingOptions,
) -> npt.NDArray[np.bool_]:
    """Which parts' partners should have arrived while they could not."""
    lies = np.zeros(len(other_reporter), dtype=np.bool_)
    for gap in gaps:
        # A batch that was lost may have held records of a moment before.
        covers = parts["received_ns"] >= gap.from_ns - options.settle_ns
        covers &= parts["received_ns"] <= gap.until_ns + options.settle_ns
        if gap.reporter is not None and covers.any():
            named = [
                code
                for code in np.unique(other_reporter[covers]).tolist()
                if code != NONE and gap.reporter in reporters.texts[code]
            ]
            covers &= np.isin(other_reporter, named)
        lies |= covers
    return lies
