"""Proofs and bundles of a log: what is written, that it checks, and what is refused before."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from meshtrail.errors import (
    ConfigError,
    DigestError,
    InclusionError,
    LeafError,
    MissingFileError,
    NotFoundError,
    SignatureError,
)
from meshtrail.merkle import hash_leaf
from meshtrail.model.entry import decode_header
from meshtrail.note import open_proof
from meshtrail.verify import (
    KeySource,
    TrustedKey,
    check_file,
    prove,
    standalone_check,
    write_bundle,
)
from meshtrail.verify import evidence as evidence_module
from meshtrail.verify.bundle import pack, render_event
from meshtrail.verify.evidence import ProvenLog
from tests.faults.tamper.forgery import change_byte, change_entry, change_rows
from tests.faults.tamper.scene import Scene
from tests.log_builder import EntryWriter, LogBuilder, build_small_log, http_record, make_signer

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)


@pytest.fixture
def builder(tmp_path: Path) -> LogBuilder:
    return build_small_log(tmp_path / "log")


def test_every_entry_of_a_log_is_proven(builder: LogBuilder, tmp_path: Path) -> None:
    report = prove(tmp_path / "log", range(16), trusted=TRUSTED, out=tmp_path / "out")
    for index, entry in enumerate(builder.entries):
        proof = (tmp_path / "out" / f"{index}.tlog-proof").read_bytes()
        assert (tmp_path / "out" / f"{index}.entry").read_bytes() == entry
        proven = open_proof(proof, entry=entry, verifier=TRUSTED.verifier)
        assert (proven.leaf_index, proven.checkpoint.tree_size) == (index, 16)
    assert len(report.files) == 32
    assert report.as_json()["entries"] == [
        {"log_index": index, "entry_bytes": len(entry), "leaf_hash": hash_leaf(entry).hex()}
        for index, entry in enumerate(builder.entries)
    ]
    assert "16 entries of test/one/0a1b2c3d" in report.render()


def test_entries_of_many_row_groups_are_proven(tmp_path: Path) -> None:
    builder = LogBuilder(tmp_path / "log")
    writer = EntryWriter()
    record = http_record(1)
    builder.seal([writer.opened(5), *(writer.record(5, record) for _ in range(33_000))])
    indexes = [0, 1_023, 1_024, 1_025, 5_000, 16_383, 16_384, 32_767, 32_768, 33_000]
    report = prove(tmp_path / "log", indexes, trusted=TRUSTED, out=tmp_path / "out")
    assert [one.leaf_index for one in report.evidence] == indexes
    assert [one.entry for one in report.evidence] == [builder.entries[index] for index in indexes]
    assert [decode_header(one.entry).seq for one in report.evidence] == indexes
    proven = ProvenLog(tmp_path / "log", TRUSTED).prove(indexes)
    assert [one.event["seq"] for one in proven] == indexes


def test_row_group_that_ends_before_its_footer_says_so_is_named(
    builder: LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_less(self: pq.ParquetFile, *_: object, **__: object) -> list[pa.RecordBatch]:
        fewer: list[pa.RecordBatch] = self.read_row_group(0, columns=["entry"])[:4].to_batches()
        return fewer

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", read_less)
    (first, *_) = (file.named.path for file in builder.live.folder("segments"))
    with pytest.raises(DigestError, match=f"{first}.*ends at row 4, before row 4"):
        prove(tmp_path / "log", [4], trusted=TRUSTED, out=tmp_path / "out")


def test_index_outside_the_published_log_is_refused_with_its_size(
    builder: LogBuilder, tmp_path: Path
) -> None:
    for index in (16, -1, 10**15):
        with pytest.raises(NotFoundError, match="has 16 entries, 0 to 15"):
            prove(tmp_path / "log", [3, index], trusted=TRUSTED, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert builder.frontier.size == 16


def test_more_entries_than_a_bundle_holds_are_refused(
    builder: LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "INDEXES_MAX", 3)
    log = ProvenLog(tmp_path / "log", TRUSTED)
    assert len(list(log.prove([1, 2, 3, 3]))) == 3
    with pytest.raises(NotFoundError, match="at most 3"):
        list(log.prove(range(4)))
    assert builder.frontier.size == 16


def test_log_without_a_checkpoint_has_nothing_to_prove(tmp_path: Path) -> None:
    builder = LogBuilder(tmp_path / "log")
    with pytest.raises(NotFoundError, match="0 entries"):
        prove(tmp_path / "log", [0], trusted=TRUSTED, out=tmp_path / "out")
    builder.layout.published.unlink()
    with pytest.raises(NotFoundError, match="no published checkpoint"):
        prove(tmp_path / "log", [0], trusted=TRUSTED, out=tmp_path / "out")


def test_proofs_lead_to_the_published_checkpoint_while_a_commit_is_under_way(
    builder: LogBuilder, tmp_path: Path
) -> None:
    writer = EntryWriter(now_ns=1_700_000_001_000_000_000, next_seq={22: 7})
    files = builder.write_files([writer.record(22, http_record(1))], blobs={})
    builder.commit_manifest(files, ())
    report = prove(tmp_path / "log", [15], trusted=TRUSTED, out=tmp_path / "out")
    assert report.checkpoint.tree_size == 16
    with pytest.raises(NotFoundError):
        prove(tmp_path / "log", [16], trusted=TRUSTED, out=tmp_path / "out")


def test_nothing_is_replaced_unasked(builder: LogBuilder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prove(tmp_path / "log", [3], trusted=TRUSTED, out=out)
    (out / "3.entry").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="there already"):
        prove(tmp_path / "log", [2, 3], trusted=TRUSTED, out=out)
    assert not (out / "2.entry").exists()
    prove(tmp_path / "log", [2, 3], trusted=TRUSTED, out=out, is_overwriting=True)
    assert (out / "3.entry").read_bytes() == builder.entries[3]


def test_place_that_cannot_be_written_is_named(builder: LogBuilder, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_bundle(tmp_path / "log", [3], trusted=TRUSTED, path=tmp_path / "file" / "case.zip")
    assert builder.frontier.size == 16


def test_changed_log_is_not_proven(builder: LogBuilder, tmp_path: Path) -> None:
    good = tmp_path / "good"
    shutil.copytree(tmp_path / "log", good)
    scene = Scene(tmp_path / "log", tmp_path / "l", tmp_path / "o", builder)
    segment, tiles = (builder.live.folder(name)[0].named.path for name in ("segments", "tiles"))

    def attempt() -> None:
        prove(tmp_path / "log", [4], trusted=TRUSTED, out=tmp_path / "out", is_overwriting=True)

    def restore() -> None:
        shutil.rmtree(tmp_path / "log")
        shutil.copytree(good, tmp_path / "log")

    change_rows(scene, 0, 11, change_entry(4))
    with pytest.raises(LeafError, match="entry 4"):
        attempt()
    restore()
    (tmp_path / "log" / segment).write_bytes(b"no parquet")
    with pytest.raises(DigestError, match=segment):
        attempt()
    (tmp_path / "log" / segment).unlink()
    with pytest.raises(MissingFileError, match=segment):
        attempt()
    restore()
    change_byte(tmp_path / "log" / tiles, 5)
    with pytest.raises(InclusionError):
        attempt()
    restore()
    change_byte(tmp_path / "log" / "published" / "checkpoint", 2)
    with pytest.raises(SignatureError):
        attempt()
    restore()
    attempt()


def test_bundle_is_the_same_bytes_each_time_and_checks_in_both_ways(
    builder: LogBuilder, tmp_path: Path
) -> None:
    for name in ("a.zip", "b.zip"):
        write_bundle(tmp_path / "log", [12, 0, 0, 5], trusted=TRUSTED, path=tmp_path / name)
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    report = check_file(tmp_path / "a.zip", key_option=TRUSTED.vkey, pins_file=tmp_path / "pins")
    assert [entry.leaf_index for entry in report.entries] == [0, 5, 12]
    assert standalone_check.main([str(tmp_path / "a.zip"), "--key", TRUSTED.vkey]) == 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        events = [json.loads(line) for line in archive.read("events.jsonl").splitlines()]
        readme = archive.read("README.txt").decode()
        assert pack({name: archive.read(name) for name in names}) == data
    assert names == sorted(names)
    assert [event["log_index"] for event in events] == [0, 5, 12]
    assert events[0]["reporter_id"] == "sidecar"
    assert TRUSTED.fingerprint in readme
    assert max(map(len, readme.split("\n"))) <= 105  # the tree size stands in a line
    assert builder.frontier.size == 16


def test_rendering_shows_what_has_a_value_and_bytes_as_hex() -> None:
    line = render_event({"log_index": 3, "trace_id": b"\x01\xff", "url_path": None, "log": "ö"})
    assert line == '{"log": "ö", "log_index": 3, "trace_id": "01ff"}\n'.encode()
