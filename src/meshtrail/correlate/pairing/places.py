"""Where proxies report from, as it is written down and read back.

All else that pairing knows follows from the rows of ``PairingOptions.replay_ns``; an address counts
as a proxy's for longer than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from meshtrail.correlate.pairing.mesh_memory import NEVER_NS
from meshtrail.correlate.pairing.names import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.correlate.pairing.state import State


class Place(NamedTuple):
    """An address in the mesh.

    Attributes:
        ip: as it was first spelled.
        reporter_spiffe_id, reporter_id: who last reported from there; both None for nobody.
        reported_ns: when, on the collector's clock; None for never.
        shown_ns: when a caller there last showed an identity; None for never.
    """

    ip: str
    reporter_spiffe_id: str | None
    reporter_id: str | None
    reported_ns: int | None
    shown_ns: int | None


def read_places(state: State, now_ns: int) -> list[Place]:
    """The addresses that count as proxies' at a moment, by number."""
    memory, registers = state.memory, state.registers
    count = len(registers.addresses)
    state.reserve()
    options = state.options
    used = memory.used_addresses(now_ns - options.memory_ns, count_max=options.names_max)[:count]
    codes = np.flatnonzero(used)
    reported = memory.last_reported_ns(codes.astype(np.int32)).tolist()
    shown = memory.shown_ns[codes].tolist()
    names: list[tuple[str | None, str | None]] = [
        registers.reporters.texts[reporter] if reporter != NONE else (None, None)
        for reporter in memory.reporter[codes].tolist()
    ]
    return [
        Place(registers.addresses.texts[code], *name, _known(reported_ns), _known(shown_ns))
        for code, name, reported_ns, shown_ns in zip(
            codes.tolist(), names, reported, shown, strict=True
        )
    ]


def learn_places(state: State, places: Iterable[Place]) -> None:
    """Take over what was known before the rows that are taken."""
    memory, registers = state.memory, state.registers
    for place in places:
        address = registers.addresses.code(place.ip)
        names = place.reporter_spiffe_id, place.reporter_id
        reporter = registers.reporters.code(names) if names != (None, None) else NONE
        state.reserve()
        if place.shown_ns is not None:
            memory.shown_ns[address] = max(memory.shown_ns[address], place.shown_ns)
        if place.reported_ns is not None and reporter != NONE:
            memory.reported_ns[address] = place.reported_ns
            memory.reporter[address] = reporter
            memory.reporter_ns[reporter] = max(memory.reporter_ns[reporter], place.reported_ns)


def _known(moment_ns: int) -> int | None:
    return None if moment_ns == NEVER_NS else moment_ns
