"""Entry bundles: one spelling, whole, and held against the tree."""

from __future__ import annotations

import pytest

from meshtrail.errors import LeafError, ProofSyntaxError
from meshtrail.merkle.bundle import check_bundle, decode_bundle, encode_bundle
from meshtrail.merkle.hashing import hash_leaves
from meshtrail.units import LeafIndex
from tests.stored_rows import leaf_data

ENTRIES = [b"first", b"", b"\x00\x01", bytes(65_535)]


def test_bundle_is_each_entry_behind_its_length() -> None:
    assert encode_bundle([b"ab", b"", b"c"]) == b"\x00\x02ab\x00\x00\x00\x01c"
    assert encode_bundle([memoryview(b"xaby")[1:3]]) == b"\x00\x02ab"


def test_bundle_reads_back() -> None:
    assert decode_bundle(encode_bundle(ENTRIES), width=4) == ENTRIES
    full = leaf_data(256)
    assert decode_bundle(encode_bundle(full), width=256) == full


def test_every_cut_of_a_bundle_is_refused() -> None:
    data = encode_bundle([b"first", b"", b"second", b"third"])
    for end in range(len(data)):
        with pytest.raises(ProofSyntaxError, match="ends within entry"):
            decode_bundle(data[:end], width=4)


@pytest.mark.parametrize("tail", [b"\x00", b"\x00\x00", b"\x00\x01a"])
def test_bytes_after_the_last_entry_are_refused(tail: bytes) -> None:
    with pytest.raises(ProofSyntaxError, match="ends at byte 4, got"):
        decode_bundle(b"\x00\x02ab" + tail, width=1)


@pytest.mark.parametrize("width", [-1, 0, 257])
def test_a_width_out_of_range_is_refused(width: int) -> None:
    with pytest.raises(ProofSyntaxError, match="outside 1 to 256"):
        decode_bundle(b"", width=width)


@pytest.mark.parametrize("entries_count", [0, 257])
def test_a_bundle_of_too_few_or_many_entries_is_refused(entries_count: int) -> None:
    with pytest.raises(ProofSyntaxError, match=f"got {entries_count}"):
        encode_bundle([b""] * entries_count)


def test_an_entry_that_is_too_long_is_refused_by_its_place() -> None:
    with pytest.raises(ProofSyntaxError, match="entry 1 of a bundle has 65536 bytes") as caught:
        encode_bundle([b"fits", bytes(65_536)])
    assert caught.value.entry_bytes == 65_536


def test_entries_that_hash_to_their_leaves_are_accepted() -> None:
    check_bundle(ENTRIES, leaf_hashes=hash_leaves(ENTRIES), start_index=LeafIndex(512))


@pytest.mark.parametrize("place", range(4))
def test_a_changed_entry_is_refused_by_its_leaf_index(place: int) -> None:
    changed = [*ENTRIES[:place], b"forged", *ENTRIES[place + 1 :]]
    with pytest.raises(LeafError, match=f"entry {512 + place} hashes to") as caught:
        check_bundle(changed, leaf_hashes=hash_leaves(ENTRIES), start_index=LeafIndex(512))
    assert caught.value.leaf_index == 512 + place
    assert caught.value.got == hash_leaves([b"forged"])
    assert caught.value.want == hash_leaves(ENTRIES[place : place + 1])


def test_entries_out_of_order_are_refused() -> None:
    swapped = [ENTRIES[1], ENTRIES[0], *ENTRIES[2:]]
    with pytest.raises(LeafError, match="entry 0 hashes to"):
        check_bundle(swapped, leaf_hashes=hash_leaves(ENTRIES), start_index=LeafIndex(0))


def test_entries_missing_or_added_are_refused() -> None:
    for entries in (ENTRIES[:3], [*ENTRIES, b""]):
        with pytest.raises(LeafError, match="stand beside 128 bytes of leaf hashes"):
            check_bundle(entries, leaf_hashes=hash_leaves(ENTRIES), start_index=LeafIndex(0))
