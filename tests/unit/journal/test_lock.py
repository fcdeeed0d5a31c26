from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError, WriterHeldError
from meshtrail.journal.lock import JournalLock
from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    from pathlib import Path


def test_second_lock_of_a_journal_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    first = JournalLock(Disk(), tmp_path)
    with pytest.raises(WriterHeldError, match="another process writes the journal"):
        JournalLock(Disk(), tmp_path)
    first.close()
    JournalLock(Disk(), tmp_path).close()


def test_lock_in_a_directory_that_is_not_there_is_a_durability_error(tmp_path: Path) -> None:
    with pytest.raises(DurabilityError, match="open"):
        JournalLock(Disk(), tmp_path / "missing")
