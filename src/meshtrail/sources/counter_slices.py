"""The payload of an entry of counters: what was kept, behind what accounts for the rest.

Specified in docs/formats/entry.md.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from meshtrail.errors import InputError

HEAD: Final = struct.Struct(">32sQ")
"""What stands before the slices that were kept: SHA-256 of those left out, and how many."""

FIELDS_COUNT_MAX: Final = 65_536
"""Families of one push, and the fields around the metrics of one export, that are looked at: some
20 ms worth. A proxy with 300 clusters has 2,300 families."""

KEPT_BYTES_MAX: Final = 1 << 20
"""More is not kept of one push: each number in it costs whoever derives the row. A gateway with
1,000 listeners keeps less."""

KEPT_JSON_BYTES_MAX: Final = 256 << 10
"""The same for JSON, whose numbers cost ten times as much."""

SMALL_POINTS_MAX: Final = 1_024
POINT_BYTES_MIN: Final = 16
"""More than so many numbers of less than this on average are not kept: an empty one takes 2 bytes
of a message, and costs as much as the next. The smallest that Envoy writes has 25."""


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


def check_density(points_count: int, message_bytes: int) -> None:
    """Return when so many numbers in so many bytes are what somebody counted.

    Raises:
        InputError: they are too small for that.
    """
    if points_count > SMALL_POINTS_MAX and message_bytes < POINT_BYTES_MIN * points_count:
        raise InputError(
            f"{points_count} numbers in {message_bytes} bytes: at most {SMALL_POINTS_MAX} of less "
            f"than {POINT_BYTES_MIN} bytes on average are kept"
        )


def split_payload(payload: bytes) -> tuple[int, bytes] | None:
    """How many slices were left out, and the message of the others; None for no such payload."""
    if len(payload) < HEAD.size:
        return None
    _, left_out_count = HEAD.unpack_from(payload)
    return left_out_count, payload[HEAD.size :]
