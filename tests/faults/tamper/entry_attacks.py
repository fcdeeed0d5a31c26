"""Attacks on entries and events, with and without the log's key.

The docstring of each attack is its line in docs/tamper-catalogue.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from tests.faults.tamper.attack import CATALOGUE, FIRST, SECOND, SECOND_TILES, Power
from tests.faults.tamper.forgery import (
    change_byte,
    change_entry,
    change_rows,
    choose_rows,
    remanifest,
    reseal,
    retile,
    set_cell,
)
from tests.faults.tamper.scene import THIEF
from tests.log_builder import EntryWriter, http_record

if TYPE_CHECKING:
    from meshtrail.store.manifest import CommittedFile
    from tests.faults.tamper.scene import Scene


tampered, explained = CATALOGUE.tampered, CATALOGUE.explained
refused, unnoticed = CATALOGUE.refused, CATALOGUE.unnoticed


CATALOGUE.group("Entries, manifests recomputed")


@tampered("SignatureError", "manifest/000000000003", also=(("LeafError", "entry 4"),))
def change_an_entry(scene: Scene) -> None:
    """An entry is changed, and segment and manifests are made to fit; the signatures are old."""
    remanifest(scene, [change_rows(scene, 0, 11, change_entry(4))], signer=None)


@tampered("SignatureError", "manifest/000000000000", also=(("LeafError", "entry 4"),))
def change_an_entry_and_sign_with_another_key(scene: Scene) -> None:
    """An entry is changed, and all manifests are signed again with another key."""
    remanifest(scene, [change_rows(scene, 0, 11, change_entry(4))], signer=THIEF)


@tampered("SignatureError", "manifest/000000000003", also=(("StreamError", "entry 3"),))
def drop_an_entry(scene: Scene) -> None:
    """An entry is dropped, the rest moves up, and segment, tiles and manifests are made to fit."""
    rows = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 10]
    remanifest(scene, forge_rows(scene, rows), signer=None)


@tampered("SignatureError", "manifest/000000000003", also=(("StreamError", "entry 3"),))
def duplicate_an_entry(scene: Scene) -> None:
    """An entry stands there twice."""
    rows = [0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9]
    remanifest(scene, forge_rows(scene, rows), signer=None)


@tampered("SignatureError", "manifest/000000000003", also=(("ClockError", "entry 4"),))
def reorder_entries(scene: Scene) -> None:
    """Two entries change places."""
    rows = [0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10]
    remanifest(scene, forge_rows(scene, rows), signer=None)


@tampered("SignatureError", "manifest/000000000003", also=(("EventError", FIRST),))
def cut_entries(scene: Scene) -> None:
    """The last entries of a segment are cut off."""
    segment = change_rows(scene, 0, 11, choose_rows(range(9)))
    remanifest(scene, [segment], signer=None)


CATALOGUE.group("Entries, by the holder of the key")


@tampered("LeafError", "entry 4", power=Power.KEY)
def sign_a_changed_entry(scene: Scene) -> None:
    """An entry is changed and the manifests are signed again."""
    remanifest(scene, [change_rows(scene, 0, 11, change_entry(4))], signer=scene.signer)


@tampered("ConsistencyError", "checkpoint 6", power=Power.KEY)
def sign_a_changed_entry_and_leaf(scene: Scene) -> None:
    """An entry and its leaf are changed and the manifests are signed again; checkpoints stay."""
    segment = change_rows(scene, 0, 11, change_entry(4))
    remanifest(scene, [segment, retile(scene, 0, 11)], signer=scene.signer)


@tampered("InclusionError", "leaf 12", power=Power.KEY)
def sign_a_changed_leaf(scene: Scene) -> None:
    """A leaf hash in the tiles is changed and the manifests are signed again."""
    data = bytearray((scene.root / SECOND_TILES).read_bytes())
    data[40] ^= 1
    named = scene.builder.live.folder("tiles")[1].named
    file = scene.builder.write_tiles(named, bytes(data))
    remanifest(scene, [file], signer=scene.signer)


@tampered("StreamError", "entry 3", power=Power.KEY)
def seal_without_an_entry(scene: Scene) -> None:
    """A history without one record is sealed and signed from the start."""
    reseal(scene, [*scene.builder.entries[:3], *scene.builder.entries[4:]])


@tampered("StreamError", "entry 4", power=Power.KEY)
def seal_an_entry_twice(scene: Scene) -> None:
    """A history with one record twice is sealed and signed from the start."""
    reseal(scene, [*scene.builder.entries[:4], *scene.builder.entries[3:]])


@tampered("StreamError", "entry 0", power=Power.KEY)
def seal_without_an_opening(scene: Scene) -> None:
    """A history in which a stream is never opened is sealed and signed from the start."""
    reseal(scene, scene.builder.entries[1:])


@tampered("StreamError", "entry 13", power=Power.KEY)
def seal_after_a_closing(scene: Scene) -> None:
    """A record is added to a stream that was closed."""
    entries = scene.builder.entries
    writer = EntryWriter(now_ns=int.from_bytes(entries[12][8:16], "big"), next_seq={11: 9})
    late = writer.record(11, http_record(5))
    reseal(scene, [*entries[:13], late])


@tampered("ClockError", "entry 8", power=Power.KEY)
def seal_in_another_order(scene: Scene) -> None:
    """A history in which two records of two streams changed places is sealed and signed."""
    entries = list(scene.builder.entries)
    entries[7], entries[8] = entries[8], entries[7]
    reseal(scene, entries)


CATALOGUE.group("Events")


@tampered("DigestError", SECOND)
def change_an_event(scene: Scene) -> None:
    """A segment is written again with another path in one event."""
    change_rows(scene, 11, 13, set_cell("url_path", 0, "/harmless"))


@tampered("DigestError", FIRST)
def change_a_statistic(scene: Scene) -> None:
    """A statistic in a segment's footer is changed, so that searches skip rows."""
    path = scene.root / FIRST
    data = path.read_bytes()
    # The last time that it stands there is in the footer, as the column's largest value.
    change_byte(path, data.rindex(b"/orders/8") + 8)


