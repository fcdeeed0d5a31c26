"""What the start of a sealer refuses: what no crash explains, and what is not this log's."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import (
    ConsistencyError,
    DurabilityError,
    InclusionError,
    LayoutError,
    ManifestError,
    MissingFileError,
    RollbackError,
    SignatureError,
)
from meshtrail.log import commit
from meshtrail.merkle import HASH_BYTES
from meshtrail.note import UnverifiedCheckpoint, generate_signer, sign_checkpoint
from meshtrail.store.layout import LAYOUT_VERSION, read_format, segment_file, tiles_file
from meshtrail.store.manifest_files import manifest_numbers, manifest_path
from meshtrail.units import TreeSize
from tests.independent_audit import read_log
from tests.log_rig import ORIGIN, SIGNER, LogRig, make_sealed_rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    """Seven entries in two ticks, with a lock record, and frames for a third tick."""
    rig = make_sealed_rig(tmp_path)
    yield rig
    rig.close()


def refuse(rig: LogRig, kind: type[Exception], match: str | None = None) -> None:
    """The start is refused with this error, and has changed nothing."""
    before = rig.state()
    with pytest.raises(kind, match=match):
        rig.open_sealer()
    assert rig.state() == before


def head(size: int, root_hash: bytes = bytes(32)) -> bytes:
    checkpoint = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(size), root_hash=root_hash)
    return sign_checkpoint(checkpoint, SIGNER)


def keep(rig: LogRig, to: Path) -> None:
    """Set the directory aside, as a backup does."""
    shutil.copytree(rig.layout.root, to)


def bring_back(rig: LogRig, copy: Path) -> None:
    """Put a directory that was set aside in the place of the present one, journals excepted."""
    for folder in rig.layout.folders():
        if folder != rig.layout.journals:
            shutil.rmtree(folder)
            shutil.copytree(copy / folder.relative_to(rig.layout.root), folder)


@pytest.mark.parametrize("name", ["checkpoints", "lock record"])
@pytest.mark.parametrize("damage", ["flip", "append", "blank"])
def test_bytes_that_no_crash_leaves_behind_notes_are_not_cut_off(
    rig: LogRig, name: str, damage: str
) -> None:
    path = rig.day() if name == "checkpoints" else rig.lock_record
    assert path is not None
    data = path.read_bytes()
    if damage == "flip":
        # The blank line of the last note, which then is none any more.
        at = data.rindex(b"\n\n")
        data = data[:at] + b"x" + data[at + 1 :]
    elif damage == "append":
        data += b"something else\n"
    else:
        data = data[:-1] + b"\0" * 300
    path.write_bytes(data)
    refuse(rig, SignatureError)


@pytest.mark.parametrize("what", ["manifests", "manifests and checkpoints"])
def test_directory_that_lost_its_manifests_is_refused_and_its_segments_stay(
    rig: LogRig, what: str
) -> None:
    shutil.rmtree(rig.layout.manifests)
    rig.layout.manifests.mkdir()
    if what == "manifests":
        refuse(rig, RollbackError, "has no manifest")
    else:
        rig.day().unlink()
        rig.layout.published.unlink()
        rig.lock_record = None
        refuse(rig, MissingFileError, "every manifest is gone")


def test_files_of_later_commits_mean_that_manifests_were_taken_away(
    rig: LogRig, tmp_path: Path
) -> None:
    keep(rig, tmp_path / "old")
    stream = next(iter(rig.load.made))
    with rig.open_sealer() as sealing:
        sealing.tick()
        rig.append(rig.load.http(stream, 1))
        sealing.tick()
    for name in ("manifest", "checkpoints", "published"):
        shutil.rmtree(rig.layout.root / name)
        shutil.copytree(tmp_path / "old" / name, rig.layout.root / name)
    rig.lock_record = None
    refuse(rig, RollbackError, r"segments/000000000009-000000000010\.parquet is there")


def test_older_directory_is_refused_by_the_lock_record(rig: LogRig, tmp_path: Path) -> None:
    keep(rig, tmp_path / "old")
    assert rig.seal() == 9
    bring_back(rig, tmp_path / "old")
    refuse(rig, RollbackError, r"heads has a signed tree of size 9.*has 7: it is older")
    rig.lock_record = None
    # Without the record nothing says that there was more; the waiting frames are sealed again.
    assert rig.seal() == 9


@pytest.mark.parametrize("where", ["published", "checkpoints"])
def test_signed_tree_larger_than_the_manifest_is_a_rollback(rig: LogRig, where: str) -> None:
    if where == "published":
        rig.layout.published.write_bytes(head(8))
    else:
        with rig.day().open("ab") as file:
            file.write(head(8))
    refuse(rig, RollbackError, f"{where}.*has a signed tree of size 8, the log .* has 7")


@pytest.mark.parametrize("size", [0, 3, 7])
@pytest.mark.parametrize("where", ["published", "checkpoints", "lock record"])
def test_signed_tree_of_another_history_is_a_fork(rig: LogRig, where: str, size: int) -> None:
    if where == "published":
        rig.layout.published.write_bytes(head(size))
    else:
        path = rig.day() if where == "checkpoints" else rig.lock_record
        assert path is not None
        with path.open("ab") as file:
            file.write(head(size))
    refuse(rig, ConsistencyError, f"signed root 0000000000000000 at size {size}.*the log forked")


@pytest.mark.parametrize("where", ["published", "checkpoints", "lock record", "manifest"])
def test_key_of_another_log_is_refused(rig: LogRig, where: str) -> None:
    other = generate_signer(ORIGIN)
    if where == "manifest":
        rig.signer = other
    else:
        checkpoint = UnverifiedCheckpoint(
            origin=ORIGIN,
            tree_size=TreeSize(7),
            root_hash=read_log(rig.layout.root, SIGNER.verifier).roots[7],
        )
        paths = {"published": rig.layout.published, "checkpoints": rig.day()}
        path = paths.get(where, rig.lock_record)
        assert path is not None
        path.write_bytes(sign_checkpoint(checkpoint, other))
    refuse(rig, SignatureError)


def test_lock_record_of_another_log_is_refused(rig: LogRig) -> None:
    assert rig.lock_record is not None
    other = generate_signer("mesh/two/00000000")
    checkpoint = UnverifiedCheckpoint(origin=other.name, tree_size=TreeSize(0), root_hash=bytes(32))
    rig.lock_record.write_bytes(sign_checkpoint(checkpoint, other))
    refuse(rig, SignatureError)


def test_every_flipped_byte_of_the_newest_tiles_is_refused(rig: LogRig) -> None:
    path = rig.layout.root / tiles_file(4, 7).path
    good = path.read_bytes()
    for at in range(0, 3 * HASH_BYTES, 5):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        refuse(rig, InclusionError, "right edge of the stored tree of size 7")
    path.write_bytes(good)
    assert rig.seal() == 9


def test_tiles_that_are_gone_are_named(rig: LogRig) -> None:
    (rig.layout.root / tiles_file(0, 4).path).unlink()
    refuse(rig, MissingFileError, r"tiles/000000000000-000000000004\.tiles is gone")


def test_segment_that_is_gone_is_named(rig: LogRig) -> None:
    (rig.layout.root / segment_file(0, 4).path).unlink()
    with pytest.raises(MissingFileError, match=r"000000000000-000000000004\.parquet"):
        rig.open_sealer()


def test_every_flipped_byte_of_the_newest_manifest_is_refused(rig: LogRig) -> None:
    path = manifest_path(rig.layout, manifest_numbers(rig.layout)[-1])
    good = path.read_bytes()
    for at in range(0, len(good), 11):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        refuse(rig, SignatureError)


def test_manifest_that_is_gone_from_between_is_named(rig: LogRig) -> None:
    manifest_path(rig.layout, manifest_numbers(rig.layout)[-2]).unlink()
    refuse(rig, MissingFileError, "is gone")


def test_newest_manifest_that_is_gone_is_a_rollback(rig: LogRig) -> None:
    manifest_path(rig.layout, manifest_numbers(rig.layout)[-1]).unlink()
    refuse(rig, RollbackError, "signed tree of size 7, the log in this directory has 4")


def test_manifest_whose_files_do_not_cover_the_tree_is_refused(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Signed by the log itself: a bug of the writer must not be believed either.
    with rig.open_sealer() as sealing:
        monkeypatch.setattr(commit.Committer, "_publish", lambda _: None)
        sealing._committer._tree_size = TreeSize(8)
        sealing._committer.start()
    refuse(rig, ManifestError, "end at 7, the tree has 8 leaves")


def test_newer_layout_is_refused(rig: LogRig) -> None:
    rig.layout.format_file.write_text(f"layout = {LAYOUT_VERSION + 1}\n")
    with pytest.raises(LayoutError, match="use a newer meshtrail"):
        read_format(rig.layout)


def test_directory_that_cannot_be_written_is_a_durability_error(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_writing(path: Path, *_: object) -> int:
        raise OSError(30, os.strerror(30), str(path))

    # Tests may run as root, whom no mode keeps from writing.
    monkeypatch.setattr("meshtrail.log.data_lock.os.open", refuse_writing)
    with pytest.raises(DurabilityError, match="must be able to write there"):
        rig.open_sealer()
