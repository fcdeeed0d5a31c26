"""Streams that go on: their periodic records, until the record of their end comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.pairing.happenings import IS_CALLEE
from meshtrail.correlate.pairing.keys import keys_with_request_id

if TYPE_CHECKING:
    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.sorted_runs import Keys, Positions

STREAMS_MAX: Final = 200_000
"""Streams that are remembered; those that were silent longest are forgotten first."""


class SignsOfLife:
    """When each stream was last told to go on, by its end's key."""

    def __init__(self) -> None:
        self._received_ns: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._received_ns)

    def add(self, parts: Columns) -> None:
        """Take note of records of streams that go on."""
        keys = _stream_keys(parts, of_other_end=False).tolist()
        for key, received_ns in zip(keys, parts["received_ns"].tolist(), strict=True):
            self._received_ns.pop(key, None)
            self._received_ns[key] = received_ns
        while len(self._received_ns) > STREAMS_MAX:
            del self._received_ns[next(iter(self._received_ns))]

    def forget(self, received_ns: int) -> None:
        """Forget streams whose last sign of life came before a moment."""
        known = self._received_ns
        while known and known[oldest := next(iter(known))] < received_ns:
            del known[oldest]

    def last_of_other_end(self, parts: Columns) -> Positions:
        """When the other end of each part last said that the stream goes on: int64[n], 0: never."""
        if not self._received_ns:
            return np.zeros(len(parts["key"]), dtype=np.int64)
        keys = _stream_keys(parts, of_other_end=True).tolist()
        return np.array([self._received_ns.get(key, 0) for key in keys], dtype=np.int64)


def _stream_keys(parts: Columns, *, of_other_end: bool) -> Keys:
    role = (parts["flags"] & IS_CALLEE) ^ (IS_CALLEE if of_other_end else np.uint8(0))
    keys = keys_with_request_id(parts["key"], parts["request_id"])
    marked: Keys = keys ^ role.astype(np.uint64)
    return marked
