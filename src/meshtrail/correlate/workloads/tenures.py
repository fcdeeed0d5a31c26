"""How long each pod had each of its addresses.

What is known of a tenure's ends is not the same as the ends: an address is a pod's some time before
an entry says so, and nobody may say that a pod is gone. The rules stand in docs/inventory.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from meshtrail.correlate.workloads.facts import NEVER
from meshtrail.correlate.workloads.texts import NONE, canonical_address, pair_codes

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.workloads.facts import Facts
    from meshtrail.correlate.workloads.texts import Ints

    Bools = npt.NDArray[np.bool_]


class EndedBy(StrEnum):
    """Why an interval ends: a closed list."""

    CHANGE = "change"
    """Something else is known of the pod from then on."""
    DELETION = "deletion"
    PHASE = "phase"
    """It succeeded or failed."""
    ADDRESS = "address"
    """The pod no longer has the address."""
    REUSE = "reuse"
    """A pod that began later was seen at the address, and nothing said that this one was gone."""


@dataclass(slots=True, kw_only=True, eq=False)
class Runs:
    """Facts of a pod in a row that say the same: r runs.

    Attributes:
        first: int64[r], the first fact of each.
        next: int64[r], the fact behind its last.
    """

    first: Ints
    next: Ints


@dataclass(slots=True, kw_only=True, eq=False)
class Tenures:
    """Addresses of pods while they had them: t tenures, of m pairs of a run and an address.

    Attributes:
        run: int64[m].
        address: int64[m], a number of ``addresses``.
        tenure: int64[m], which each pair is part of.
        addresses: string[a], each in its one spelling.
        from_ns: int64[t].
        to_ns: int64[t]; ``NEVER`` where nothing ended it.
        ended_by: int64[t], a position in ``EndedBy``.
    """

    run: Ints
    address: Ints
    tenure: Ints
    addresses: pa.Array
    from_ns: Ints
    to_ns: Ints
    ended_by: Ints


_BY = {one: place for place, one in enumerate(EndedBy)}


def find_runs(facts: Facts) -> Runs:
    """The runs of all pods, in their order."""
    known = [*facts.codes.values(), facts.addresses, facts.pod]
    is_first = np.zeros(len(facts.pod), dtype=np.bool_)
    is_first[:1] = True
    for codes in known:
        is_first[1:] |= codes[1:] != codes[:-1]
    first = np.flatnonzero(is_first)
    return Runs(first=first, next=np.append(first[1:], len(facts.pod))[: len(first)])


def find_tenures(facts: Facts, runs: Runs) -> Tenures:
    """The tenures of all pods, with their ends."""
    run, address, addresses = _split_addresses(facts, runs)
    cluster = facts.codes["cluster"][runs.first][run]
    pod = facts.pod[runs.first][run]
    order = np.lexsort((run, address, cluster, pod))
    run, address, cluster, pod = (column[order] for column in (run, address, cluster, pod))
    is_new = np.ones(len(run), dtype=np.bool_)
    is_new[1:] = (
        (pod[1:] != pod[:-1])
        | (cluster[1:] != cluster[:-1])
        | (address[1:] != address[:-1])
        | (run[1:] != run[:-1] + 1)
    )
    starts = np.flatnonzero(is_new)
    lasts = np.append(starts[1:], len(run))[: len(starts)] - 1
    seen = _read_seen(facts, runs, run[starts], run[lasts])
    group = pair_codes(cluster[starts], address[starts])
    _settle(seen, group)
    return Tenures(
        run=run,
        address=address,
        tenure=np.cumsum(is_new) - 1,
        addresses=addresses,
        from_ns=seen.begin_ns,
        to_ns=seen.end_ns,
        ended_by=seen.ended_by,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Seen:
    """What is known of the ends of each tenure: int64[t] each.

    Attributes:
        begun_ns: when its pod began.
        begin_ns: when the pod can have had the address at the earliest.
        seen_ns: when it had it.
        sure_ns: until when, at least.
        end_ns: until when, at most.
        ended_by: position in ``EndedBy``.
        is_host: bool[t], whether the address is that of the pod's node.
    """

    begun_ns: Ints
    begin_ns: Ints
    seen_ns: Ints
    sure_ns: Ints
    end_ns: Ints
    ended_by: Ints
    is_host: Bools


def _split_addresses(facts: Facts, runs: Runs) -> tuple[Ints, Ints, pa.Array]:
    """Each run with each of its addresses, and the text of each address."""
    codes = facts.addresses[runs.first]
    numbers: dict[str, int] = {}
    split = [_numbered(text, numbers) for text in facts.address_texts.to_pylist()]
    counts = np.array([*map(len, split), 0], dtype=np.int64)
    behind = np.append(np.cumsum(counts[:-1]), 0)
    flat = np.array([number for one in split for number in one], dtype=np.int64)
    repeats = counts[codes]
    run = np.repeat(np.arange(len(codes)), repeats)
    within = np.arange(len(run)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    address = flat[np.repeat((behind - counts)[codes], repeats) + within]
    return run, address, pa.array(list(numbers), pa.string())


def _numbered(text: str | None, numbers: dict[str, int]) -> list[int]:
    """The distinct addresses in a text with commas, as numbers."""
    parts = (canonical_address(part.strip()) for part in (text or "").split(","))
    return list(dict.fromkeys(numbers.setdefault(part, len(numbers)) for part in parts if part))


def _read_seen(facts: Facts, runs: Runs, first_run: Ints, last_run: Ints) -> _Seen:
    """What the facts of its pod say of each tenure."""
    first, behind = runs.first[first_run], runs.next[last_run]
    pod = facts.pod[first]
    created_ns = facts.created_ns[pod]
    is_pods_first = first == facts.first[first]
    begun_ns = np.where(created_ns != NEVER, created_ns, facts.at_ns[facts.first[first]])
    said_otherwise = facts.addresses_source[np.maximum(first - 1, 0)]
    begin_ns = np.where(is_pods_first, begun_ns, np.maximum(facts.at_ns[said_otherwise], begun_ns))
    seen_ns = np.maximum(facts.at_ns[facts.addresses_next[first]], begin_ns)
    is_pods_last = behind == facts.end[first]
    changed_ns = np.where(is_pods_last, NEVER, np.append(facts.at_ns, NEVER)[behind])
    over_ns = facts.over_ns[pod]
    end_ns = np.minimum(changed_ns, over_ns)
    last_seen_ns = facts.at_ns[behind - 1]
    sure_ns = np.where(changed_ns < over_ns, changed_ns, facts.sure_ns[pod])
    sure_ns = np.where(sure_ns == NEVER, last_seen_ns + 1, sure_ns)
    by_pod = np.where(facts.is_over_by_phase[pod], _BY[EndedBy.PHASE], _BY[EndedBy.DELETION])
    return _Seen(
        begun_ns=begun_ns,
        begin_ns=begin_ns,
        # Who is seen when it is over already had it before.
        seen_ns=np.maximum(np.minimum(seen_ns, end_ns), begin_ns),
        sure_ns=np.minimum(sure_ns, end_ns),
        end_ns=end_ns,
        ended_by=np.where(changed_ns < over_ns, _BY[EndedBy.ADDRESS], by_pod),
        is_host=facts.is_on_host[pod],
    )


def _settle(seen: _Seen, group: Ints) -> None:
    """Settle what the tenures of one address say of each other's ends.

    Where no two pods are known to have had an address at once, and it is no node's, it had one
    holder at a time: what nobody ended, the next one ends, and who may have had it yields to who
    had it.
    """
    if not len(group):
        return
    order = np.lexsort((seen.begun_ns, seen.seen_ns, group))
    group, seen_ns = group[order], seen.seen_ns[order]
    sure_ns, end_ns, begin_ns = seen.sure_ns[order], seen.end_ns[order], seen.begin_ns[order]
    is_new = np.append(True, group[1:] != group[:-1])
    starts = np.flatnonzero(is_new)
    number = np.cumsum(is_new) - 1
    # Those that were seen at once are of one rank: none of them comes before the others.
    is_next = is_new | np.append(True, seen_ns[1:] != seen_ns[:-1])
    firsts, rank = np.flatnonzero(is_next), np.cumsum(is_next) - 1
    had_it = sure_ns > seen_ns
    latest = np.maximum.reduceat(sure_ns, firsts)
    is_together = had_it & (_greatest_before(latest, number[firsts])[rank] > seen_ns)
    is_together |= np.add.reduceat(had_it.astype(np.int64), firsts)[rank] > 1
    is_shared = np.logical_or.reduceat(is_together | seen.is_host[order], starts)[number]
    next_ns = _next_begun_later(seen.begun_ns[order], seen_ns, starts)
    is_reused = ~is_shared & (next_ns < end_ns) & (sure_ns < end_ns)
    end_ns = np.where(is_reused, next_ns, end_ns)
    held_ns = _greatest_before(np.maximum.reduceat(end_ns, firsts), number[firsts])[rank]
    held_ns = np.maximum(begin_ns, np.minimum(held_ns, seen_ns))
    seen.begin_ns[order] = np.where(is_shared, begin_ns, held_ns)
    seen.end_ns[order] = end_ns
    seen.ended_by[order[is_reused]] = _BY[EndedBy.REUSE]


def _greatest_before(values: Ints, group: Ints) -> Ints:
    """The greatest value before each row within its group: ``NONE`` for the first."""
    distinct, ranks = np.unique(values, return_inverse=True)
    width = len(distinct) + 1
    before = np.maximum.accumulate(ranks + group * width)
    before = np.append(NONE, before[:-1])
    is_within = before >= group * width
    return np.where(is_within, distinct[np.where(is_within, before - group * width, 0)], NONE)


def _next_begun_later(begun_ns: Ints, seen_ns: Ints, starts: Ints) -> Ints:
    """When the next of the same group that began later was seen; ``NEVER`` without one.

    Cost: one step for each row, in Python.
    """
    found = np.full(len(begun_ns), NEVER, dtype=np.int64)
    begun, seen = begun_ns.tolist(), seen_ns.tolist()
    bounds = [*starts.tolist(), len(begun)]
    for start, end in pairwise(bounds):
        waiting: list[int] = []
        for row in range(start, end) if end - start > 1 else ():
            while waiting and begun[waiting[-1]] < begun[row]:
                found[waiting.pop()] = seen[row]
            waiting.append(row)
    return found
