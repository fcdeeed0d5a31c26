"""Attacks on checkpoints: rollback, forged signatures, forks.

The docstring of each attack is its line in docs/tamper-catalogue.md.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from meshtrail.note import format_vkey, parse_note, sign_note
from meshtrail.store.layout import Format
from tests.faults.tamper.attack import CATALOGUE, Power
from tests.faults.tamper.forgery import (
    checkpoint_notes,
    cut_end,
    day_file,
    remanifest,
    reseal,
    sign_head,
)
from tests.faults.tamper.scene import THIEF

if TYPE_CHECKING:
    from tests.faults.tamper.scene import Scene


tampered, explained = CATALOGUE.tampered, CATALOGUE.explained
refused, unnoticed = CATALOGUE.refused, CATALOGUE.unnoticed


CATALOGUE.group("Checkpoints and rollback")


@tampered("RollbackError", "published/checkpoint")
def publish_an_old_checkpoint(scene: Scene) -> None:
    """published/checkpoint is an old one."""
    scene.layout.published.write_bytes(checkpoint_notes(scene)[1])


@tampered("MissingFileError", "published/checkpoint")
def remove_the_published_checkpoint(scene: Scene) -> None:
    """published/checkpoint is removed."""
    scene.layout.published.unlink()


@tampered("SignatureError", "published/checkpoint")
def change_the_published_size(scene: Scene) -> None:
    """The tree size in published/checkpoint is changed."""
    data = scene.layout.published.read_bytes()
    scene.layout.published.write_bytes(data.replace(b"\n16\n", b"\n13\n"))


@tampered("MissingFileError", "checkpoint 11")
def remove_a_checkpoint(scene: Scene) -> None:
    """One signed checkpoint is taken out of checkpoints/."""
    notes = checkpoint_notes(scene)
    del notes[2]
    day_file(scene).write_bytes(b"".join(notes))


@tampered("RollbackError", "checkpoint 16")
def cut_checkpoints(scene: Scene) -> None:
    """The last two checkpoints are cut off."""
    day_file(scene).write_bytes(b"".join(checkpoint_notes(scene)[:-2]))


@tampered("RollbackError", "checkpoint 16")
def tear_the_last_checkpoint(scene: Scene) -> None:
    """The last checkpoint is cut in the middle, although it was published."""
    cut_end(day_file(scene), 20)


@tampered("RollbackError", "checkpoint 16")
def remove_a_day_of_checkpoints(scene: Scene) -> None:
    """The file of a day in checkpoints/ is removed."""
    day_file(scene).unlink()


@tampered("RollbackError", "checkpoint 6")
def reorder_checkpoints(scene: Scene) -> None:
    """Two signed checkpoints change places."""
    notes = checkpoint_notes(scene)
    notes[1], notes[2] = notes[2], notes[1]
    day_file(scene).write_bytes(b"".join(notes))


@tampered("SignatureError", "checkpoints/2023-11-14 at byte 181")
def put_bytes_between_checkpoints(scene: Scene) -> None:
    """Bytes that are no checkpoint stand between two of them."""
    notes = checkpoint_notes(scene)
    day_file(scene).write_bytes(notes[0] + b"something else\n" + b"".join(notes[1:]))


@tampered("RollbackError", "checkpoint 16")
def restore_all_but_the_checkpoints(scene: Scene) -> None:
    """An old copy is restored; checkpoints/ and published/ stay as they were."""
    for folder in ("manifest", "segments", "tiles"):
        shutil.rmtree(scene.root / folder)
        shutil.copytree(scene.older / folder, scene.root / folder)


@tampered("RollbackError", "checkpoint 11", with_lock_record=True)
def restore_an_old_directory(scene: Scene) -> None:
    """The whole directory is put back to an old copy; the lock record is at hand."""
    shutil.rmtree(scene.root)
    shutil.copytree(scene.older, scene.root)


CATALOGUE.group("Forged signatures and forks")


@tampered("SignatureError", "published/checkpoint")
def sign_a_checkpoint_with_another_key(scene: Scene) -> None:
    """published/checkpoint is signed by another key under the log's name."""
    note = sign_note(parse_note(scene.layout.published.read_bytes()).text, [THIEF])
    scene.layout.published.write_bytes(note)


@tampered("SignatureError", "published/checkpoint")
def move_a_signature(scene: Scene) -> None:
    """A good signature stands under another checkpoint than it was made for."""
    text = parse_note(scene.layout.published.read_bytes()).text
    line = checkpoint_notes(scene)[1].split(b"\n\n")[1]
    scene.layout.published.write_bytes(text.encode() + b"\n" + line)


@tampered("SignatureError", "manifest/000000000000")
def sign_all_manifests_with_another_key(scene: Scene) -> None:
    """Every manifest is signed again by another key."""
    remanifest(scene, signer=THIEF)


@tampered("SignatureError", "format.toml")
def put_another_log_in_its_place(scene: Scene) -> None:
    """Everything is made anew with another key, which format.toml then names."""
    entries = [*scene.builder.entries[:3], *scene.builder.entries[4:]]
    reseal(scene, entries, signer=THIEF)


@tampered("SignatureError", "format.toml")
def claim_another_key(scene: Scene) -> None:
    """format.toml names another key."""
    claim = Format(origin=THIEF.name, key=format_vkey(THIEF.verifier))
    scene.layout.format_file.write_text(claim.format())


@tampered("ConsistencyError", "checkpoint 16", power=Power.KEY)
def sign_a_second_root(scene: Scene) -> None:
    """Two checkpoints of one size with different roots are signed."""
    fork = sign_head(scene.signer, tree_size=16, root_hash=bytes(32))
    day_file(scene).write_bytes(day_file(scene).read_bytes() + fork)


@tampered("ConsistencyError", "checkpoint 16", power=Power.KEY)
def publish_a_fork(scene: Scene) -> None:
    """Another root than the entries have is signed and published."""
    fork = sign_head(scene.signer, tree_size=16, root_hash=bytes(32))
    scene.layout.published.write_bytes(fork)


@tampered("ConsistencyError", "checkpoint 16", power=Power.KEY, with_lock_record=True)
def seal_a_second_history(scene: Scene) -> None:
    """One record is changed and everything sealed again; the lock record is at hand."""
    entries = list(scene.builder.entries)
    entries[8] = entries[8][:-1] + bytes([entries[8][-1] ^ 1])
    reseal(scene, entries)


@tampered("RollbackError", "checkpoint 16", power=Power.KEY, with_lock_record=True)
def seal_a_shorter_history(scene: Scene) -> None:
    """The last entries are left out and everything sealed again; the lock record is at hand."""
    reseal(scene, scene.builder.entries[:-3])
