from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError, WriterHeldError
from meshtrail.log.data_lock import DataLock
from meshtrail.store.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from meshtrail.log.data_lock import DataLock
from meshtrail.store.layout import Layout
lock = DataLock(Layout(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


def test_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    lock = DataLock(layout)
    with pytest.raises(WriterHeldError, match="has a sealer already"):
        DataLock(layout)
    lock.close()
    DataLock(layout).close()


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(WriterHeldError):
            DataLock(Layout(tmp_path))
        holder.kill()
        holder.wait()
        DataLock(Layout(tmp_path)).close()


def test_directory_that_is_not_there_is_a_durability_error(tmp_path: Path) -> None:
    with pytest.raises(DurabilityError, match="must be able to write there") as caught:
        DataLock(Layout(tmp_path / "gone"))
    assert caught.value.path == tmp_path / "gone" / "lock"


def test_a_glance_at_the_lock_does_not_refuse_a_sealer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    DataLock(layout).close()
    glance = os.open(layout.lock, os.O_RDONLY)
    fcntl.flock(glance, fcntl.LOCK_SH)
    monkeypatch.setattr(
        "meshtrail.log.data_lock.time.sleep", lambda _: fcntl.flock(glance, fcntl.LOCK_UN)
    )
    DataLock(layout).close()
    os.close(glance)
