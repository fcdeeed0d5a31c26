"""Who reports, from which addresses, and how much of what was expected of them arrived lately.

Only for telling why a record found no partner: nothing here makes a pair or prevents one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from meshtrail.correlate.pairing.names import NONE

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.names import Codes

    Times = npt.NDArray[np.int64]

_Number = TypeVar("_Number", np.int32, np.int64)

NEVER_NS: Final = -(1 << 62)
BUCKETS_PER_GRACE: Final = 8
_BUCKETS_COUNT: Final = 2 * BUCKETS_PER_GRACE
_THIN_SHARE: Final = 20
"""A stretch of time is thin when at least one in so many expected records is missing."""
_THIN_BUCKETS_MIN: Final = 3
"""Fewer thin stretches are one loss; a filter or a sample goes on."""


class MeshMemory:
    """Addresses and reporters by number, and the last grace period in stretches of time."""

    def __init__(self, *, grace_ns: int) -> None:
        self._bucket_ns = max(1, grace_ns // BUCKETS_PER_GRACE)
        self._grown = 0
        self.reported_ns = np.zeros(0, dtype=np.int64)
        self.shown_ns = np.zeros(0, dtype=np.int64)
        self.reporter = np.zeros(0, dtype=np.int32)
        self.reporter_ns = np.zeros(0, dtype=np.int64)
        self._bucket_ids = np.full(_BUCKETS_COUNT, -1, dtype=np.int64)
        self._expected = np.zeros((_BUCKETS_COUNT, 0), dtype=np.int32)
        self._paired = np.zeros((_BUCKETS_COUNT, 0), dtype=np.int32)
        self._has_reported = np.zeros((_BUCKETS_COUNT, 0), dtype=np.bool_)

    def reserve(self, *, addresses_count: int, reporters_count: int) -> None:
        """Make room for numbers that are new."""
        if reporters_count > len(self.reporter_ns):
            self.reporter_ns = _grown(self.reporter_ns, reporters_count, NEVER_NS)
        if addresses_count > len(self.reporter):
            self.reported_ns = _grown(self.reported_ns, addresses_count, NEVER_NS)
            self.shown_ns = _grown(self.shown_ns, addresses_count, NEVER_NS)
            self.reporter = _grown(self.reporter, addresses_count, NONE)
            missing = len(self.reporter) - self._expected.shape[1]
            width = ((0, 0), (0, missing))
            self._expected = np.pad(self._expected, width)
            self._paired = np.pad(self._paired, width)
            self._has_reported = np.pad(self._has_reported, width)

    def see(self, rows: Columns) -> None:
        """Take note of records: ``Happenings.rows``, oldest first."""
        received, reporter, own = rows["received_ns"], rows["reporter"], rows["own_ip"]
        # Of several values for one number, the last stays: the latest.
        self.reporter_ns[reporter] = received
        has_own = own != NONE
        self.reported_ns[own[has_own]] = received[has_own]
        self.reporter[own[has_own]] = reporter[has_own]
        shown = rows["shown_ip"]
        is_shown = shown != NONE
        self.shown_ns[shown[is_shown]] = received[is_shown]
        for slot, where in self._slots(received[has_own]):
            self._has_reported[slot, own[has_own][where]] = True

    def expect(self, other_ip: Codes, received_ns: Times) -> None:
        """Take note of records that the proxies at some addresses should have, too."""
        self._count(self._expected, other_ip, received_ns)

    def pair(self, other_ip: Codes, received_ns: Times) -> None:
        """Take note that such a record arrived."""
        self._count(self._paired, other_ip, received_ns)

    def last_reported_ns(self, addresses: Codes) -> Times:
        """When the proxy at each address last reported: int64[n], ``NEVER_NS`` if it never did."""
        known = self.reporter[addresses]
        seen = np.full(len(known), NEVER_NS)
        seen[known != NONE] = self.reporter_ns[known[known != NONE]]
        return np.where(addresses == NONE, NEVER_NS, np.maximum(self.reported_ns[addresses], seen))

    def is_thin(self, addresses: Codes, *, from_ns: Times, until_ns: int) -> npt.NDArray[np.bool_]:
        """Where a proxy reported all along, but stretch after stretch not all that was expected.

        Args:
            addresses: int32[n], of the proxies.
            from_ns: int64[n], since when.
            until_ns: up to when; what was expected later may still come.
        """
        thin = np.zeros(len(addresses), dtype=np.int64)
        counted = np.zeros(len(addresses), dtype=np.int64)
        for slot, bucket in enumerate(self._bucket_ids.tolist()):
            if (bucket + 1) * self._bucket_ns > until_ns:
                continue
            lies_within = (bucket + 1) * self._bucket_ns > from_ns
            expected = self._expected[slot, addresses]
            missing = expected - self._paired[slot, addresses]
            has_any = lies_within & (expected > 0)
            counted += has_any
            is_bad = (missing > 0) & (missing * _THIN_SHARE >= expected)
            thin += has_any & is_bad & self._has_reported[slot, addresses]
        is_known = addresses != NONE
        thinned: npt.NDArray[np.bool_] = (
            is_known & (thin >= _THIN_BUCKETS_MIN) & (2 * thin >= counted)
        )
        return thinned

    def used_addresses(self, since_ns: int, *, count_max: int) -> npt.NDArray[np.bool_]:
        """Which addresses reported, or showed an identity, since a moment; the latest of many."""
        last = np.maximum(self.reported_ns, self.shown_ns)
        if len(last) > count_max:
            since_ns = max(since_ns, int(np.partition(last, -count_max)[-count_max]))
        used: npt.NDArray[np.bool_] = last >= since_ns
        return used

    def renumber(self, addresses: Codes, reporters: Codes) -> None:
        """Follow the numbers of addresses and reporters."""
        kept = np.flatnonzero(addresses[:-1] != NONE)
        kept = kept[kept < len(self.reporter)]
        self.reported_ns, self.shown_ns = self.reported_ns[kept], self.shown_ns[kept]
        self.reporter = reporters[self.reporter[kept]]
        self._expected, self._paired = self._expected[:, kept], self._paired[:, kept]
        self._has_reported = self._has_reported[:, kept]
        kept = np.flatnonzero(reporters[:-1] != NONE)
        self.reporter_ns = self.reporter_ns[kept[kept < len(self.reporter_ns)]]

    def _count(self, counts: npt.NDArray[np.int32], other_ip: Codes, received_ns: Times) -> None:
        known = np.flatnonzero(other_ip != NONE)
        for slot, where in self._slots(received_ns[known]):
            addresses = other_ip[known][where]
            counts[slot] += np.bincount(addresses, minlength=counts.shape[1]).astype(np.int32)

    def _slots(self, received_ns: Times) -> list[tuple[int, npt.NDArray[np.int64] | slice]]:
        """The stretches that some moments are in, and which moments those are."""
        if not len(received_ns):
            return []
        buckets = received_ns // self._bucket_ns
        first, last = int(buckets.min()), int(buckets.max())
        if first == last:
            return [(slot, slice(None))] if (slot := self._slot(first)) is not None else []
        slots = ((self._slot(int(one)), one) for one in np.unique(buckets))
        return [(slot, np.flatnonzero(buckets == one)) for slot, one in slots if slot is not None]

    def _slot(self, bucket: int) -> int | None:
        """Where a stretch is counted; None if it is over and forgotten."""
        slot = bucket % _BUCKETS_COUNT
        if self._bucket_ids[slot] > bucket:
            return None
        if self._bucket_ids[slot] < bucket:
            self._bucket_ids[slot] = bucket
            for counts in (self._expected, self._paired, self._has_reported):
                counts[slot] = 0
        return slot


def _grown(column: npt.NDArray[_Number], length: int, fill: int) -> npt.NDArray[_Number]:
    grown: npt.NDArray[_Number] = np.full(length + length // 4 + 64, fill, dtype=column.dtype)
    grown[: len(column)] = column
    return grown
