from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.app.journal_lag import read_oldest_unsealed
from meshtrail.app.status import read_status
from tests.log_rig import MILLISECOND, ORIGIN, LogRig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> LogRig:
    return LogRig(tmp_path)


def oldest_of(rig: LogRig) -> int | None:
    """What the status of the rig's log says of its one journal."""
    status = read_status(rig.layout, rig.signer.verifier, origin=ORIGIN)
    (journal,) = status.journals
    return journal.oldest_unsealed_ns


def test_the_oldest_entry_that_waits_is_the_first_behind_what_is_sealed(rig: LogRig) -> None:
    begun_ns = rig.clock.wall_ns()
    stream = rig.open_stream()
    assert oldest_of(rig) == begun_ns
    rig.append(rig.load.http(stream, 3))
    assert oldest_of(rig) == begun_ns
    rig.seal()
    assert oldest_of(rig) is None
    rig.clock.advance(500 * MILLISECOND)
    waiting_since_ns = rig.clock.wall_ns()
    rig.append(rig.load.http(stream, 1))
    rig.append(rig.load.http(stream, 1))
    assert oldest_of(rig) == waiting_since_ns
    rig.close()


def test_it_is_found_in_a_later_file_too(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.seal()
    rig.restart_collect()
    waiting_since_ns = rig.clock.wall_ns()
    rig.append(rig.load.http(stream, 1))
    assert oldest_of(rig) == waiting_since_ns
    rig.close()


def test_a_batch_that_is_torn_does_not_count(rig: LogRig) -> None:
    rig.open_stream()
    rig.seal()
    folder = rig.layout.journals / "collect"
    newest = max(path for path in folder.iterdir() if path.name.isdecimal())
    before = newest.read_bytes()
    rig.append(rig.load.http(rig.load.opened().stream, 1))
    rig.close()
    whole = newest.read_bytes()
    for length in range(len(before) + 1, len(whole), 37):
        newest.write_bytes(whole[:length])
        assert oldest_of(rig) is None


def test_a_journal_without_files_or_without_a_folder_has_nothing_waiting(tmp_path: Path) -> None:
    assert read_oldest_unsealed(tmp_path, None) is None
    assert read_oldest_unsealed(tmp_path / "none", None) is None
