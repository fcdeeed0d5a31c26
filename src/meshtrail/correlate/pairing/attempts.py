"""Requests that were tried more than once, and the records of their earlier attempts.

A caller's record tells the connection of its last attempt only. What the others left at the
callees is joined by the request id: the one place where it joins. So it is bounded: at most one
record less than there were attempts, from the same proxy's address, begun within the caller's
time, and none that addresses have joined to another record.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from meshtrail.correlate.pairing.names import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns
    from meshtrail.correlate.pairing.names import Codes
    from meshtrail.correlate.pairing.sorted_runs import Keys

RETRIED_MAX: Final = 100_000
"""Requests that are remembered; the oldest are forgotten first, about 40 MB at most."""

WAITING_MAX: Final = 4_096
"""Of one request id, those that are looked through for an attempt: 68/s that all wait for one. A
client may give all its requests the same id, and attempts that got no connection never come."""


class Attempt(NamedTuple):
    """A callee's record that may be of an attempt."""

    request_id: int
    client_ip: int
    start_ns: int
    tolerance_ns: int


class _Retried:
    """One request with several attempts."""

    __slots__ = (
        "attempts_left", "client_ip", "end_ns", "log_index", "received_ns", "reporter",
        "request_id", "start_ns", "tolerance_ns",
    )  # fmt: skip

    def __init__(self, values: dict[str, int]) -> None:
        for name in self.__slots__:
            setattr(self, name, values[name])

    attempts_left: int
    client_ip: int
    end_ns: int
    log_index: int
    received_ns: int
    reporter: int
    request_id: int
    start_ns: int
    tolerance_ns: int


class RetriedRequests:
    """The requests with several attempts that were seen lately.

    Only those wait for their attempts that have not claimed all of them; their ids are known for
    longer. A dict for each id, by age, because any of them may be the next to go.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, dict[_Retried, None]] = {}
        self._known: Counter[int] = Counter()
        self._by_age: deque[_Retried] = deque()

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, retried: Columns) -> None:
        """Remember requests: ``Happenings.retried``."""
        names = _Retried.__slots__
        for values in zip(*(retried[name].tolist() for name in names), strict=True):
            one = _Retried(dict(zip(names, values, strict=True)))
            waiting = self._waiting.setdefault(one.request_id, {})
            waiting[one] = None
            if len(waiting) > WAITING_MAX:
                del waiting[next(iter(waiting))]
            self._known[one.request_id] += 1
            self._by_age.append(one)
        while len(self._by_age) > RETRIED_MAX:
            self._forget_oldest()

    def forget(self, received_ns: int) -> None:
        """Forget what arrived before a moment."""
        while self._by_age and self._by_age[0].received_ns < received_ns:
            self._forget_oldest()

    def knows(self, request_ids: Keys) -> npt.NDArray[np.bool_]:
        """Which request ids are of requests with several attempts: bool[n]."""
        return np.array([one in self._known for one in request_ids.tolist()], dtype=np.bool_)

    def claim(self, attempt: Attempt, *, reporter_of: Callable[[int], int]) -> int | None:
        """The log index of the request that an attempt is of, which then has one place less.

        Args:
            attempt: a record that no caller's record claims by address.
            reporter_of: address -> the reporter whose proxy called from it, where the last attempt
                got no connection and so tells no address.
        """
        waiting = self._waiting.get(attempt.request_id, {})
        for one in waiting:
            tolerance = max(one.tolerance_ns, attempt.tolerance_ns)
            is_within = one.start_ns - tolerance <= attempt.start_ns <= one.end_ns + tolerance
            is_from_there = (
                one.client_ip == attempt.client_ip
                if one.client_ip != NONE
                else one.reporter == reporter_of(attempt.client_ip)
            )
            if is_within and is_from_there:
                one.attempts_left -= 1
                if not one.attempts_left:
                    del waiting[one]
                return one.log_index
        return None

    def addresses(self) -> set[int]:
        """The numbers of addresses that are needed here."""
        return {one.client_ip for one in self._by_age} - {NONE}

    def reporters(self) -> set[int]:
        """The numbers of reporters that are needed here."""
        return {one.reporter for one in self._by_age}

    def renumber(self, addresses: Codes, reporters: Codes) -> None:
        """Follow the numbers of addresses and reporters."""
        for one in self._by_age:
            one.client_ip = int(addresses[one.client_ip])
            one.reporter = int(reporters[one.reporter])

    def _forget_oldest(self) -> None:
        one = self._by_age.popleft()
        self._waiting[one.request_id].pop(one, None)
        self._known[one.request_id] -= 1
        if not self._known[one.request_id]:
            del self._known[one.request_id], self._waiting[one.request_id]
