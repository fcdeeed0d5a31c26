"""How long the oldest entry of a journal has been waiting to be sealed, read from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.errors import DurabilityError
from meshtrail.journal.batch import declared_bytes, decode_batch
from meshtrail.journal.files import list_files, open_file
from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.journal.files import JournalFile
    from meshtrail.store.manifest import JournalPosition

_FIRST_BYTES: Final = 64
"""More than the head of a batch, which says how long the batch is."""


def read_oldest_unsealed(directory: Path, position: JournalPosition | None) -> int | None:
    """When the first entry behind a position arrived.

    Args:
        directory: ``journal/<writer>``.
        position: how far it is sealed; None for not at all.

    Returns:
        ``received_ns`` of the first complete batch behind it; None when there is none, or when its
        file does not read back, which is the sealer's to say.

    Cost: reads one batch.
    """
    disk = Disk()
    try:
        for number in list_files(directory):
            if position is not None and number < position.file_number:
                continue
            file = open_file(disk, directory, number)
            if file is None:
                continue
            try:
                is_within = position is not None and number == position.file_number
                found = _read_first(file, position.offset if position and is_within else 0)
            finally:
                file.close()
            if found is not None:
                return found
    except DurabilityError:
        # Sealed and removed between two looks, most of the time.
        return None
    return None


def _read_first(file: JournalFile, offset: int) -> int | None:
    start = max(offset, file.header_bytes)
    declared = declared_bytes(file.read(start, _FIRST_BYTES), 0)
    if declared is None or declared > file.count_bytes() - start:
        return None
    batch = decode_batch(file.read(start, declared), 0, file_offset=start, seed=file.seed)
    return None if batch is None else int(batch.rows["received_ns"][0])
