from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.app import import_sealing, importing
from meshtrail.app.clock import SystemClock
from meshtrail.app.data import open_owned_data
from meshtrail.app.import_report import account_for
from meshtrail.app.import_sealing import ImportSealing
from meshtrail.app.importing import WRITER, ImportedFile, Importer
from meshtrail.collect.payloads import CollectorFacts, Sender, stream_opened
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.config import Configuration, LogOptions
from meshtrail.errors import InputError, WriterHeldError
from meshtrail.journal import JournalWriter, blob_frame
from meshtrail.log.data_lock import DataLock
from meshtrail.log.sealer import Sealer
from meshtrail.model.entry import EntryType
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.search.searcher import Searcher
from meshtrail.store.durable import Disk
from meshtrail.verify import KeySource, TrustedKey, audit
from tests.log_rig import SilentDiag

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.app.data import OwnedData
    from meshtrail.journal import Frame

LINES = b'{"a":1}\n\n{"a":2}\nnot json'


@pytest.fixture
def owned(tmp_path: Path) -> OwnedData:
    return open_owned_data(
        Disk(),
        tmp_path / "data",
        log=LogOptions(),
        key_file=None,
        home=tmp_path / "home",
        pins_file=tmp_path / "pins",
    )


def importer(owned: OwnedData) -> Importer:
    return Importer(owned, Configuration(), version="1", reporter="node-1")


def read(owned: OwnedData, path: Path, data: bytes = LINES) -> ImportedFile:
    path.write_bytes(data)
    with importer(owned) as one:
        return one.read("hubble", path, progress=lambda *_: None)


def opened() -> tuple[Stream, list[Frame]]:
    """A stream of an import, and what it begins with."""
    now_ns = SystemClock().wall_ns()
    config = hashlib.sha256(b"{}").digest()
    facts = CollectorFacts(version="1", started_ns=now_ns, config_sha256=config)
    stream = Stream()
    payload = stream_opened(Sender(transport="file", peer=Peer(address="x.log")), facts)
    entry = stream.own_frame(EntryType.STREAM_OPENED, payload, received_ns=now_ns)
    return stream, [blob_frame(b"{}", received_ns=now_ns), entry]


def check(owned: OwnedData) -> int:
    """How many entries the log has, after an audit that trusts none of it."""
    trusted = TrustedKey(verifier=owned.signer.verifier, source=KeySource.OPTION)
    report = audit(owned.layout.root, trusted=trusted, is_deep=True, workers=1)
    assert report.is_clean
    return int(report.tree_size)


def ask(owned: OwnedData, sql: str) -> list[dict[str, Any]]:
    with Searcher(
        owned.layout, owned.signer.verifier, origin=owned.signer.name, limits=SearchLimits()
    ) as searcher:
        answer = searcher.run_sql(sql, Period())
        return [row for batch in answer.batches for row in batch.to_pylist()]


def test_every_record_is_sealed_and_accounted_for(owned: OwnedData, tmp_path: Path) -> None:
    imported = read(owned, tmp_path / "x.log")
    assert (imported.records_count, imported.repeated_count) == (3, 0)
    assert imported.bytes_count == len(LINES)
    [account] = account_for(owned, [imported])
    assert sum(account.kinds.values()) == 3
    assert (account.first_index, account.last_index) == (1, 3)
    assert check(owned) == 5


def test_what_is_imported_again_is_sealed_again_and_told(owned: OwnedData, tmp_path: Path) -> None:
    read(owned, tmp_path / "x.log")
    again = read(owned, tmp_path / "y.log")
    assert (again.records_count, again.repeated_count) == (3, 3)
    # Of a file that has grown, the chunk that has.
    grown = read(owned, tmp_path / "x.log", LINES + b"more")
    assert (grown.records_count, grown.repeated_count) == (3, 2)
    assert check(owned) == 15


def test_a_running_sealer_does_the_sealing(owned: OwnedData, tmp_path: Path) -> None:
    ended = threading.Event()
    with Sealer(
        Disk(),
        owned.layout,
        owned.signer,
        Configuration().seal,
        clock=SystemClock(),
        diag=SilentDiag(),
    ) as sealer:

        def run() -> None:
            while not ended.wait(0.01):
                sealer.tick()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            with importer(owned) as one:
                assert one.is_sealed_elsewhere
                (tmp_path / "x.log").write_bytes(LINES)
                imported = one.read("hubble", tmp_path / "x.log", progress=lambda *_: None)
            [account] = account_for(owned, [imported])
            assert sum(account.kinds.values()) == 3
        finally:
            ended.set()
            thread.join()


def test_an_import_seals_as_it_goes(
    owned: OwnedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "UNSEALED_BYTES_MAX", 10)
    (tmp_path / "x.log").write_bytes(LINES)
    with importer(owned) as one:
        assert not one.is_sealed_elsewhere
        imported = one.read("hubble", tmp_path / "x.log", progress=lambda *_: None)
        [account] = account_for(owned, [imported])
        assert sum(account.kinds.values()) == 3


