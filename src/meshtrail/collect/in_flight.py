"""What is being taken at the same time, bounded: requests, and the bytes of their bodies.

A sender gets at most half of either, so that no single one keeps all others out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from meshtrail.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

_SHARE: Final = 2


class InFlight:
    """Counts requests and bytes. Belongs to one event loop.

    Attributes:
        requests_count: requests under way.
        bytes_count: bytes that they hold.
    """

    def __init__(self, *, requests_max: int, bytes_max: int) -> None:
        """Take the bounds; of either a sender gets half, one request at least."""
        self.requests_count = 0
        self.bytes_count = 0
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._requests: Counter[Hashable] = Counter()
        self._bytes: Counter[Hashable] = Counter()
        self._ended = asyncio.Event()
        self._ended.set()

    @contextmanager
    def request(self, sender: Hashable) -> Iterator[Held]:
        """A place for a request while it is under way.

        Raises:
            BusyError: there is none.
        """
        if self.requests_count >= self._requests_max:
            raise BusyError(f"{self._requests_max} requests are under way, no more at once")
        sender_max = max(self._requests_max // _SHARE, 1)
        if self._requests[sender] >= sender_max:
            raise BusyError(f"{sender_max} requests of this sender are under way, no more at once")
        self.requests_count += 1
        self._requests[sender] += 1
        self._ended.clear()
        held = Held(self, sender)
        try:
            yield held
        finally:
            self._take(sender, -held.bytes_count)
            self.requests_count -= 1
            self._requests[sender] -= 1
            if not self._requests[sender]:
                del self._requests[sender], self._bytes[sender]
            if not self.requests_count:
                self._ended.set()

    async def ended(self, seconds_max: float) -> None:
        """Return when no request is under way, or after so long."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._ended.wait()
        except TimeoutError:
            return

    def grow(self, sender: Hashable, length: int) -> None:
        """Take so many bytes more for a request of this sender.

        Raises:
            BusyError: there is no room for them.
        """
        sender_max = self._bytes_max // _SHARE
        if self.bytes_count + length > self._bytes_max or self._bytes[sender] + length > sender_max:
            raise BusyError(
                f"requests under way hold {self.bytes_count} bytes, {self._bytes[sender]} of them "
                f"of this sender: at most {self._bytes_max}, and {sender_max} of one sender"
            )
        self._take(sender, length)

    def _take(self, sender: Hashable, length: int) -> None:
        self.bytes_count += length
        self._bytes[sender] += length


class Held:
    """What one request holds.

    Attributes:
        bytes_count: so far.
    """

    def __init__(self, in_flight: InFlight, sender: Hashable) -> None:
        self.bytes_count = 0
        self._in_flight = in_flight
        self._sender = sender

    def grow(self, length: int) -> None:
        """Hold so many bytes more.

        Raises:
            BusyError: there is no room for them.
        """
        self._in_flight.grow(self._sender, length)
        self.bytes_count += length