@tampered("DigestError", FIRST)
def change_a_bloom_filter(scene: Scene) -> None:
    """A Bloom filter is emptied, so that lookups of an id find nothing."""
    path = scene.root / FIRST
    footer = pq.read_metadata(path).row_group(0)
    names = pq.read_schema(path).names
    column = footer.column(names.index("request_id"))
    data = bytearray(path.read_bytes())
    start, length = column.bloom_filter_offset, column.bloom_filter_length
    data[start + length - 32 : start + length] = bytes(32)
    data[start + length // 2 : start + length] = bytes(length - length // 2)
    path.write_bytes(data)


@tampered("EventError", "entry 8", power=Power.KEY, is_deep=True)
def sign_a_changed_event(scene: Scene) -> None:
    """Another path in one event is signed; found by --deep."""
    segment = change_rows(scene, 0, 11, set_cell("url_path", 8, "/harmless"))
    remanifest(scene, [segment], signer=scene.signer)


@tampered("EventError", "entry 12", power=Power.KEY, is_deep=True)
def sign_a_hidden_event(scene: Scene) -> None:
    """The kind of one event is changed and signed; found by --deep."""
    segment = change_rows(scene, 11, 13, set_cell("kind", 1, "gap"))
    remanifest(scene, [segment], signer=scene.signer)


def _sign_a_changed_column(scene: Scene, column: str, value: object) -> None:
    segment = change_rows(scene, 0, 11, set_cell(column, 7, value))
    remanifest(scene, [segment], signer=scene.signer)


@tampered("EventError", "entry 7", power=Power.KEY)
def sign_another_index(scene: Scene) -> None:
    """The log_index of an event is changed and signed; found without --deep."""
    _sign_a_changed_column(scene, "log_index", 12)


@tampered("EventError", "entry 7", power=Power.KEY)
def sign_another_time(scene: Scene) -> None:
    """The received_time of an event is changed and signed; found without --deep."""
    _sign_a_changed_column(scene, "received_time", 1)


@tampered("EventError", "entry 7", power=Power.KEY)
def sign_another_stream(scene: Scene) -> None:
    """The stream of an event is changed and signed; found without --deep."""
    _sign_a_changed_column(scene, "stream", 11)


@tampered("EventError", "entry 7", power=Power.KEY)
def sign_another_seq(scene: Scene) -> None:
    """The seq of an event is changed and signed; found without --deep."""
    _sign_a_changed_column(scene, "seq", 99)


@tampered("EventError", "entry 7", power=Power.KEY)
def sign_another_format(scene: Scene) -> None:
    """The payload_format of an event is changed and signed; found without --deep."""
    _sign_a_changed_column(scene, "payload_format", "als-tcp")


@tampered("EventError", "entry 7", power=Power.KEY)
def sign_another_log(scene: Scene) -> None:
    """The log that an event names is changed and signed; found without --deep."""
    _sign_a_changed_column(scene, "log", "test/two/00000000")


def forge_rows(scene: Scene, rows: list[int]) -> list[CommittedFile]:
    """Segment [0, 11) with other rows, and its tiles to match."""
    return [change_rows(scene, 0, 11, choose_rows(rows)), retile(scene, 0, 11)]
