from __future__ import annotations

import json

import pyarrow as pa
import pytest

from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat, prefix_payload
from meshtrail.sources.derive import read_headers
from meshtrail.verify.blob_references import BlobReference, find_references
from tests.als_records import entry

IDENTIFIER, CONFIGURATION = bytes(range(32)), bytes(range(32, 64))


def opening(**facts: object) -> bytes:
    payload = json.dumps(facts).encode()
    return entry(payload, PayloadFormat.MESHTRAIL_JSON, entry_type=EntryType.STREAM_OPENED, seq=0)


def references(*entries: bytes) -> list[BlobReference]:
    column = pa.array(entries, pa.binary())
    return find_references(column, read_headers(column), start=40)


def test_opening_names_the_identifier_with_its_length_and_the_configuration() -> None:
    named = opening(
        identifier_sha256=IDENTIFIER.hex(),
        identifier_bytes=61_243,
        config_sha256=CONFIGURATION.hex(),
    )
    assert references(entry(b""), named) == [
        BlobReference(41, IDENTIFIER, 61_243),
        BlobReference(41, CONFIGURATION, None),
    ]


@pytest.mark.parametrize("strange", [None, 7, "xyz", "ab" * 31, ["ab" * 32]])
def test_what_spells_no_digest_names_nothing(strange: object) -> None:
    assert references(opening(identifier_sha256=strange, config_sha256=strange)) == []


def test_opening_that_is_no_json_object_names_nothing() -> None:
    strange = entry(b"[]", PayloadFormat.MESHTRAIL_JSON, entry_type=EntryType.STREAM_OPENED)
    broken = entry(b"{", PayloadFormat.MESHTRAIL_JSON, entry_type=EntryType.STREAM_OPENED)
    assert references(strange, broken) == []


def test_entry_with_a_prefix_names_the_whole_with_its_length() -> None:
    (reference,) = references(entry(prefix_payload(bytes(70_000)), flags=EntryFlags.PREFIX))
    assert (reference.leaf_index, reference.bytes_count) == (40, 70_000)
