from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.journal import FINGERPRINT_BYTES_MAX, FileIdentity, FilePosition, FileState
from meshtrail.journal.file_positions import FilePositions, decode_position, encode_position
from tests.file_positions import position

GOLDEN = (
    b'{"device":2049,"fingerprint":"'
    + hashlib.sha256(b"first\n").hexdigest().encode()
    + b'","fingerprint_bytes":6,"inode":7,"line_start":null,"offset":6,'
    b'"path":"/var/log/a.log","seen_ns":1700000000000000000,"state":"open",'
    b'"target":"/var/log/a.log"}'
)


def test_position_has_the_bytes_that_the_format_says() -> None:
    assert encode_position(position()) == GOLDEN
    assert encode_position(FileIdentity(2049, 7)) == b'{"device":2049,"inode":7}'


@pytest.mark.parametrize(
    "told",
    [
        position(),
        position(line_start=3, state=FileState.ENDED, device=2**64 - 1, fingerprint_bytes=1024),
        # What the system calls a file need not be UTF-8.
        position(path="/var/log/\udcff\u00e9\n.log"),
        FileIdentity(1, 2),
    ],
)
def test_position_reads_back_as_it_was(told: FilePosition | FileIdentity) -> None:
    assert decode_position(encode_position(told)) == told


@pytest.mark.parametrize(
    "changed",
    [
        {"offset": -1},
        {"offset": True},
        {"offset": 1.0},
        {"inode": 2**64},
        {"line_start": "3"},
        {"fingerprint": "00"},
        {"fingerprint": GOLDEN[30:94].decode().upper()},
        {"fingerprint_bytes": FINGERPRINT_BYTES_MAX + 1},
        {"state": "lost"},
        {"path": None},
        {"more": 1},
    ],
)
def test_position_in_any_other_form_is_refused(changed: dict[str, object]) -> None:
    plain = json.loads(GOLDEN) | changed
    data = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(InputError):
        decode_position(data)
    with pytest.raises(InputError):
        decode_position(GOLDEN + b"\n")


@given(st.binary(max_size=200))
def test_position_decoder_takes_any_bytes_and_raises_only_input_errors(data: bytes) -> None:
    for candidate in (data, b"[" * len(data), GOLDEN[: len(data)]):
        with pytest.raises(InputError):
            decode_position(candidate)


def test_the_last_position_of_each_file_counts_and_a_forgotten_one_is_gone() -> None:
    positions = FilePositions([position(9), position(8)])
    positions.apply(position(8, offset=100))
    positions.apply(position(7))
    positions.apply(position(9).identity)
    positions.apply(FileIdentity(5, 5))
    assert positions.snapshot() == (position(7), position(8, offset=100))
