"""Kinds of numbers that must not be mixed up, and the clock that tests can own.

Imports nothing of meshtrail. Units and kinds come last in names: ``age_ms_max``, ``leaf_index``;
ranges are half-open ``[start, end)``.
"""

from __future__ import annotations

from typing import NewType, Protocol

LeafIndex = NewType("LeafIndex", int)
"""Position of an entry in the log, from 0."""

TreeSize = NewType("TreeSize", int)
"""Number of leaves in a tree."""

UnixNanos = NewType("UnixNanos", int)
"""Nanoseconds since 1970-01-01T00:00:00Z, signed 64 bits."""

INT64_MAX = 2**63 - 1


class Clock(Protocol):
    """Where time comes from, so that tests own it."""

    def wall_ns(self) -> UnixNanos:
        """Wall-clock time; it may step in either direction."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never decreases."""
        ...
