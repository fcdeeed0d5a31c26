from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import replace

import pytest

from meshtrail.errors import InputError
from meshtrail.journal.header import FileHeader, OpenStream, PreviousFile, decode_header
from meshtrail.units import UnixNanos
from tests.file_positions import position

FIRST = FileHeader(
    writer="collect",
    file_number=1_700_000_000,
    created_ns=UnixNanos(1_700_000_000_123_456_789),
    previous=None,
    open_streams={},
)
LATER = FileHeader(
    writer="collect",
    file_number=8,
    created_ns=UnixNanos(5),
    previous=PreviousFile(file_number=7, file_bytes=4_096),
    open_streams={
        9: OpenStream(next_seq=3, frames_count=1, records_count=2),
        4: OpenStream(next_seq=1, frames_count=0, records_count=0),
    },
)
WITH_EXPORTS = replace(LATER, recent_exports=bytes(range(32)))
WITH_POSITIONS = replace(WITH_EXPORTS, positions=(position(7), position(9, line_start=3)))


def with_json(text: bytes) -> bytes:
    return b"MTJOURN1" + struct.pack(">II", len(text), zlib.crc32(text)) + text


def test_header_has_the_bytes_that_the_format_says() -> None:
    assert LATER.encode() == with_json(
        b'{"created_ns":5,"file":8,"open_streams":[[4,1,0,0],[9,3,1,2]],'
        b'"previous":{"bytes":4096,"file":7},"writer":"collect"}'
    )


def test_header_with_exports_has_their_digests_behind_its_json() -> None:
    text = LATER.encode()[16:]
    digests = bytes(range(32))
    assert WITH_EXPORTS.encode() == (
        b"MTJOURN2" + struct.pack(">III", len(text), zlib.crc32(text + digests), 2) + text + digests
    )


def test_header_with_positions_of_files_has_them_in_its_json() -> None:
    digest = hashlib.sha256(b"first\n").hexdigest()
    wanted = (
        b'{"created_ns":5,"file":8,"open_streams":[[4,1,0,0],[9,3,1,2]],"positions":[{"device":2049,'
        b'"fingerprint":"%b","fingerprint_bytes":6,"inode":7,"line_start":null,'
        b'"offset":6,"path":"/var/log/a.log","seen_ns":1700000000000000000,'
        b'"state":"open","target":"/var/log/a.log"}],"previous":{"bytes":4096,"file":7},"writer":"collect"}'
    )
    header = replace(LATER, positions=(position(7),))
    assert header.encode() == with_json(wanted % digest.encode())


@pytest.mark.parametrize(
    "positions",
    [
        [],
        [{"device": 1, "inode": 2}],
        [position(9).as_json(), position(7).as_json()],
        [position().as_json() | {"more": 1}],
        [position().as_json() | {"offset": -1}],
        {},
        7,
    ],
)
def test_header_with_positions_in_another_form_is_refused(positions: object) -> None:
    fields = json.loads(LATER.encode()[16:]) | {"positions": positions}
    with pytest.raises(InputError):
        decode_header(with_json(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()))


def test_header_that_says_that_it_has_no_exports_behind_it_is_refused() -> None:
    # One header, one spelling: without digests it is that of the first version.
    text = LATER.encode()[16:]
    with pytest.raises(InputError, match="canonical"):
        decode_header(b"MTJOURN2" + struct.pack(">III", len(text), zlib.crc32(text), 0) + text)


@pytest.mark.parametrize("header", [FIRST, LATER, WITH_EXPORTS, WITH_POSITIONS])
def test_header_reads_back_with_its_length_and_seed(header: FileHeader) -> None:
    encoded = header.encode()
    read = decode_header(encoded + b"MTJB and what follows")
    assert read.header == header
    assert read.header_bytes == len(encoded)
    assert read.seed == zlib.crc32(encoded)


@pytest.mark.parametrize("header", [LATER, WITH_EXPORTS, WITH_POSITIONS])
def test_header_is_refused_when_any_byte_of_it_flips_or_is_missing(header: FileHeader) -> None:
    encoded = header.encode()
    for index in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[index] ^= 0x21
        with pytest.raises(InputError):
            decode_header(bytes(flipped))
        with pytest.raises(InputError):
            decode_header(encoded[:index])


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{",
        b"{}",
        json.dumps({"created_ns": 1, "file": 2}).encode(),
        LATER.encode()[16:].replace(b'"file":8', b'"file": 8'),
        LATER.encode()[16:].replace(b"[4,1,0,0]", b"[4,1,0]"),
        LATER.encode()[16:].replace(b'"previous":{', b'"previous":{"more":1,'),
        FIRST.encode()[16:].replace(b"null", b"{}"),
    ],
)
def test_header_with_a_good_crc_and_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(InputError):
        decode_header(with_json(text))
