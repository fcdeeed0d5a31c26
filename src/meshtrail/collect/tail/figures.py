"""What is told of files while they are read."""

from __future__ import annotations


class TailFigures:
    """Set by the collector's loop, read by whoever writes figures.

    Attributes:
        files_count: files that are open.
        behind_bytes: in them, that were there at the last look and are not taken yet.
    """

    def __init__(self) -> None:
        self.files_count = 0
        self.behind_bytes = 0

    def as_json(self) -> dict[str, int]:
        """Plain facts."""
        return {"files": self.files_count, "behind_bytes": self.behind_bytes}
