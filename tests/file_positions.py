"""Positions of files, for tests that do not care what they say."""

from __future__ import annotations

import hashlib
from typing import Any

from meshtrail.journal import FilePosition, FileState


def position(inode: int = 7, **changed: Any) -> FilePosition:
    """How far a file was taken, with what differs."""
    facts: dict[str, Any] = {
        "device": 2049,
        "inode": inode,
        "path": "/var/log/a.log",
        "target": "/var/log/a.log",
        "offset": 6,
        "line_start": None,
        "fingerprint": hashlib.sha256(b"first\n").digest(),
        "fingerprint_bytes": 6,
        "state": FileState.OPEN,
        "seen_ns": 1_700_000_000_000_000_000,
    }
    return FilePosition(**(facts | changed))
