from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.status import read_status
from meshtrail.errors import SignatureError
from meshtrail.journal.header import FileHeader
from meshtrail.log.data_lock import DataLock
from meshtrail.note import generate_signer
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, STEP_NS, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def journal_file(log: SmallLog, number: int, body_bytes: int) -> None:
    folder = log.layout.journals / "collect"
    folder.mkdir(exist_ok=True)
    header = struct.pack(">8sII", b"MTJOURN1", 10, 0) + b"{" + b" " * 8 + b"}"
    (folder / f"{number:012}").write_bytes(header + bytes(body_bytes))


def test_an_empty_log_has_nothing_in_it(log: SmallLog) -> None:
    status = read_status(log.layout, log.signer.verifier, origin=ORIGIN)
    assert (status.tree_size, status.sealed_size, status.last_received_ns) == (0, 0, None)
    assert (status.root_hash, status.manifest_number, status.journals) == (None, None, ())


def test_published_and_sealed_are_told_apart(log: SmallLog) -> None:
    log.add_segment([{}] * 3)
    log.add_segment([{}] * 2, is_published=False)
    status = read_status(log.layout, log.signer.verifier, origin=ORIGIN)
    assert (status.tree_size, status.sealed_size, status.segments_count) == (3, 5, 2)
    assert status.last_received_ns == FIRST_NS + 4 * STEP_NS
    files = [*log.layout.segments.iterdir(), *log.layout.tiles.iterdir()]
    assert status.stored_bytes == sum(path.stat().st_size for path in files)
    json.dumps(status.as_json())


def test_a_journals_headers_do_not_count_as_unsealed(log: SmallLog) -> None:
    journal_file(log, 1, 0)
    journal_file(log, 2, 100)
    (log.layout.journals / "collect" / "lock").touch()
    status = read_status(log.layout, log.signer.verifier, origin=ORIGIN)
    (journal,) = status.journals
    assert (journal.writer, journal.unsealed_bytes, journal.files_count) == ("collect", 100, 2)


def test_digests_of_exports_in_a_journals_header_do_not_count_as_unsealed(log: SmallLog) -> None:
    folder = log.layout.journals / "collect"
    folder.mkdir()
    header = FileHeader(
        writer="collect",
        file_number=1,
        created_ns=UnixNanos(1),
        previous=None,
        open_streams={},
        recent_exports=bytes(16 * 50),
    )
    (folder / f"{1:012}").write_bytes(header.encode() + bytes(7))
    status = read_status(log.layout, log.signer.verifier, origin=ORIGIN)
    assert [journal.unsealed_bytes for journal in status.journals] == [7]


def read_sealer(log: SmallLog) -> str:
    return read_status(log.layout, log.signer.verifier, origin=ORIGIN).sealer


def test_a_sealer_is_running_for_as_long_as_it_holds_its_lock(log: SmallLog) -> None:
    assert read_sealer(log) == "not running"
    assert not log.layout.lock.exists()
    lock = DataLock(log.layout)
    before = log.layout.lock.stat()
    assert read_sealer(log) == "running"
    lock.close()
    assert read_sealer(log) == "not running"
    after = log.layout.lock.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


def test_looking_for_a_sealer_leaves_its_lock_to_the_next_and_to_others_who_look(
    log: SmallLog,
) -> None:
    DataLock(log.layout).close()
    with log.layout.lock.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert read_sealer(log) == "not running"
    DataLock(log.layout).close()


def test_a_lock_that_cannot_be_asked_is_unknown(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    log.layout.lock.touch()
    monkeypatch.setattr("meshtrail.app.status.fcntl.flock", refuse)
    assert read_sealer(log) == "unknown"
    monkeypatch.setattr("meshtrail.app.status.os.open", refuse)
    assert read_sealer(log) == "unknown"


def test_a_pipe_in_the_place_of_the_lock_keeps_nobody_waiting(log: SmallLog) -> None:
    os.mkfifo(log.layout.lock)
    assert read_sealer(log) == "not running"


def test_a_log_that_another_key_signed_is_refused(log: SmallLog) -> None:
    log.add_segment([{}])
    with pytest.raises(SignatureError):
        read_status(log.layout, generate_signer(ORIGIN).verifier, origin=ORIGIN)
