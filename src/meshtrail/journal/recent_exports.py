"""Which exports a journal took last, by digest: a sender that heard no answer sends one again.

Carried from file to file in their headers, as open streams are, so that a restarted collector knows
them although the sealer has removed older files.
"""

from __future__ import annotations

from typing import Final

EXPORT_DIGEST_BYTES: Final = 16
RECENT_EXPORTS_MAX: Final = 65_536


class RecentExports:
    """The last digests that were added, without repeats, oldest first.

    Args:
        before: digests joined, oldest first.
        count_max: how many are kept.
    """

    def __init__(self, before: bytes = b"", *, count_max: int = RECENT_EXPORTS_MAX) -> None:
        self._count_max = count_max
        starts = range(0, len(before), EXPORT_DIGEST_BYTES)
        kept = [before[at : at + EXPORT_DIGEST_BYTES] for at in starts]
        self._digests = dict.fromkeys(kept[-count_max:])

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        """Note a digest; one that is known keeps its place."""
        self._digests[digest] = None
        if len(self._digests) > self._count_max:
            del self._digests[next(iter(self._digests))]

    def join(self) -> bytes:
        """All of them, oldest first."""
        return b"".join(self._digests)
