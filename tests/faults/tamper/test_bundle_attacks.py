"""Each attack on a bundle is refused by both checkers, which share no code."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import MeshtrailError
from meshtrail.verify import KeySource, TrustedKey, check_file, standalone_check, write_bundle
from tests.faults.tamper.bundle_attacks import (
    BUNDLE_ATTACKS,
    CHOSEN,
    MALFORMED,
    NOT_PROVEN,
    PROVEN,
    BundleAttack,
    Files,
    pack_members,
)
from tests.log_builder import build_small_log, make_signer

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.verify import CheckReport

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("bundle")
    build_small_log(folder / "log")
    path = folder / "case.zip"
    write_bundle(folder / "log", CHOSEN, trusted=TRUSTED, path=path)
    return path.read_bytes()


@pytest.fixture
def files(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def check_ours(path: Path, key: str | None = None) -> CheckReport:
    return check_file(path, key_option=key, pins_file=path.parent / "pins")


def check_alone(path: Path, key: str | None = None) -> int:
    """The exit status of the checker that lies in the bundle."""
    options = ["--key", key] if key else []
    with contextlib.redirect_stdout(io.StringIO()):
        return standalone_check.main([str(path), *options])


def test_untouched_bundle_is_proven_by_both_checkers(bundle: bytes, tmp_path: Path) -> None:
    path = tmp_path / "case.zip"
    path.write_bytes(bundle)
    report = check_ours(path)
    assert [entry.leaf_index for entry in report.entries] == list(CHOSEN)
    assert len(report.notes) == 1
    assert check_alone(path) == PROVEN


@pytest.mark.parametrize("attack", BUNDLE_ATTACKS, ids=lambda attack: attack.name)
def test_attack_on_a_bundle_is_refused_by_both_checkers(
    attack: BundleAttack, files: Files, tmp_path: Path
) -> None:
    path = tmp_path / "case.zip"
    path.write_bytes(pack_members(attack.run(files)))
    key = TRUSTED.vkey if attack.pinned else None
    assert check_alone(path, key) == attack.status
    if attack.check:
        with pytest.raises(MeshtrailError) as caught:
            check_ours(path, key)
        assert type(caught.value).__name__ == attack.check
    else:
        assert check_ours(path, key).entries


@pytest.mark.parametrize("name", ["README.txt", "check.py"])
def test_file_that_is_not_ours_is_noted(name: str, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "case.zip"
    path.write_bytes(pack_members(list((files | {name: b"something else"}).items())))
    assert any(name in note for note in check_ours(path).notes)


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint",
        "log.vkey",
        *(f"entries/{index}.entry" for index in CHOSEN),
        *(f"proofs/{index}.tlog-proof" for index in CHOSEN),
    ],
)
def test_every_byte_flip_of_the_evidence_is_refused(
    name: str, files: Files, tmp_path: Path
) -> None:
    path = tmp_path / "case.zip"
    for position in range(len(files[name])):
        data = bytearray(files[name])
        data[position] ^= 1
        path.write_bytes(pack_members(list((files | {name: bytes(data)}).items())))
        with pytest.raises(MeshtrailError):
            check_ours(path)


def test_every_byte_flip_of_the_zip_is_refused_or_changes_no_file(
    bundle: bytes, files: Files, tmp_path: Path
) -> None:
    # A zip has bytes that mean nothing, such as its times: changed, it is the same bundle.
    path = tmp_path / "case.zip"
    ignored = 0
    # The two long texts are known by their CRC in the zip: of their bytes, every 31st.
    texts = [(bundle.index(files[name]), len(files[name])) for name in ("README.txt", "check.py")]
    for position in range(len(bundle)):
        if position % 31 and any(at <= position < at + length for at, length in texts):
            continue
        data = bytearray(bundle)
        data[position] ^= 1
        path.write_bytes(data)
        try:
            check_ours(path)
        except MeshtrailError:
            # The second checker repeats the signature in pure Python, so it sees every 11th.
            assert position % 11 or check_alone(path) in (NOT_PROVEN, MALFORMED)
            continue
        ignored += 1
        with zipfile.ZipFile(path) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == files
    assert ignored < len(bundle) // 20
