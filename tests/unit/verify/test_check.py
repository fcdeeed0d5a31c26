"""A proof or a bundle is checked offline, against a key from outside where there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import (
    BundleError,
    ConfigError,
    DigestError,
    InclusionError,
    MeshtrailError,
    ProofSyntaxError,
    SignatureError,
)
from meshtrail.note import format_vkey
from meshtrail.verify import (
    CheckReport,
    KeySource,
    TrustedKey,
    check_file,
    prove,
    write_bundle,
    write_pin,
)
from tests.log_builder import LogBuilder, build_small_log, make_signer

if TYPE_CHECKING:
    from pathlib import Path

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)
OTHER = format_vkey(make_signer(seed=2).verifier)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LogBuilder]:
    """A folder with proofs and a bundle, and the log that they are of."""
    folder = tmp_path_factory.mktemp("made")
    builder = build_small_log(folder / "log")
    prove(folder / "log", [4, 5], trusted=TRUSTED, out=folder)
    write_bundle(folder / "log", [4, 5], trusted=TRUSTED, path=folder / "case.zip")
    return folder, builder


def check(
    path: Path, *, key: str | None = None, required: bool = False, entry: Path | None = None
) -> CheckReport:
    pins = path.parent / "pins"
    return check_file(path, key_option=key, pins_file=pins, is_pin_required=required, entry=entry)


def test_proof_is_checked_with_the_entry_beside_it(made: tuple[Path, LogBuilder]) -> None:
    folder, builder = made
    report = check(folder / "4.tlog-proof", key=TRUSTED.vkey)
    assert (report.kind, report.checkpoint.tree_size) == ("proof", 16)
    (entry,) = report.entries
    assert entry.leaf_index == 4
    assert entry.header.received_ns == int.from_bytes(builder.entries[4][8:16], "big")
    said = json.loads(json.dumps(report.as_json()))
    assert (said["proven"], said["pinned"], said["entries"][0]["seq"]) == (True, True, 4)
    assert "PROVEN: 1 entries are in the log" in report.render()


def test_proof_of_another_entry_is_not_proven(made: tuple[Path, LogBuilder]) -> None:
    folder, _ = made
    with pytest.raises(InclusionError):
        check(folder / "4.tlog-proof", key=TRUSTED.vkey, entry=folder / "5.entry")


def test_proof_without_any_key_is_refused(made: tuple[Path, LogBuilder]) -> None:
    folder, _ = made
    with pytest.raises(ConfigError, match="--key"):
        check(folder / "4.tlog-proof")


def test_pin_is_used_and_never_written(made: tuple[Path, LogBuilder], tmp_path: Path) -> None:
    folder, _ = made
    pins = tmp_path / "pins"

    def kind(*, required: bool) -> KeySource:
        return check_file(
            folder / "case.zip", key_option=None, pins_file=pins, is_pin_required=required
        ).trusted.source

    assert kind(required=False) is KeySource.CLAIM
    assert not pins.exists()
    with pytest.raises(ConfigError):
        kind(required=True)
    write_pin(pins, TRUSTED.verifier)
    assert kind(required=True) is KeySource.PIN


def test_bundle_without_a_pin_says_so(made: tuple[Path, LogBuilder]) -> None:
    folder, _ = made
    report = check(folder / "case.zip")
    assert report.as_json()["pinned"] is False
    assert f"key NOT pinned, compare this fingerprint: {TRUSTED.fingerprint}" in report.render()
    assert any("no evidence" in note for note in report.notes)


def test_bundle_of_another_key_than_the_trusted_is_refused(made: tuple[Path, LogBuilder]) -> None:
    folder, _ = made
    for name in ("case.zip", "4.tlog-proof"):
        with pytest.raises(SignatureError):
            check(folder / name, key=OTHER)


@pytest.mark.parametrize("data", [b"", b"PK", b"%PDF", b"c2sp.org/tlog-proof", b"PK\x03\x04 junk"])
def test_file_that_is_neither_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BundleError):
        check(tmp_path / "file")


def test_absent_file_and_absent_entry_are_named(
    made: tuple[Path, LogBuilder], tmp_path: Path
) -> None:
    folder, _ = made
    with pytest.raises(BundleError, match="none is gone"):
        check(tmp_path / "none")
    (tmp_path / "4.tlog-proof").write_bytes((folder / "4.tlog-proof").read_bytes())
    with pytest.raises(BundleError, match=r"4\.entry"):
        check(tmp_path / "4.tlog-proof", key=TRUSTED.vkey)
    (tmp_path / "4.entry").write_bytes(bytes(70_000))
    with pytest.raises(DigestError, match="over 65535 bytes"):
        check(tmp_path / "4.tlog-proof", key=TRUSTED.vkey)


def test_every_cut_of_a_proof_or_bundle_is_refused(
    made: tuple[Path, LogBuilder], tmp_path: Path
) -> None:
    folder, _ = made
    for name, step in (("4.tlog-proof", 1), ("case.zip", 97)):
        data = (folder / name).read_bytes()
        (tmp_path / "4.entry").write_bytes((folder / "4.entry").read_bytes())
        for length in range(0, len(data), step):
            (tmp_path / name).write_bytes(data[:length])
            with pytest.raises(MeshtrailError):
                check(tmp_path / name, key=TRUSTED.vkey)


def test_proof_with_more_behind_it_is_refused(
    made: tuple[Path, LogBuilder], tmp_path: Path
) -> None:
    folder, _ = made
    data = (folder / "4.tlog-proof").read_bytes()
    (tmp_path / "4.entry").write_bytes((folder / "4.entry").read_bytes())
    (tmp_path / "4.tlog-proof").write_bytes(data + bytes(2_100_000))
    with pytest.raises((ProofSyntaxError, DigestError)):
        check(tmp_path / "4.tlog-proof", key=TRUSTED.vkey)
