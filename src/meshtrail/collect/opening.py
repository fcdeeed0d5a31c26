"""How a stream begins: the blob of what its sender says of itself, then the stream-opened entry."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.collect.payloads import Sender, stream_opened
from meshtrail.errors import InputError
from meshtrail.journal import blob_frame
from meshtrail.model.entry import EntryType
from meshtrail.sources.als_identifier import decode_identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.collect.payloads import CollectorFacts
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.stream import Stream
    from meshtrail.journal import Frame
    from meshtrail.units import UnixNanos

_KNOWN_BLOBS_MAX = 4_096


class KnownBlobs:
    """Which blobs this process has put into the journal already; the oldest are forgotten.

    Every stream of an Envoy begins with the same 60 kB: once is enough.
    """

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def add(self, digest: bytes) -> bool:
        """Note a blob; True when it was not known."""
        is_new = digest not in self._digests
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        if len(self._digests) > _KNOWN_BLOBS_MAX:
            self._digests.popitem(last=False)
        return is_new


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDoor:
    """What all streams of a service have in common.

    Attributes:
        listener: the address that was listened on.
        collector: for stream-opened entries.
        blobs: the identifiers that were journaled.
    """

    listener: str
    collector: CollectorFacts
    blobs: KnownBlobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """How senders of one kind say who they are.

    Attributes:
        decode: their words as plain JSON values; raises InputError where they are none.
        none_said: what is told of a stream whose sender does not.
    """

    decode: Callable[[bytes], dict[str, Any]]
    none_said: str


_OF_ENVOY: Final = Claims(
    decode=decode_identifier, none_said="the first message carries no identifier"
)


class Opening:
    """Opens one stream, with what comes first on it.

    Attributes:
        is_done: whether the stream-opened entry was made.
    """

    def __init__(
        self,
        door: StreamDoor,
        stream: Stream,
        peer: Peer,
        *,
        service: str,
        transport: str = "grpc",
        claims: Claims = _OF_ENVOY,
    ) -> None:
        self.is_done = False
        self._transport = transport
        self._claims = claims
        self._door = door
        self._stream = stream
        self._peer = peer
        self._service = service

    def frames(
        self, identifier: bytes | None, detail: str | None, received_ns: UnixNanos
    ) -> list[Frame]:
        """The blob, where it is a new one, and the stream-opened entry.

        Args:
            identifier: the bytes in which the sender says who it is; None where it does not.
            detail: what is wrong with what came first.
            received_ns: of that.
        """
        frames = []
        claimed = None
        digest = None
        if identifier is not None:
            digest = hashlib.sha256(identifier).digest()
            if self._door.blobs.add(digest):
                frames.append(blob_frame(identifier, received_ns=received_ns))
            try:
                claimed = self._claims.decode(identifier)
            except InputError as error:
                detail = "; ".join(filter(None, [detail, error.message]))
        elif detail is None:
            detail = self._claims.none_said
        sender = Sender(
            transport=self._transport,
            service=self._service,
            listener=self._door.listener,
            peer=self._peer,
            claimed=claimed,
            identifier_sha256=digest,
            identifier_bytes=None if identifier is None else len(identifier),
            detail="; ".join(filter(None, [self._peer.detail, detail])) or None,
        )
        payload = stream_opened(sender, self._door.collector)
        opened = self._stream.own_frame(EntryType.STREAM_OPENED, payload, received_ns=received_ns)
        self.is_done = True
        return [*frames, opened]
