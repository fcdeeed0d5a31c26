"""The open streams of exports: one for each connection, kind, and what their sender says of itself.

An export says neither whether its sender was there before nor whether it comes again, so streams
end with their connection, when they are idle, or as the least recently used of too many.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.collect.opening import Opening
from meshtrail.collect.payloads import CloseReason
from meshtrail.collect.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from meshtrail.collect.export import StreamKind
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.tally import Tally
    from meshtrail.journal import Frame
    from meshtrail.units import UnixNanos

IDLE_NS_MAX: Final = 300_000_000_000
OVERFLOW_EVENT: Final = "export_streams_overflowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends an export, and over what.

    Attributes:
        door: through which it came.
        transport: ``grpc`` or ``http``.
        connection: what its streams belong to.
        peer: the sender.
        is_gone: whether the connection is lost.
    """

    door: StreamDoor
    transport: str
    connection: Hashable
    peer: Peer
    is_gone: Callable[[], bool]


class _Key(NamedTuple):
    connection: Hashable
    peer: Peer
    service: str
    encoding: str
    identifier_sha256: bytes | None


@dataclass(slots=True)
class _Open:
    stream: Stream
    used_ns: UnixNanos


class OpenStreams:
    """Opens, finds and closes them. Frames are given back, to be journaled in their order.

    Args:
        streams_max: open at once.
        connection_streams_max: open at once of one connection.
        tally: hears of streams that were closed because there were too many.
    """

    def __init__(self, *, streams_max: int, connection_streams_max: int, tally: Tally) -> None:
        self._streams_max = streams_max
        self._connection_streams_max = connection_streams_max
        self._tally = tally
        # Both in the order of last use.
        self._open: OrderedDict[_Key, _Open] = OrderedDict()
        self._by_connection: dict[Hashable, OrderedDict[_Key, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def use(
        self,
        caller: Caller,
        kind: StreamKind,
        identifier: bytes | None,
        *,
        frames: list[Frame],
        received_ns: UnixNanos,
        detail: str | None = None,
    ) -> Stream:
        """The stream of these records; opened when it is not.

        Args:
            caller: who sends them.
            kind: what they have in common.
            identifier: the bytes in which their sender says who it is; None where it does not.
            frames: gets those of the opening, and of the closing of another that had to give way.
            received_ns: when they came.
            detail: for the opening, what is odd about the first export.
        """
        digest = None if identifier is None else hashlib.sha256(identifier).digest()
        key = _Key(caller.connection, caller.peer, kind.service, kind.encoding, digest)
        keys = self._by_connection.setdefault(caller.connection, OrderedDict())
        found = self._open.get(key)
        if found is None:
            if len(keys) >= self._connection_streams_max:
                frames.append(self._overflow(next(iter(keys)), received_ns, "of a connection"))
            if len(self._open) >= self._streams_max:
                frames.append(self._overflow(next(iter(self._open)), received_ns, "in all"))
            # The last of this connection may have been the one to give way.
            keys = self._by_connection.setdefault(caller.connection, keys)
            found = self._open[key] = _Open(Stream(), received_ns)
            opening = Opening(
                caller.door,
                found.stream,
                caller.peer,
                service=kind.service,
                transport=caller.transport,
                claims=kind.claims,
            )
            frames += opening.frames(identifier, detail, received_ns)
        found.used_ns = received_ns
        keys[key] = None
        keys.move_to_end(key)
        self._open.move_to_end(key)
        return found.stream

    def close_connection(
        self, connection: Hashable, reason: CloseReason, *, now_ns: UnixNanos
    ) -> list[Frame]:
        """Close all streams of a connection."""
        keys = list(self._by_connection.get(connection, ()))
        return [self._close(key, reason, None, now_ns) for key in keys]

    def close_idle(self, *, now_ns: UnixNanos) -> list[Frame]:
        """Close the streams on which nothing came for long."""
        return list(self._close_idle(now_ns))

    def close_all(self, reason: CloseReason, *, now_ns: UnixNanos) -> list[Frame]:
        """Close every stream."""
        return [self._close(key, reason, None, now_ns) for key in list(self._open)]

    def _close_idle(self, now_ns: UnixNanos) -> Iterator[Frame]:
        while self._open:
            key = next(iter(self._open))
            if now_ns - self._open[key].used_ns < IDLE_NS_MAX:
                return
            yield self._close(key, CloseReason.IDLE, None, now_ns)

    def _overflow(self, key: _Key, now_ns: UnixNanos, of_what: str) -> Frame:
        most = self._streams_max if of_what == "in all" else self._connection_streams_max
        detail = f"at most {most} streams of exports {of_what} are open at once"
        self._tally.add(OVERFLOW_EVENT, detail)
        return self._close(key, CloseReason.OVERFLOW, detail, now_ns)

    def _close(
        self, key: _Key, reason: CloseReason, detail: str | None, now_ns: UnixNanos
    ) -> Frame:
        keys = self._by_connection[key.connection]
        del keys[key]
        if not keys:
            del self._by_connection[key.connection]
        return self._open.pop(key).stream.closed_frame(reason, detail=detail, received_ns=now_ns)
