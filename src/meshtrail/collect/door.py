"""What the streams of a door have in common: where it listens, and what was journaled already."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from meshtrail.collect.payloads import CollectorFacts

_KNOWN_BLOBS_MAX: Final = 4_096


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
class Door:
    """One door.

    Attributes:
        listener: the address that was listened on.
        collector: for stream-opened entries.
        blobs: the identifiers and resources that were journaled, by any door.
    """

    listener: str
    collector: CollectorFacts
    blobs: KnownBlobs
