"""The payload of an entry of counters: what was kept, behind what accounts for the rest.

Specified in docs/formats/entry.md.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

HEAD: Final = struct.Struct(">32sQ")
"""What stands before the slices that were kept: SHA-256 of those left out, and how many."""


@dataclass(frozen=True, slots=True)
class CutCounters:
    """What a push becomes.

    Attributes:
        payload: of the entry, head and message.
        kept_count: families in it.
        left_out_count: families that are not.
        identifier: the bytes in which an Envoy says who it is; None where it does not.
    """

    payload: bytes
    kept_count: int
    left_out_count: int
    identifier: bytes | None = None


class LeftOut:
    """The slices that are not kept: their digest, and how many they are."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.count = 0

    def add(self, slices: bytes | memoryview, count: int = 1) -> None:
        """Note some, in the order in which they stood."""
        self._digest.update(slices)
        self.count += count

    def cut(self, message: bytes, kept_count: int, identifier: bytes | None = None) -> CutCounters:
        """The push without them."""
        head = HEAD.pack(self._digest.digest(), self.count)
        return CutCounters(head + message, kept_count, self.count, identifier)


def split_payload(payload: bytes) -> tuple[int, bytes] | None:
    """How many slices were left out, and the message of the others; None for no such payload."""
    if len(payload) < HEAD.size:
        return None
    _, left_out_count = HEAD.unpack_from(payload)
    return left_out_count, payload[HEAD.size :]
