"""Who had an address at a nanosecond: whole columns of questions, answered by binary search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from meshtrail.correlate.workloads.grouped_moments import GroupedMoments
from meshtrail.correlate.workloads.networks import Networks
from meshtrail.correlate.workloads.texts import (
    NONE,
    canonical_address,
    encode_texts,
    integers,
    pair_codes,
)
from meshtrail.correlate.workloads.timelines import INT64_MIN, NOBODY, Timelines
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.correlate.workloads.texts import Ints

_ANY: Final = 0
"""The cluster of a question that names none."""
_UNNAMED: Final = 1
"""The cluster of pods whose source names none."""
_FIRST: Final = 2
_ROWS_AT_ONCE: Final = 1 << 17
"""So many questions fit into the processor's cache with what answers them."""


@dataclass(frozen=True, slots=True, eq=False)
class Holders:
    """Who had the addresses: n answers.

    Attributes:
        row: int64[n], a row of the lifetimes: of those that held then, the one that began last;
            null for nobody.
        candidates: int32[n], how many pods had the address within the error of the clock.
        is_certain: bool[n], whether it is the only one.
    """

    row: pa.Array
    candidates: pa.Array
    is_certain: pa.Array


class AddressHistory:
    """The addresses of pods over time.

    Attributes:
        lifetimes: as they were given.
        clusters: string[c], those that lifetimes name.
    """

    def __init__(self, lifetimes: pa.Table) -> None:
        """Index lifetimes.

        Args:
            lifetimes: ``LIFETIME_SCHEMA``. Rows of one pod and address that touch or overlap are
                one candidate.

        Cost: 7 us for each row.
        """
        self.lifetimes = lifetimes
        codes, texts = encode_texts(lifetimes.column("ip"))
        self._addresses: dict[str, int] = {}
        self._networks = Networks(texts.to_pylist())
        numbers = [self._addresses.setdefault(one, len(self._addresses)) for one in _spelled(texts)]
        ip = np.array([*numbers, NONE], dtype=np.int64)[codes]
        cluster, names = encode_texts(lifetimes.column("cluster"))
        self.clusters = names
        self._clusters = {name: at + _FIRST for at, name in enumerate(names.to_pylist())}
        cluster = np.where(cluster == NONE, _UNNAMED, cluster + _FIRST)
        places, rows = _place(cluster, ip, clusters_count=len(names) + _FIRST)
        self._places, group = np.unique(places, return_inverse=True)
        from_ns = integers(lifetimes.column("from_ns"))[rows]
        to_ns = integers(lifetimes.column("to_ns"), null=INT64_MAX)[rows]
        self._rows = np.append(rows, NOBODY)
        self._timelines = Timelines(group, from_ns, to_ns)
        first, last = _tenures(group, _pods(lifetimes)[rows], from_ns, to_ns)
        self._begun = GroupedMoments(group[first], from_ns[first])
        self._ended = GroupedMoments(group[first], last)

    def find(
        self,
        ip: pa.Array,
        at_ns: pa.Array,
        cluster: pa.Array | None = None,
        *,
        error_ns: pa.Array | None = None,
    ) -> Holders:
        """Who had these addresses at these moments.

        Args:
            ip: string[n], or a dictionary of them; nobody has null.
            at_ns: int64[n]; nobody has an address at null.
            cluster: string[n], in which to look; in all where it is null. Pods of a cluster that
                nobody names are looked at in each.
            error_ns: int64[n], how far ``at_ns`` may be off; null for not at all.

        Cost: 0.3 us for each row, 0.5 with ``cluster``.
        """
        group = self._groups(ip, cluster)
        group[~np.asarray(at_ns.is_valid())] = NONE
        at = integers(at_ns)
        error = None if error_ns is None else np.maximum(integers(error_ns), 0)
        row = np.empty(len(group), dtype=np.int64)
        count = np.empty(len(group), dtype=np.int32)
        for start in range(0, len(group), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            since, until = _within(at[part], None if error is None else error[part])
            row[part], count[part] = self._find(group[part], at[part], since, until)
        is_nobody = row == NOBODY
        return Holders(
            row=pa.array(row, mask=is_nobody),
            candidates=pa.array(count),
            is_certain=pa.array(~is_nobody & (count == 1)),
        )

    def _groups(self, ip: pa.Array, cluster: pa.Array | None) -> Ints:
        """The group of each question; ``NONE`` where nobody ever had that address there."""
        codes, texts = encode_texts(ip)
        known = [self._number(text) for text in _spelled(texts)]
        addresses = np.array([*known, NONE], dtype=np.int64)
        if cluster is None or cluster.null_count == len(cluster):
            return self._group_at(np.int64(_ANY), addresses)[codes]
        cluster_codes, names = encode_texts(cluster)
        asked = [self._clusters.get(name, _UNNAMED) for name in names.to_pylist()]
        clusters = np.array([*asked, _ANY], dtype=np.int64)[cluster_codes]
        group = self._group_at(clusters, addresses[codes])
        unnamed = self._group_at(np.int64(_UNNAMED), addresses)[codes]
        return np.where((group == NONE) & (clusters != _ANY), unnamed, group)

    def _number(self, address: str) -> int:
        """The number of an address, or of the network that it lies in if none has it alone."""
        number = self._addresses.get(address)
        if number is None and self._networks:
            number = self._addresses.get(self._networks.find(address) or "")
        return NONE if number is None else number

    def _group_at(self, cluster: Ints | np.int64, address: Ints) -> Ints:
        wanted = cluster * len(self._addresses) + address
        if not len(self._places):
            return np.full(len(address), NONE, dtype=np.int64)
        found = np.minimum(np.searchsorted(self._places, wanted), len(self._places) - 1)
        return np.where((self._places[found] == wanted) & (address != NONE), found, NONE)

    def _find(self, group: Ints, at: Ints, since: Ints, until: Ints) -> tuple[Ints, Ints]:
        """The rows that hold, and how many pods had the address at any moment between two."""
        pieces = self._timelines.find(group, at)
        row = self._rows[self._timelines.rows_of(pieces)]
        count = (row != NOBODY).astype(np.int64)
        is_open = ~self._timelines.are_alone(pieces, since, until) & (group != NONE)
        rest = np.flatnonzero(is_open)
        begun = self._begun.count_until(group[rest], until[rest])
        count[rest] = begun - self._ended.count_until(group[rest], since[rest])
        return row, count


def _within(at: Ints, error: Ints | None) -> tuple[Ints, Ints]:
    """The first and the last moment that may have been meant."""
    if error is None:
        return at, at
    since = np.where(at < INT64_MIN + error, INT64_MIN, at - error)
    return since, np.where(at > INT64_MAX - error, INT64_MAX, at + error)


def _spelled(texts: pa.Array) -> list[str]:
    return [canonical_address(text or "") for text in texts.to_pylist()]


def _place(cluster: Ints, ip: Ints, *, clusters_count: int) -> tuple[Ints, Ints]:
    """Where each lifetime is found: under any cluster, and under its own.

    One without a cluster is found under each that has the address, too, and under none.

    Returns:
        int64[m], a cluster and an address as one number, and int64[m], the row.
    """
    width = int(ip.max(initial=NONE)) + 1
    rows = np.arange(len(ip))
    named, unnamed = np.flatnonzero(cluster != _UNNAMED), np.flatnonzero(cluster == _UNNAMED)
    own = np.unique(cluster[named] * width + ip[named])
    by_ip = unnamed[np.argsort(ip[unnamed], kind="stable")]
    first = np.searchsorted(ip[by_ip], own % max(width, 1))
    counts = np.searchsorted(ip[by_ip], own % max(width, 1), side="right") - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    assert not len(own) or own.max() < clusters_count * width  # noqa: S101 - how numbers are made
    return (
        np.concatenate([_ANY * width + ip, cluster * width + ip, np.repeat(own, counts)]),
        np.concatenate([rows, rows, by_ip[np.repeat(first, counts) + within]]),
    )


def _pods(lifetimes: pa.Table) -> Ints:
    """A number for each pod: its UID, or else its name."""
    uid, _ = encode_texts(lifetimes.column("uid"))
    names = (encode_texts(lifetimes.column(name))[0] for name in ("cluster", "namespace", "pod"))
    return pair_codes(uid, np.where(uid == NONE, pair_codes(*names), NONE))


def _tenures(groups: Ints, pods: Ints, from_ns: Ints, to_ns: Ints) -> tuple[Ints, Ints]:
    """The first row of each stretch in which a pod had an address, and the stretch's end."""
    order = np.lexsort((from_ns, pods, groups))
    key = pair_codes(groups[order], pods[order])
    begin = from_ns[order]
    # The latest end so far of the same key: ends are ranked, so that a key outweighs them.
    distinct, ranks = np.unique(to_ns[order], return_inverse=True)
    width = len(distinct) + 1
    latest = np.maximum.accumulate(ranks + key * width) - key * width if len(key) else ranks
    ended = distinct[latest]
    is_new = np.ones(len(key), dtype=np.bool_)
    is_new[1:] = (key[1:] != key[:-1]) | (begin[1:] > ended[:-1])
    starts = np.flatnonzero(is_new)
    lasts = np.append(starts[1:], len(key))[: len(starts)] - 1
    return order[starts], ended[lasts]
