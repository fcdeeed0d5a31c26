"""Exports: taken from every door, journaled, and acknowledged once durable.

Whatever a sender does ends at most its own request. Nothing is dropped: what cannot be cut is
sealed whole, what was taken before is sealed again and flagged.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from meshtrail.collect.conflicts import tell_conflicts
from meshtrail.collect.export import Cut
from meshtrail.collect.otlp_answers import INTERNAL, Refusal, refusal_of
from meshtrail.collect.payloads import CloseReason
from meshtrail.collect.peer import AUTH_NONE
from meshtrail.errors import DurabilityError, MeshtrailError, RequestError, UnavailableError
from meshtrail.journal import EXPORT_DIGEST_BYTES, export_frame
from meshtrail.model.entry import EntryFlags

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from meshtrail.collect.clock import CollectorClock
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.export import Export
    from meshtrail.collect.open_streams import Caller, OpenStreams
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.tally import Tally
    from meshtrail.journal import Frame, RecentExports
    from meshtrail.units import UnixNanos

HOLD_SECONDS_MAX: Final = 5.0
"""How long a sender is held when nothing can be journaled, before it is told to come again."""

WHOLE_EVENT: Final = "exports_kept_whole"
REPEATED_EVENT: Final = "exports_repeated"
REFUSED_EVENT: Final = "requests_refused"
TURNED_AWAY_EVENT: Final = "senders_turned_away"
"""An alarm: they come again, but what they hold until then is bounded."""


class Taken(NamedTuple):
    """What became of an export that is durable now.

    Attributes:
        records_count: records that it held.
        rejected_count: records of it that were not taken as records, but with the whole alone.
        reason: why.
    """

    records_count: int = 0
    rejected_count: int = 0
    reason: str = ""


class Journal(Protocol):
    """Where frames go: ``journal.GroupCommit``."""

    async def room(self) -> None:
        """Return when frames may be put."""
        ...

    def put(self, frames: Iterable[Frame]) -> None:
        """Take frames, to be committed together."""
        ...

    async def flush(self) -> None:
        """Return when everything put before is durable."""
        ...


class Exports:
    """Takes exports. Belongs to one event loop.

    Args:
        journal: where they go.
        streams: on which they are recorded.
        known: the exports that were taken before.
        clock: of the collector.
        diag: hears of mistakes of our own.
        tally: hears what is odd about exports.
        hold_seconds_max: see ``HOLD_SECONDS_MAX``.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        streams: OpenStreams,
        known: RecentExports,
        clock: CollectorClock,
        diag: Diag,
        tally: Tally,
        hold_seconds_max: float = HOLD_SECONDS_MAX,
    ) -> None:
        self._journal = journal
        self._streams = streams
        self._known = known
        self._clock = clock
        self._diag = diag
        self._tally = tally
        self._hold_seconds_max = hold_seconds_max
        self._is_stopping = False
        self._is_closed = False

    async def take(self, export: Export, caller: Caller) -> Taken:
        """Journal an export; it is durable when this returns.

        Raises:
            InputError: it is not what it should be. It is durable as a whole all the same.
            MeshtrailError: cutting it failed, by a mistake of our own; likewise.
            UnavailableError: nothing can be journaled for so long, or any more; the sender should
                come again.
            DurabilityError: the journal cannot be relied on.
        """
        try:
            async with asyncio.timeout(self._hold_seconds_max):
                await self._journal.room()
                # Nothing is awaited from here to the put.
                self._check_open(caller)
                cut = self._put(export, caller)
                if any(part.pieces for part in cut.parts):
                    await self._journal.flush()
        except TimeoutError as error:
            raise UnavailableError(
                f"nothing could be journaled for {self._hold_seconds_max:g} s"
            ) from error
        return _verdict(cut)

    def refuse(self, error: Exception) -> Refusal:
        """What a sender is told of an error; counted, and an alarm when it is ours."""
        if not isinstance(error, MeshtrailError):
            self._diag.error("request_failed", error=repr(error))
            return INTERNAL
        refusal = refusal_of(error)
        event = TURNED_AWAY_EVENT if refusal.is_retryable else REFUSED_EVENT
        self._tally.add(event, refusal.message, is_alarm=refusal.is_retryable)
        return refusal

    def lose(self, connection: Hashable, error: Exception | None) -> None:
        """Close the streams of a connection that has ended."""
        reason = CloseReason.ENDED if error is None else CloseReason.CANCELLED
        if self._is_stopping:
            reason = CloseReason.SHUTDOWN
        self._put_closings(
            self._streams.close_connection(connection, reason, now_ns=self._clock.now())
        )

    def close_idle(self) -> None:
        """Close the streams on which nothing comes any more."""
        self._put_closings(self._streams.close_idle(now_ns=self._clock.now()))

    def stop(self) -> None:
        """Take connections that end from now on for ones that we ended."""
        self._is_stopping = True

    def close(self) -> None:
        """Close every stream; nothing is taken any more."""
        self._is_closed = True
        self._put_closings(self._streams.close_all(CloseReason.SHUTDOWN, now_ns=self._clock.now()))

    def _check_open(self, caller: Caller) -> None:
        if self._is_closed:
            raise UnavailableError("the collector is stopping")
        if caller.is_gone():
            # A stream would be opened that nobody closes; and it was not acknowledged.
            raise RequestError("the sender has gone", http_status=400)

    def _put(self, export: Export, caller: Caller) -> Cut:
        try:
            cut = export.cut()
        except MeshtrailError:
            raise
        except Exception as error:  # noqa: BLE001 - one sender must not end the recording of all others
            self._diag.error("export_failed", what=export.name, error=repr(error))
            failure = MeshtrailError("the collector failed on this export, and kept it whole")
            cut = Cut([export.keep_whole()], failure)
        if not any(part.pieces for part in cut.parts):
            return cut
        received_ns = self._clock.now()
        digest = _digest(export, caller.peer)
        is_known = digest in self._known
        flags = EntryFlags.DUPLICATE if is_known else EntryFlags(0)
        frames = self._frames(cut, export, caller, flags=flags, received_ns=received_ns)
        if is_known:
            self._tally.add(REPEATED_EVENT, f"{export.name} of {caller.peer.address}")
        else:
            frames.append(export_frame(digest, received_ns=received_ns))
            self._known.add(digest)
        if cut.refusal is not None:
            self._tally.add(WHOLE_EVENT, cut.refusal.message)
        self._journal.put(frames)
        return cut

    def _frames(
        self,
        cut: Cut,
        export: Export,
        caller: Caller,
        *,
        flags: EntryFlags,
        received_ns: UnixNanos,
    ) -> list[Frame]:
        frames: list[Frame] = []
        for part in cut.parts:
            if not part.pieces:
                continue
            stream = self._streams.use(
                caller,
                export.kind,
                part.identifier,
                frames=frames,
                received_ns=received_ns,
                detail=None if cut.refusal is None else cut.refusal.message,
            )
            frames += [
                stream.piece_frame(piece, flags=flags, received_ns=received_ns)
                for piece in part.pieces
            ]
        tell_conflicts(frames, self._diag)
        return frames

    def _put_closings(self, frames: list[Frame]) -> None:
        if not frames:
            return
        try:
            self._journal.put(frames)
        except DurabilityError as error:
            # That failure is on its way to end the process; the next one closes the streams.
            self._diag.warning("streams_left_open", count=len(frames), reason=error.message)


def _verdict(cut: Cut) -> Taken:
    if cut.refusal is None:
        return Taken(cut.records_count)
    rejected = cut.refusal.facts.get("records_count")
    if not isinstance(rejected, int):
        raise cut.refusal
    return Taken(0, rejected, f"{cut.refusal.message}; the export is kept whole")


def _digest(export: Export, peer: Peer) -> bytes:
    """What the same body has in common when the same sender sends it again."""
    digest = hashlib.sha256(f"{sender_of(peer)!r} {export.label}\n".encode())
    digest.update(export.body)
    return digest.digest()[:EXPORT_DIGEST_BYTES]


def sender_of(peer: Peer) -> Peer:
    """What of a peer stays the same over its connections: it comes from another port each time."""
    if peer.auth == AUTH_NONE:
        return replace(peer, address=peer.address.rpartition(":")[0], detail=None)
    # A certificate of a mesh lives for hours, its SPIFFE ID for years.
    certificate_sha256 = None if peer.spiffe_id else peer.certificate_sha256
    return replace(peer, address="", certificate_sha256=certificate_sha256, detail=None)
