"""Durable staging between what received a frame and the sealer: append, group commit, read on.

In: frames, as bytes with a row of facts; the journal never looks inside. Out: the same frames, in
order, exactly once for each position. One writer for each directory, any number of readers, no
acknowledgement between them but the removal of files. Specified in docs/formats/journal.md.
``collect`` and whatever else has something to record writes one; ``log`` reads them all.
"""

from meshtrail.journal.file_positions import (
    FINGERPRINT_BYTES_MAX,
    FileIdentity,
    FilePosition,
    FileState,
)
from meshtrail.journal.frame import (
    NO_ENTRIES,
    ROW_DTYPE,
    Frame,
    Framing,
    blob_frame,
    export_frame,
    position_frame,
)
from meshtrail.journal.group_commit import GroupCommit, StallListener
from meshtrail.journal.header import OpenStream
from meshtrail.journal.options import JournalOptions
from meshtrail.journal.reader import JournalReader, JournalSlice, ReadPosition
from meshtrail.journal.recent_exports import EXPORT_DIGEST_BYTES, RecentExports
from meshtrail.journal.writer import JournalWriter

__all__ = [
    "EXPORT_DIGEST_BYTES",
    "FINGERPRINT_BYTES_MAX",
    "NO_ENTRIES",
    "ROW_DTYPE",
    "FileIdentity",
    "FilePosition",
    "FileState",
    "Frame",
    "Framing",
    "GroupCommit",
    "JournalOptions",
    "JournalReader",
    "JournalSlice",
    "JournalWriter",
    "OpenStream",
    "ReadPosition",
    "RecentExports",
    "StallListener",
    "blob_frame",
    "export_frame",
    "position_frame",
]
