"""What is no attack, and attacks that nobody can see: both end in a clean audit.

The docstring of each attack is its line in docs/tamper-catalogue.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.tamper.attack import CATALOGUE, Power
from tests.faults.tamper.forgery import (
    change_byte,
    checkpoint_notes,
    day_file,
)
from tests.log_builder import EntryWriter, http_record

if TYPE_CHECKING:
    from tests.faults.tamper.scene import Scene


from tests.faults.tamper import history_attacks

tampered, explained = CATALOGUE.tampered, CATALOGUE.explained
refused, unnoticed = CATALOGUE.refused, CATALOGUE.unnoticed


CATALOGUE.group("What a crash explains")


@explained("manifest-ahead", "manifest/000000000006")
def crash_after_the_manifest(scene: Scene) -> None:
    """The manifest of a tick is written, its checkpoint is not signed yet."""
    _seal_without_signing(scene)


@explained("unpublished-checkpoint", "published/checkpoint")
def crash_before_publishing(scene: Scene) -> None:
    """A checkpoint is signed and not published yet."""
    _seal_without_signing(scene)
    with day_file(scene).open("ab") as file:
        file.write(scene.builder.checkpoint())


@explained("torn-checkpoint", "checkpoints/2023-11-14 at byte 908")
def crash_while_signing(scene: Scene) -> None:
    """The checkpoint that was being appended is torn."""
    _seal_without_signing(scene)
    with day_file(scene).open("ab") as file:
        file.write(scene.builder.checkpoint()[:-30])


@explained("unnamed-file", "segments/000000000016-000000000017.parquet")
def crash_before_the_manifest(scene: Scene) -> None:
    """Segment and tiles are written, and no manifest names them yet."""
    scene.builder.write_files(_more_entries(), blobs={})


@explained("temporary-file", "manifest/000000000006.tmp")
def crash_while_writing_a_manifest(scene: Scene) -> None:
    """A temporary file is left."""
    (scene.layout.manifests / "000000000006.tmp").write_bytes(b"meshtrail/mani")


@explained("torn-blob", f"blobs/{'a' * 64}")
def crash_while_writing_a_blob(scene: Scene) -> None:
    """A blob is torn, and no entry names it yet."""
    (scene.layout.blobs / ("a" * 64)).write_bytes(b"the beg")


@explained("unnamed-file", "segments/000000000000-000000000006.parquet")
def keep_superseded_files(scene: Scene) -> None:
    """Files that a merge replaced are still there; and what is in them does not count."""
    change_byte(scene.root / "segments/000000000000-000000000006.parquet", 100)


CATALOGUE.group("Outside the promise")


@unnoticed(power=Power.FILES)
def restore_an_old_directory_alone(scene: Scene) -> None:
    """The whole directory is put back to an old copy, and no checkpoint is kept elsewhere."""
    history_attacks.restore_an_old_directory(scene)


@unnoticed(power=Power.KEY)
def seal_a_second_history_alone(scene: Scene) -> None:
    """The key's holder seals another history; nobody else holds a checkpoint of the first."""
    history_attacks.seal_a_second_history(scene)


@unnoticed(power=Power.FILES)
def change_the_journal(scene: Scene) -> None:
    """The journal is changed before it is sealed."""
    folder = scene.layout.journals / "collect"
    folder.mkdir()
    (folder / "000000000001").write_bytes(b"whatever")


@unnoticed(power=Power.FILES)
def publish_the_checkpoint_before(scene: Scene) -> None:
    """published/checkpoint is the one before the last, as a crash leaves it too; it is listed."""
    scene.layout.published.write_bytes(checkpoint_notes(scene)[-2])


def _more_entries() -> list[bytes]:
    writer = EntryWriter(now_ns=1_700_000_001_000_000_000, next_seq={22: 7})
    return [writer.record(22, http_record(20))]


def _seal_without_signing(scene: Scene) -> None:
    builder = scene.builder
    builder.commit_manifest(builder.write_files(_more_entries(), blobs={}), ())
