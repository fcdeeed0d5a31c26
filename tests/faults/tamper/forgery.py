"""What a forger does to files that hang together: segments, tiles, manifests, checkpoints."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow as pa

from meshtrail.merkle import HASH_BYTES, hash_leaves
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.note import (
    UnverifiedCheckpoint,
    UnverifiedNote,
    format_note,
    parse_note,
    sign_checkpoint,
    sign_note,
)
from meshtrail.store.checkpoint_files import split_notes
from meshtrail.store.layout import segment_file, tiles_file
from meshtrail.store.manifest import (
    CommittedFile,
    Manifest,
    format_manifest,
    manifest_digest,
    parse_manifest,
)
from meshtrail.store.segment import read_segment
from meshtrail.units import TreeSize
from tests.log_builder import LogBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from meshtrail.note import SignerKey
    from tests.faults.tamper.scene import Scene


def change_byte(path: Path, position: int = 0, *, by: int = 1) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= by
    path.write_bytes(data)


def cut_end(path: Path, count: int) -> None:
    """Take bytes off the end of a file."""
    path.write_bytes(path.read_bytes()[:-count])


def swap_files(first: Path, second: Path) -> None:
    """Let two files change places."""
    first_data, second_data = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_data)
    second.write_bytes(first_data)


def checkpoint_notes(scene: Scene) -> list[bytes]:
    """Every signed checkpoint, in order."""
    return split_notes(day_file(scene).read_bytes()).notes


def day_file(scene: Scene) -> Path:
    """The one day of checkpoints that the small log has."""
    (path,) = scene.layout.checkpoints.iterdir()
    return path


def sign_head(signer: SignerKey, *, tree_size: int, root_hash: bytes) -> bytes:
    """A signed checkpoint of whatever tree."""
    return sign_checkpoint(
        UnverifiedCheckpoint(
            origin=signer.name, tree_size=TreeSize(tree_size), root_hash=root_hash
        ),
        signer,
    )


def change_rows(
    scene: Scene, start: int, end: int, change: Callable[[pa.Table], pa.Table]
) -> CommittedFile:
    """Write a segment again with other rows."""
    named = segment_file(start, end)
    table = read_segment(scene.root / named.path).cast(SEGMENT_SCHEMA)
    return scene.builder.write_segment(named, change(table))


def set_cell(column: str, row: int, value: object) -> Callable[[pa.Table], pa.Table]:
    """A change of one value of one row."""

    def change(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row] = value
        position = table.schema.get_field_index(column)
        field = table.schema.field(column)
        array = pa.array(values, field.type)
        if field.nullable or value is not None:
            return table.set_column(position, field, array)
        return table.set_column(position, field.with_nullable(nullable=True), array)

    return change


def choose_rows(rows: Sequence[int]) -> Callable[[pa.Table], pa.Table]:
    """A change to these rows, in this order, with their log_index put right again."""

    def change(table: pa.Table) -> pa.Table:
        chosen = table.take(pa.array(rows))
        start = table.column("log_index")[0].as_py()
        index = pa.array(range(start, start + len(rows)), pa.int64())
        position = table.schema.get_field_index("log_index")
        return chosen.set_column(position, table.schema.field("log_index"), index)

    return change


def change_entry(row: int) -> Callable[[pa.Table], pa.Table]:
    """A change of the last byte of an entry."""

    def change(table: pa.Table) -> pa.Table:
        entry = bytearray(table.column("entry")[row].as_py())
        entry[-1] ^= 1
        return set_cell("entry", row, bytes(entry))(table)

    return change


def retile(scene: Scene, start: int, end: int) -> CommittedFile:
    """Write the tiles of a segment as its entries now make them."""
    table = read_segment(scene.root / segment_file(start, end).path, columns=["entry"])
    data = hash_leaves(table.column("entry").to_pylist())[: (end - start) * HASH_BYTES]
    data += bytes((end - start) * HASH_BYTES - len(data))
    return scene.builder.write_tiles(tiles_file(start, end), data)


def remanifest(
    scene: Scene,
    files: Sequence[CommittedFile] = (),
    *,
    signer: SignerKey | None,
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
) -> None:
    """Make every manifest name the files as they are now, each following from the one before.

    Args:
        scene: the log to forge.
        files: the committed files that are others now.
        signer: who signs; None leaves the old signatures under the new text.
        change: what else is done to each manifest.
    """
    others = {file.named: file for file in files}
    previous: bytes | None = None
    for path in sorted(scene.layout.manifests.iterdir()):
        note = parse_note(path.read_bytes())
        old = parse_manifest(note.text)
        new = change(
            Manifest(
                origin=old.origin,
                number=old.number,
                previous=previous,
                time_ns=old.time_ns,
                tree_size=old.tree_size,
                root_hash=old.root_hash,
                reasons=old.reasons,
                is_snapshot=old.is_snapshot,
                journals=old.journals,
                dropped=old.dropped,
                files=tuple(others.get(file.named, file) for file in old.files),
            )
        )
        text = format_manifest(new)
        if signer is not None:
            data = sign_note(text, [signer])
        else:
            data = format_note(UnverifiedNote(text=text, signatures=note.signatures))
        path.write_bytes(data)
        previous = manifest_digest(data)


def reseal(scene: Scene, entries: Sequence[bytes], *, signer: SignerKey | None = None) -> None:
    """Put another history in the place of the log: all files made anew, all of them signed."""
    blobs = {bytes.fromhex(path.name): path.read_bytes() for path in scene.layout.blobs.iterdir()}
    shutil.rmtree(scene.root)
    builder = LogBuilder(scene.root, signer=signer or scene.signer)
    middle = len(entries) // 2
    builder.seal(entries[:middle], blobs=blobs)
    builder.seal(entries[middle:])


def live_files(scene: Scene, folder: str) -> list[Path]:
    """The live segments or tiles files, in order."""
    return [scene.root / file.named.path for file in scene.builder.live.folder(folder)]
