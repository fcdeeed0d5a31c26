"""The streams of files: one for each, opened with what is claimed of whom its records are from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.collect.payloads import CloseReason, Sender, stream_opened
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.model.entry import EntryFlags, EntryType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshtrail.collect.payloads import CollectorFacts
    from meshtrail.collect.pieces import Piece
    from meshtrail.journal import Frame
    from meshtrail.units import UnixNanos

TRANSPORT: Final = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileClaims:
    """What whoever gives us a file says of it.

    Attributes:
        reporter: who wrote it.
        cluster: of which cluster that is.
    """

    reporter: str | None = None
    cluster: str | None = None

    def as_claimed(self, path: str) -> dict[str, Any]:
        """As a stream-opened entry has it: ``claimed``."""
        return {
            "node_id": self.reporter,
            "node_cluster": self.cluster,
            "log_name": path,
            "user_agent": None,
            "metadata": None,
        }


class FileStream:
    """The stream of one file.

    Args:
        path: of the file, as it is told.
        service: name of the format.
        claims: of whoever gives it to us.
    """

    def __init__(self, path: str, *, service: str, claims: FileClaims) -> None:
        self._stream = Stream()
        self._sender = Sender(
            transport=TRANSPORT,
            service=service,
            peer=Peer(address=path),
            claimed=claims.as_claimed(path),
        )

    @property
    def id(self) -> int:
        """Of the stream."""
        return self._stream.id

    def opened(self, collector: CollectorFacts, *, received_ns: UnixNanos) -> Frame:
        """Its first entry."""
        payload = stream_opened(self._sender, collector)
        return self._stream.own_frame(EntryType.STREAM_OPENED, payload, received_ns=received_ns)

    def records(
        self,
        pieces: Iterable[Piece],
        *,
        received_ns: UnixNanos,
        flags: EntryFlags = EntryFlags(0),
    ) -> Iterator[Frame]:
        """The frames of pieces of the file."""
        for piece in pieces:
            yield self._stream.records_frame(
                piece.data,
                records_count=piece.records_count,
                framing=piece.framing,
                payload_format=piece.payload_format,
                received_ns=received_ns,
                flags=flags,
            )

    def closed(self, *, received_ns: UnixNanos, reason: CloseReason = CloseReason.ENDED) -> Frame:
        """Its last entry."""
        return self._stream.closed_frame(reason, detail=None, received_ns=received_ns)