def test_what_an_import_that_was_ended_had_journaled_stays(
    owned: OwnedData, tmp_path: Path
) -> None:
    (tmp_path / "x.log").write_bytes(LINES)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with importer(owned) as one, pytest.raises(KeyboardInterrupt):
        one.read("hubble", tmp_path / "x.log", progress=interrupt)
    assert read(owned, tmp_path / "x.log").repeated_count == 2
    assert check(owned) == 4 + 5


def test_a_stream_that_a_killed_import_left_open_is_closed_by_the_next(
    owned: OwnedData, tmp_path: Path
) -> None:
    stream, frames = opened()
    with JournalWriter(owned.layout.journals / WRITER, clock=SystemClock()) as journal:
        journal.append(frames)
    read(owned, tmp_path / "x.log")
    [ended] = ask(
        owned,
        f"SELECT detail FROM events WHERE stream = {stream.id} AND kind = 'stream_closed'",  # noqa: S608 - our own number
    )
    assert '"reason":"collector-restarted"' in ended["detail"]


def test_an_import_becomes_the_sealer_when_the_one_that_was_there_ends(
    owned: OwnedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_sealing, "_TRY_SECONDS", 0.0)
    lock = DataLock(owned.layout)
    with (
        JournalWriter(owned.layout.journals / WRITER, clock=SystemClock()) as journal,
        ImportSealing(owned, writer=WRITER, options=Configuration().seal) as sealing,
    ):
        _, frames = opened()
        journal.append(frames)
        before = sealing.is_elsewhere
        lock.close()
        sealing.seal()
        assert (before, sealing.is_elsewhere) == (True, False)
    assert check(owned) == 1


def test_two_imports_at_a_time_are_refused(owned: OwnedData) -> None:
    with (
        JournalWriter(owned.layout.journals / WRITER, clock=SystemClock()),
        pytest.raises(WriterHeldError),
    ):
        importer(owned)


def test_a_file_that_cannot_be_read_is_named_and_what_was_read_stays(
    owned: OwnedData, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="missing"), importer(owned) as one:
        one.read("hubble", tmp_path / "missing", progress=lambda *_: None)
    assert read(owned, tmp_path / "x.log").records_count == 3


def test_what_was_read_before_a_file_turned_out_to_be_bad_is_sealed(
    owned: OwnedData, tmp_path: Path
) -> None:
    (tmp_path / "x.log").write_bytes(LINES)
    one = importer(owned)

    def read_both() -> None:
        with one:
            one.read("hubble", tmp_path / "x.log", progress=lambda *_: None)
            one.read("hubble", tmp_path / "missing", progress=lambda *_: None)

    with pytest.raises(InputError):
        read_both()
    assert check(owned) == 5


def test_the_same_file_of_another_cluster_is_no_duplicate(owned: OwnedData, tmp_path: Path) -> None:
    read(owned, tmp_path / "x.log")
    with Importer(owned, Configuration(), version="1", reporter="node-1", cluster="east") as one:
        imported = one.read("hubble", tmp_path / "x.log", progress=lambda *_: None)
    assert imported.repeated_count == 0


def test_a_file_is_imported_under_the_names_that_it_is_given(
    owned: OwnedData, tmp_path: Path
) -> None:
    (tmp_path / "x.log").write_bytes(LINES)
    with Importer(owned, Configuration(), version="1", reporter="node-1", cluster="east") as one:
        one.read("hubble", tmp_path / "x.log", progress=lambda *_: None)
    sql = """SELECT DISTINCT reporter_id, reporter_cluster, reporter_auth, reporter_log_name
        FROM events"""
    assert ask(owned, sql) == [
        {
            "reporter_id": "node-1",
            "reporter_cluster": "east",
            "reporter_auth": "none",
            "reporter_log_name": str(tmp_path / "x.log"),
        }
    ]


def test_exports_of_otlp_have_a_stream_for_each_resource(owned: OwnedData, tmp_path: Path) -> None:
    def export(name: str) -> str:
        attribute = {"key": "service.name", "value": {"stringValue": name}}
        spans = [{"name": "a", "spanId": "00f067aa0ba902b7"}]
        told = {"resource": {"attributes": [attribute]}, "scopeSpans": [{"spans": spans * 2}]}
        return json.dumps({"resourceSpans": [told]})

    (tmp_path / "x.json").write_text("\n".join(map(export, ["web", "cart", "web"])), "utf-8")
    with importer(owned) as one:
        imported = one.read("otlp-json", tmp_path / "x.json", progress=lambda *_: None)
    assert (imported.records_count, len(imported.streams), imported.repeated_count) == (6, 2, 0)
    sql = "SELECT kind, count(*) AS n FROM events WHERE kind = 'span' GROUP BY ALL"
    assert ask(owned, sql) == [{"kind": "span", "n": 6}]
    assert check(owned) == 6 + 4
