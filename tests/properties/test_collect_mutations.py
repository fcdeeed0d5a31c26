"""A hundred thousand mutated messages from framing to journal: no crash, and nothing is lost."""

from __future__ import annotations

import random  # noqa: TID251 - seeded: a failure comes again
import resource
from typing import TYPE_CHECKING

from meshtrail.collect.als import AlsFramer
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.errors import InputError
from meshtrail.journal import Framing, JournalReader, JournalWriter
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_frame import inspect_frame, slice_frame
from meshtrail.units import UnixNanos
from tests.als_messages import als_message, http_record, identifier, length_delimited, tcp_record
from tests.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES_COUNT = 100_000
MESSAGES_IN_A_STREAM = 20
BATCH_MESSAGES = 2_000
MEMORY_KIB_MAX = 300 << 10
NOW = UnixNanos(1_700_000_000_000_000_000)

SEEDS = [
    als_message(claims=identifier(), http=[http_record(f"/api/{n}") for n in range(4)]),
    als_message(http=[http_record("/" + "p" * 200)]),
    als_message(tcp=[tcp_record(n) for n in range(3)]),
    als_message(http=[http_record()], tcp=[tcp_record()], claims=identifier("both")),
    als_message(http=[http_record()]) + length_delimited(9, b"unknown"),
    als_message(claims=identifier()),
]


def mutate(message: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat, drop or splice a few times."""
    data = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(1, 30))
        match chance.randint(0, 5):
            case 0 | 1 if at < len(data):
                data[at] = chance.randint(0, 255)
            case 2:
                del data[at:]
            case 3:
                data[at:at] = data[at:end]
            case 4:
                del data[at:end]
            case _:
                other = chance.choice(SEEDS)
                data[at:end] = other[chance.randint(0, len(other)) :][:40]
    return bytes(data)


def mutated_messages(chance: random.Random) -> Iterator[bytes]:
    for _ in range(MESSAGES_COUNT):
        yield mutate(chance.choice(SEEDS), chance)


def test_mutated_messages_are_all_journaled_and_numbered_without_holes(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - not a secret
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))
    door = StreamDoor(listener="l", collector=facts, blobs=KnownBlobs())
    framer = AlsFramer(door, Stream(), Peer(address="p"))
    pending = []
    with JournalWriter(tmp_path / "journal" / "collect", clock=FakeClock()) as writer:
        for number, message in enumerate(mutated_messages(chance)):
            if not number % MESSAGES_IN_A_STREAM:
                framer = AlsFramer(door, Stream(), Peer(address="p"))
            frames = framer.frame_message(message, received_ns=NOW)
            assert holds_all(message, [frame.data for frame in frames])
            pending += frames
            if not (number + 1) % BATCH_MESSAGES:
                writer.append(pending)
                pending = []
    entries_count, cut_count = count_entries(tmp_path / "journal" / "collect")
    # The mutations do reach both outcomes.
    assert entries_count > MESSAGES_COUNT
    assert cut_count > MESSAGES_COUNT // 20
    used_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert used_kib < MEMORY_KIB_MAX


def holds_all(message: bytes, kept: list[bytes]) -> bool:
    """Whether the journal holds every byte of the message that means anything."""
    if message in kept:
        return True
    shape = inspect_frame(message)
    return shape.is_plain and not shape.http_count and not shape.tcp_count


def count_entries(directory: Path) -> tuple[int, int]:
    """Count the entries and the frames kept whole, checking ``seq`` and counts on the way."""
    next_seqs: dict[int, int] = {}
    whole_count = 0
    for part in iter(JournalReader(directory).read, None):
        rows = part.rows
        for index, row in enumerate(
            rows[["framing", "stream", "first_seq", "records_count", "payload_format"]].tolist()
        ):
            framing, stream, first_seq, records_count, payload_format = row
            if framing == Framing.BLOB:
                continue
            assert next_seqs.get(stream, 0) == first_seq
            next_seqs[stream] = first_seq + records_count
            if framing == Framing.ALS:
                data = bytes(part.frame(index))
                assert len(slice_frame(data, PayloadFormat(payload_format))) == records_count
            elif payload_format == PayloadFormat.ALS_FRAME:
                whole_count += is_unsliceable(bytes(part.frame(index)))
    return sum(next_seqs.values()), whole_count


def is_unsliceable(message: bytes) -> bool:
    try:
        inspect_frame(message)
    except InputError:
        return True
    return False
