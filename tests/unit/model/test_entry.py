from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import EntryFormatError
from meshtrail.model.entry import (
    ENTRY_BYTES_MAX,
    HEADER_BYTES,
    HEADER_DTYPE,
    PAYLOAD_BYTES_MAX,
    PREFIX_HEAD_BYTES,
    EntryFlags,
    EntryHeader,
    EntryType,
    PayloadFormat,
    decode_header,
    decode_prefix,
    headers_array,
    prefix_payload,
)
from meshtrail.units import UnixNanos

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "entry_v1.json").read_text(encoding="utf-8")
)
INT64 = st.integers(-(2**63), 2**63 - 1)
HEADERS = st.builds(
    EntryHeader,
    entry_type=st.sampled_from(EntryType),
    payload_format=st.sampled_from(PayloadFormat),
    flags=st.integers(0, 7).map(EntryFlags),
    received_ns=INT64.map(UnixNanos),
    stream=st.integers(1, 2**63 - 1),
    seq=st.integers(0, 2**63 - 1),
)
GOOD = bytes.fromhex(VECTORS["entries"][1]["entry"])


def header_of(vector: dict[str, Any]) -> EntryHeader:
    return EntryHeader(
        entry_type=EntryType(vector["entry_type"]),
        payload_format=PayloadFormat(vector["payload_format"]),
        flags=EntryFlags(vector["flags"]),
        received_ns=UnixNanos(vector["received_ns"]),
        stream=vector["stream"],
        seq=vector["seq"],
    )


@pytest.mark.parametrize("vector", VECTORS["entries"], ids=lambda vector: vector["name"])
def test_header_is_exactly_the_golden_bytes(vector: dict[str, Any]) -> None:
    entry = bytes.fromhex(vector["entry"])
    assert header_of(vector).encode() + bytes.fromhex(vector["payload"]) == entry
    assert decode_header(entry) == header_of(vector)


@pytest.mark.parametrize("vector", VECTORS["entries"], ids=lambda vector: vector["name"])
def test_numpy_record_reads_the_golden_bytes_as_the_same_fields(vector: dict[str, Any]) -> None:
    (row,) = np.frombuffer(bytes.fromhex(vector["entry"]), HEADER_DTYPE, 1)
    assert row["version"] == 1
    assert row["reserved"] == 0
    for name in ("entry_type", "payload_format", "flags", "received_ns", "stream", "seq"):
        assert row[name] == vector[name], name


@given(header=HEADERS)
def test_header_reads_back_as_it_was_written(header: EntryHeader) -> None:
    assert decode_header(header.encode()) == header


@given(data=st.binary(max_size=80))
def test_decode_takes_only_what_encode_writes_and_refuses_the_rest(data: bytes) -> None:
    try:
        header = decode_header(data)
    except EntryFormatError:
        return
    assert header.encode() == data[:HEADER_BYTES]


@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [
        (0, 0, "version 0"),
        (0, 2, "a version of the future"),
        (1, 0, "entry type 0"),
        (1, 7, "an entry type that is only kept"),
        (2, 1, "a payload format over 255"),
        (3, 0, "payload format 0"),
        (3, 47, "an unknown payload format"),
        (4, 1, "a flag in the upper byte"),
        (5, 16, "an unknown flag"),
        (6, 1, "reserved, upper byte"),
        (7, 1, "reserved, lower byte"),
        (16, 0x80, "a negative stream"),
        (24, 0x80, "a negative seq"),
    ],
)
def test_decode_refuses_each_bad_field(offset: int, value: int, why: str) -> None:
    bad = bytearray(GOOD)
    bad[offset] = value
    with pytest.raises(EntryFormatError):
        decode_header(bytes(bad))
    assert why


def test_decode_refuses_stream_zero() -> None:
    with pytest.raises(EntryFormatError):
        decode_header(GOOD[:16] + bytes(8) + GOOD[24:])


@pytest.mark.parametrize("length", [0, 1, HEADER_BYTES - 1, ENTRY_BYTES_MAX + 1])
def test_decode_refuses_an_entry_of_a_length_that_no_entry_has(length: int) -> None:
    with pytest.raises(EntryFormatError) as caught:
        decode_header((GOOD + bytes(ENTRY_BYTES_MAX))[:length])
    assert caught.value.entry_bytes == length


@pytest.mark.parametrize("length", [HEADER_BYTES, ENTRY_BYTES_MAX])
def test_decode_takes_the_shortest_and_the_longest_entry(length: int) -> None:
    assert decode_header((GOOD + bytes(ENTRY_BYTES_MAX))[:length]).stream == 2**63 - 1


def test_headers_array_is_version_one_and_otherwise_zero() -> None:
    assert headers_array(3).tobytes() == (b"\x01" + bytes(HEADER_BYTES - 1)) * 3
    assert len(headers_array(0)) == 0


def test_prefix_payload_begins_with_the_golden_head() -> None:
    whole = bytes(PAYLOAD_BYTES_MAX + 1)
    payload = prefix_payload(whole)
    golden = VECTORS["prefix_of_65504_zero_bytes"]
    assert payload[:PREFIX_HEAD_BYTES].hex() == golden["head"]
    assert len(payload) == golden["payload_bytes"] == PAYLOAD_BYTES_MAX


@given(length=st.integers(PAYLOAD_BYTES_MAX + 1, 3 * PAYLOAD_BYTES_MAX))
def test_prefix_payload_reads_back_as_digest_length_and_beginning(length: int) -> None:
    whole = (b"%d" % length * length)[:length]
    prefix = decode_prefix(prefix_payload(whole))
    assert prefix.sha256 == hashlib.sha256(whole).digest()
    assert prefix.whole_bytes == length
    assert prefix.beginning == whole[: PAYLOAD_BYTES_MAX - PREFIX_HEAD_BYTES]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(PREFIX_HEAD_BYTES - 1),
        bytes(PREFIX_HEAD_BYTES),
        bytes(32) + (3).to_bytes(8, "big") + b"abc",
        bytes(32) + (2).to_bytes(8, "big") + b"abc",
    ],
    ids=["nothing", "short head", "a whole of no bytes", "the whole itself", "more than the whole"],
)
def test_decode_prefix_refuses_what_is_no_beginning_of_something_longer(payload: bytes) -> None:
    with pytest.raises(EntryFormatError):
        decode_prefix(payload)
