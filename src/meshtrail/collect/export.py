"""What a sender hands over in one request, whatever it is of: the same for every door.

OTLP calls it an export; a body of lines and the body of a webhook are taken the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from meshtrail.collect.opening import Claims
    from meshtrail.collect.pieces import Piece
    from meshtrail.errors import MeshtrailError


class StreamKind(NamedTuple):
    """What all records of a stream have in common besides their sender, and what it says of itself.

    Attributes:
        service: what they were sent to, for stream-opened entries.
        encoding: of what was sent; empty where there is only one.
        claims: how their senders say who they are; the same for one service and encoding.
    """

    service: str
    encoding: str
    claims: Claims


class CutPart(NamedTuple):
    """The pieces of which the sender says the same.

    Attributes:
        identifier: the bytes in which it does; None where it does not, or where none can be found.
        pieces: in the order in which they are journaled; none when there are no records.
    """

    identifier: bytes | None
    pieces: list[Piece]


class Cut(NamedTuple):
    """What becomes of an export.

    Attributes:
        parts: in the order of the body.
        refusal: why it is kept as a whole alone; None when it is not.
    """

    parts: list[CutPart]
    refusal: MeshtrailError | None = None

    @property
    def records_count(self) -> int:
        """How many records it holds."""
        pieces = [piece for part in self.parts for piece in part.pieces]
        return sum(piece.records_count for piece in pieces if not piece.is_counters)


class Export(Protocol):
    """A request of a sender, unpacked."""

    @property
    def body(self) -> bytes:
        """As it came."""
        ...

    @property
    def name(self) -> str:
        """What it is of, for people."""
        ...

    @property
    def label(self) -> str:
        """What two exports must have in common besides body and sender to be the same."""
        ...

    @property
    def kind(self) -> StreamKind:
        """Of the streams on which it is recorded."""
        ...

    def cut(self) -> Cut:
        """Cut it; whatever is wrong with it stands in what is returned."""
        ...

    def keep_whole(self) -> CutPart:
        """The body as it came."""
        ...
