from __future__ import annotations

import hashlib
import struct
import zlib

import pytest

from meshtrail.journal.batch import (
    BATCH_HEADER_BYTES,
    decode_batch,
    decode_batches,
    encode_batch,
    find_batch,
)
from meshtrail.journal.frame import ROW_BYTES, blob_frame
from meshtrail.units import UnixNanos
from tests.journal_frames import record_frame

SEED = 0x1234


def encoded(*data: bytes, file_offset: int = 100, batch_number: int = 3) -> bytes:
    frames = [record_frame(item, first_seq=index) for index, item in enumerate(data)]
    return bytes(
        encode_batch(frames, batch_number=batch_number, file_offset=file_offset, seed=SEED)
    )


def test_batch_has_the_bytes_that_the_format_says() -> None:
    frame = record_frame(b"abc", first_seq=9, records_count=2)
    body = struct.pack(">IIQQ", 1, 3, 3, 100)
    body += struct.pack(">qqqIIBBHHH", frame.received_ns, 77, 9, 2, 3, 1, 1, 16, 0, 0) + b"abc"
    want = b"MTJB" + struct.pack(">I", zlib.crc32(body, SEED)) + body
    assert encode_batch([frame], batch_number=3, file_offset=100, seed=SEED) == want
    assert len(want) == BATCH_HEADER_BYTES + ROW_BYTES + 3 == 75


def test_crc_of_a_batch_is_that_of_zlib_at_any_length() -> None:
    # Vectors of the processor take another path for each rest; a large buffer lets go of the GIL.
    data = hashlib.shake_128(b"").digest(3_000_003)
    for data_bytes in (*range(600), 5_120, 5_121, 70_001, len(data)):
        batch = encoded(data[:data_bytes])
        assert int.from_bytes(batch[4:8]) == zlib.crc32(batch[8:], SEED)
        assert decode_batch(batch, 0, file_offset=100, seed=SEED) is not None


def test_batch_decodes_to_the_rows_and_bytes_it_was_made_of() -> None:
    frames = [record_frame(b"one", first_seq=5, records_count=7), record_frame(b"")]
    frames.append(blob_frame(b"blob", received_ns=UnixNanos(3)))
    buffer = b"junk" + encode_batch(frames, batch_number=0, file_offset=54, seed=SEED)
    batch = decode_batch(buffer, 4, file_offset=54, seed=SEED)
    assert batch is not None
    assert batch.rows["first_seq"].tolist() == [5, 1, 0]
    assert batch.rows["records_count"].tolist() == [7, 1, 0]
    assert batch.rows["frame_bytes"].tolist() == [3, 0, 4]
    assert batch.rows["framing"].tolist() == [1, 1, 2]
    assert batch.rows["stream"].tolist() == [77, 77, 0]
    assert buffer[batch.data_start : batch.end] == b"oneblob"
    assert batch.end == len(buffer)


def test_batch_is_refused_after_any_bit_of_it_flips() -> None:
    batch = encoded(b"some", b"frames")
    for bit in range(len(batch) * 8):
        flipped = bytearray(batch)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode_batch(bytes(flipped), 0, file_offset=100, seed=SEED) is None


def test_batch_is_refused_at_every_length_short_of_its_own() -> None:
    batch = encoded(b"some", b"frames")
    for length in range(len(batch)):
        assert decode_batch(batch[:length], 0, file_offset=100, seed=SEED) is None


@pytest.mark.parametrize(("file_offset", "seed"), [(101, SEED), (100, SEED + 1)])
def test_batch_is_refused_at_another_place_or_in_another_file(file_offset: int, seed: int) -> None:
    assert decode_batch(encoded(b"x"), 0, file_offset=file_offset, seed=seed) is None


def test_batch_whose_rows_do_not_add_up_to_its_data_is_refused() -> None:
    body = bytearray(encoded(b"abcd")[8:])
    body[24 + 28 : 24 + 32] = struct.pack(">I", 3)
    batch = b"MTJB" + struct.pack(">I", zlib.crc32(body, SEED)) + body
    assert decode_batch(batch, 0, file_offset=100, seed=SEED) is None


def test_batches_decode_one_after_the_other_up_to_the_first_bad_one() -> None:
    first = encoded(b"first")
    second = encoded(b"second", file_offset=100 + len(first))
    buffer = first + second + second
    found = list(decode_batches(buffer, file_offset=100, seed=SEED))
    assert [buffer[batch.data_start : batch.end] for batch in found] == [b"first", b"second"]


def test_find_batch_passes_over_magic_that_is_not_a_batch() -> None:
    fake = b"MTJB" + bytes(70)
    buffer = fake + encoded(b"x", file_offset=100 + len(fake))
    assert find_batch(buffer, 0, file_offset=100, seed=SEED) == len(fake)
    assert find_batch(buffer, len(fake) + 1, file_offset=100, seed=SEED) is None


def test_find_batch_is_not_taken_in_by_a_batch_that_a_sender_imitates() -> None:
    # The sender may guess the place, but not the header of the file, with which the CRC begins.
    place = 100 + BATCH_HEADER_BYTES + ROW_BYTES
    imitated = encode_batch([record_frame(b"x")], batch_number=1, file_offset=place, seed=0)
    torn = bytearray(encoded(bytes(imitated) + b"more"))
    torn[10] ^= 1
    assert find_batch(bytes(torn), 0, file_offset=100, seed=SEED) is None
    honest = bytes(BATCH_HEADER_BYTES + ROW_BYTES) + imitated
    assert find_batch(honest, 0, file_offset=100, seed=0) == BATCH_HEADER_BYTES + ROW_BYTES
