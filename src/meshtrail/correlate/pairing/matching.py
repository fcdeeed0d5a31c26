"""Which records of a group of candidates are pairs: by addresses and time, in the order of time.

A group holds parts whose keys are equal. A caller's and a callee's part agree when their addresses
are equal and the callee's began within the caller's time, give or take the tolerance between two
clocks. Of several that agree, a callee's part, earliest first, takes the caller's that ends first:
that leaves no pair unmade which could have been made besides.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from meshtrail.correlate.pairing.happenings import EXPECTS, IS_CONNECTION
from meshtrail.correlate.pairing.names import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from meshtrail.correlate.pairing.open_records import OpenRecords, Positions
    from meshtrail.correlate.pairing.sorted_runs import Keys

_ADDRESS = ("client_ip", "client_port", "server_ip", "server_port", "flags")


class Found(NamedTuple):
    """Parts of one role: their keys, in any order, and their positions."""

    keys: Keys
    positions: Positions


class Pairs(NamedTuple):
    """Positions of the callers' and of the callees' parts of some pairs."""

    callers: Positions
    callees: Positions


class Member(NamedTuple):
    """A part in a group that is looked at by itself; sorts by time."""

    start_ns: int
    log_index: int
    end_ns: int
    tolerance_ns: int
    position: int
    client: tuple[int, int, int]
    server: tuple[int, int]
    expects: bool


class _Groups(NamedTuple):
    """Groups with both roles: first place and length of each in the sorted positions."""

    callers: Positions
    caller_firsts: Positions
    caller_counts: Positions
    callees: Positions
    callee_firsts: Positions
    callee_counts: Positions

    def where(self, which: npt.NDArray[np.bool_]) -> _Groups:
        """Some of the groups."""
        return self._replace(
            **{
                name: getattr(self, name)[which]
                for name in ("caller_firsts", "caller_counts", "callee_firsts", "callee_counts")
            }
        )


def pair_groups(records: OpenRecords, callers: Found, callees: Found) -> Pairs:
    """The pairs among candidates with equal keys.

    Nearly all groups are one caller's part and one callee's; those, and the ones where the k-th
    caller's part agrees with the k-th callee's all the way, are paired as columns.
    """
    groups = _common_groups(callers, callees)
    is_single = (groups.caller_counts == 1) & (groups.callee_counts == 1)
    single, several = groups.where(is_single), groups.where(~is_single)
    left = single.callers[single.caller_firsts]
    right = single.callees[single.callee_firsts]
    agreeing = _agree(records, left, right, _tolerances(records, left, right))
    found = [Pairs(left[agreeing], right[agreeing])]
    if len(several.caller_firsts):
        in_order, is_in_order = _pair_in_order(records, several)
        found += [in_order, _pair_one_by_one(records, several.where(~is_in_order))]
    return Pairs(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _common_groups(callers: Found, callees: Found) -> _Groups:
    sides = []
    for keys, positions in (callers, callees):
        order = np.argsort(keys)
        keys_sorted = keys[order]
        firsts = np.flatnonzero(np.diff(keys_sorted, prepend=~keys_sorted[:1]))
        counts = np.diff(firsts, append=len(keys_sorted))
        sides.append((keys_sorted[firsts], positions[order], firsts, counts))
    ours, theirs = sides
    right = np.searchsorted(theirs[0], ours[0])
    right[right == len(theirs[0])] = 0
    left = np.flatnonzero(theirs[0][right] == ours[0]) if len(theirs[0]) else right[:0]
    right = right[left]
    return _Groups(
        ours[1], ours[2][left], ours[3][left], theirs[1], theirs[2][right], theirs[3][right]
    )


def _tolerances(records: OpenRecords, callers: Positions, callees: Positions) -> Positions:
    tolerance = records["tolerance_ns"]
    widest: Positions = np.maximum(tolerance[callers], tolerance[callees])
    return widest


def _agree(
    records: OpenRecords, callers: Positions, callees: Positions, tolerance_ns: Positions
) -> npt.NDArray[np.bool_]:
    """Which caller's part agrees with the callee's beside it: bool[n]."""
    client_ip, server_ip = records["client_ip"], records["server_ip"]
    client_port, server_port = records["client_port"], records["server_port"]
    start, flags = records["start_ns"], records["flags"]
    callers_server, callees_server = server_ip[callers], server_ip[callees]
    same_server = callers_server == callees_server
    same_server &= server_port[callers] == server_port[callees]
    same_server |= (callers_server == NONE) | (callees_server == NONE)
    began = start[callees]
    agreeing: npt.NDArray[np.bool_] = (
        same_server
        & (client_ip[callers] == client_ip[callees])
        & (client_port[callers] == client_port[callees])
        & (((flags[callers] ^ flags[callees]) & IS_CONNECTION) == 0)
        & (began >= start[callers] - tolerance_ns)
        & (began <= records["end_ns"][callers] + tolerance_ns)
    )
    return agreeing


def _pair_in_order(records: OpenRecords, groups: _Groups) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """Pairs of those groups where the k-th agrees with the k-th; and which groups those are.

    They are what one by one would give: of one connection, with callers' parts that end in the
    order in which they began, the first that is left is the first to end.
    """
    ours = _by_time(records, groups.callers, groups.caller_firsts, groups.caller_counts)
    theirs = _by_time(records, groups.callees, groups.callee_firsts, groups.callee_counts)
    is_clean = _is_one_connection(records, ours, groups.caller_counts)
    is_clean &= _is_one_connection(records, theirs, groups.callee_counts)
    our_starts, their_starts = _starts(groups.caller_counts), _starts(groups.callee_counts)
    is_clean &= records["server_ip"][ours[our_starts]] != NONE
    falls = np.diff(records["end_ns"][ours], prepend=0) < 0
    falls[our_starts] = False
    is_clean &= ~np.logical_or.reduceat(falls, our_starts)
    tolerance = np.maximum(
        np.maximum.reduceat(records["tolerance_ns"][ours], our_starts),
        np.maximum.reduceat(records["tolerance_ns"][theirs], their_starts),
    )
    counts = np.minimum(groups.caller_counts, groups.callee_counts)
    group = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(group)) - np.repeat(_starts(counts), counts)
    callers, callees = ours[our_starts[group] + rank], theirs[their_starts[group] + rank]
    agreeing = _agree(records, callers, callees, tolerance[group])
    agreeing &= records["server_ip"][callees] != NONE
    is_clean &= np.logical_and.reduceat(agreeing, _starts(counts))
    chosen = is_clean[group]
    return Pairs(callers[chosen], callees[chosen]), is_clean


def _by_time(
    records: OpenRecords, positions: Positions, firsts: Positions, counts: Positions
) -> Positions:
    """The members of groups, group by group, each in the order of time."""
    starts = _starts(counts)
    members = positions[np.repeat(firsts - starts, counts) + np.arange(counts.sum())]
    group = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((records["log_index"][members], records["start_ns"][members], group))
    ordered: Positions = members[order]
    return ordered


def _is_one_connection(
    records: OpenRecords, members: Positions, counts: Positions
) -> npt.NDArray[np.bool_]:
    """Which groups have one client, one server and one kind of expectation throughout."""
    starts = _starts(counts)
    differs = np.zeros(len(members), dtype=np.bool_)
    for name in _ADDRESS:
        values = records[name][members]
        differs |= values != np.repeat(values[starts], counts)
    one: npt.NDArray[np.bool_] = ~np.logical_or.reduceat(differs, starts)
    return one


def _starts(counts: Positions) -> Positions:
    starts: Positions = np.cumsum(counts) - counts
    return starts


def _pair_one_by_one(records: OpenRecords, groups: _Groups) -> Pairs:
    pairs: list[tuple[int, int]] = []
    ours = _members(records, groups.callers, groups.caller_firsts, groups.caller_counts)
    theirs = _members(records, groups.callees, groups.callee_firsts, groups.callee_counts)
    for callers, callees in zip(ours, theirs, strict=True):
        pairs += pair_members(callers, callees)
    made = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Pairs(made[:, 0], made[:, 1])


def _members(
    records: OpenRecords, positions: Positions, firsts: Positions, counts: Positions
) -> list[list[Member]]:
    """The members of each group as objects, in the order of time."""
    members = _by_time(records, positions, firsts, counts)
    flags = records["flags"][members]
    names = ("client_ip", "client_port", "server_ip", "server_port")
    columns: dict[str, list[Any]] = {name: records[name][members].tolist() for name in names}
    is_connection = (flags & IS_CONNECTION).tolist()
    rows = zip(
        records["start_ns"][members].tolist(),
        records["log_index"][members].tolist(),
        records["end_ns"][members].tolist(),
        records["tolerance_ns"][members].tolist(),
        members.tolist(),
        zip(columns["client_ip"], columns["client_port"], is_connection, strict=True),
        zip(columns["server_ip"], columns["server_port"], strict=True),
        ((flags & EXPECTS) != 0).tolist(),
        strict=True,
    )
    flat = [Member(*row) for row in rows]
    ends = np.cumsum(counts).tolist()
    return [flat[end - count : end] for end, count in zip(ends, counts.tolist(), strict=True)]


def pair_members(callers: Sequence[Member], callees: Sequence[Member]) -> list[tuple[int, int]]:
    """The pairs of one group, as positions.

    Known servers come before unknown ones, and among the records of one connection those that
    expect a partner before those that may have one: a listener's record of a TCP connection does
    not take the place of the proxy's own.
    """
    pairs: list[tuple[int, int]] = []
    ours, theirs = _split(callers, "client"), _split(callees, "client")
    for client in ours.keys() & theirs.keys():
        pairs += _pair_of_client(ours[client], theirs[client])
    return pairs


def _pair_of_client(callers: list[Member], callees: list[Member]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    ours, theirs = _split(callers, "server"), _split(callees, "server")
    for server in ours.keys() & theirs.keys():
        if server[0] != NONE:
            left, right = ours[server], theirs[server]
            first = _pair_by_time([o for o in left if o.expects], [o for o in right if o.expects])
            pairs += first + _pair_by_time(_without(left, first), _without(right, first))
    unknown = [one for one in callers if one.server[0] == NONE]
    pairs += _pair_by_time(unknown, _without(callees, pairs))
    unknown = [one for one in _without(callees, pairs) if one.server[0] == NONE]
    pairs += _pair_by_time(_without(callers, pairs), unknown)
    return pairs


def _split(members: Iterable[Member], name: str) -> dict[Any, list[Member]]:
    by_value: dict[Any, list[Member]] = {}
    for one in members:
        by_value.setdefault(getattr(one, name), []).append(one)
    return by_value


def _without(members: Iterable[Member], pairs: Sequence[tuple[int, int]]) -> list[Member]:
    done = {position for pair in pairs for position in pair}
    return [one for one in members if one.position not in done]


def _pair_by_time(callers: Sequence[Member], callees: Sequence[Member]) -> list[tuple[int, int]]:
    """Each callee's part, in the order of time, with the caller's around it that ends first."""
    if not callers or not callees:
        return []
    tolerance = max(one.tolerance_ns for group in (callers, callees) for one in group)
    waiting: list[tuple[int, int, int, int]] = []
    pairs, at = [], 0
    for callee in callees:
        while at < len(callers) and callers[at].start_ns - tolerance <= callee.start_ns:
            one = callers[at]
            heappush(waiting, (one.end_ns, one.start_ns, one.log_index, one.position))
            at += 1
        # What has ended for this one has ended for all that come after it.
        while waiting and waiting[0][0] + tolerance < callee.start_ns:
            heappop(waiting)
        if waiting:
            pairs.append((heappop(waiting)[-1], callee.position))
    return pairs
