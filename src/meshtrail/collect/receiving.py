"""The life of one sender's stream: read, wait for room in the journal, put; then close it in order.

Whatever a sender does ends at most its own stream. Senders are held back by not reading on; a
stream is never reset for want of room: a reset loses records silently, a stalled Envoy counts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from meshtrail.collect.conflicts import tell_conflicts
from meshtrail.collect.payloads import CloseReason
from meshtrail.errors import MeshtrailError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshtrail.collect.clock import CollectorClock
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.stream import Stream
    from meshtrail.journal import Frame
    from meshtrail.units import UnixNanos


class MessageSource(Protocol):
    """The sender's side of a stream."""

    async def read(self) -> bytes | None:
        """The next message; None at the end, however it came about."""
        ...


class Framer(Protocol):
    """What messages of a service become; made for one stream of it."""

    @property
    def is_open(self) -> bool:
        """Whether the stream-opened entry was made."""
        ...

    def frame_message(self, message: bytes, *, received_ns: UnixNanos) -> list[Frame]:
        """The frames that a message becomes, to be journaled together and in this order."""
        ...

    def frame_refusal(self, detail: str, *, received_ns: UnixNanos) -> list[Frame]:
        """The opening of a stream whose first message was refused; nothing of an open one."""
        ...


class FrameSink(Protocol):
    """Where frames go: ``journal.GroupCommit``."""

    async def room(self) -> None:
        """Return when frames may be put."""
        ...

    def put(self, frames: Iterable[Frame]) -> None:
        """Take frames; never waits."""
        ...


class Receiving:
    """One stream that is being received.

    Args:
        check_sender: asked before each message is taken; raises UnauthenticatedError when the
            sender may not go on.

    Attributes:
        messages_count: how many came in.
    """

    def __init__(
        self,
        *,
        stream: Stream,
        framer: Framer,
        commit: FrameSink,
        clock: CollectorClock,
        diag: Diag,
        message_bytes_max: int,
        check_sender: Callable[[], None] | None = None,
    ) -> None:
        self.messages_count = 0
        self._stream = stream
        self._framer = framer
        self._commit = commit
        self._clock = clock
        self._diag = diag
        self._message_bytes_max = message_bytes_max
        self._check_sender = check_sender
        self._is_refused = False
        self._in_hand: bytes | None = None
        self._error: str | None = None
        self._is_closed = False

    @property
    def error(self) -> str | None:
        """Why the stream must end from this side; None when nothing is wrong."""
        return self._error

    @property
    def is_refused(self) -> bool:
        """Whether that is because the sender may not go on."""
        return self._is_refused

    async def receive(self, source: MessageSource) -> None:
        """Take messages until the end of the stream, or until it must end.

        Raises:
            DurabilityError: the journal takes nothing any more; the process must end.
        """
        try:
            while (message := await source.read()) is not None:
                if self._check_sender is not None:
                    self._check_sender()
                self._in_hand = message
                await self._commit.room()
                self._take_in_hand()
                if self._error is not None:
                    return
        except UnauthenticatedError as error:
            self._error, self._is_refused = error.message, True
        except MeshtrailError:
            raise
        except Exception as error:  # noqa: BLE001 - one sender must not end the recording of all others
            self._error = f"the collector failed on this stream: {error!r}"
            self._diag.error("stream_failed", stream=self._stream.id, error=repr(error))

    def close(self, reason: CloseReason, detail: str | None = None) -> None:
        """Say how the stream ended; nothing is taken from it any more. The first reason counts.

        Raises:
            DurabilityError: the journal takes nothing any more.
        """
        if self._is_closed:
            return
        # A message that waits for room was received: it is put, room or not.
        self._take_in_hand()
        self._is_closed = True
        if self._error is not None:
            reason, detail = CloseReason.ERROR, self._error
        if self._framer.is_open:
            closed = self._stream.closed_frame(reason, detail=detail, received_ns=self._clock.now())
            self._commit.put([closed])

    def _take_in_hand(self) -> None:
        message, self._in_hand = self._in_hand, None
        if message is None or self._is_closed:
            return
        self.messages_count += 1
        received_ns = self._clock.now()
        if len(message) <= self._message_bytes_max:
            frames = self._framer.frame_message(message, received_ns=received_ns)
            tell_conflicts(frames, self._diag)
            self._commit.put(frames)
            return
        self._error = (
            f"a message of {len(message)} bytes was refused, at most "
            f"{self._message_bytes_max} are taken"
        )
        self._commit.put(self._framer.frame_refusal(self._error, received_ns=received_ns))
