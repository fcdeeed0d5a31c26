"""The rebuilt tree meets every signed root, and tells a changed entry from a changed tile."""

from __future__ import annotations

import pytest

from meshtrail.merkle import HASH_BYTES, Frontier, hash_leaves
from meshtrail.store.tiles import encode_tiles
from meshtrail.verify.findings import Findings, Severity
from meshtrail.verify.heads import SignedHeads
from meshtrail.verify.tree import TreeFold, upper_hashes_findings
from tests.stored_rows import leaf_data

COUNT = 700
LEAVES = hash_leaves(leaf_data(COUNT))
FORGED = hash_leaves([b"forged"])


def root(size: int) -> bytes:
    tree = Frontier()
    tree.extend(LEAVES[: size * HASH_BYTES])
    return tree.root()


def heads(*sizes: int, **forged: bytes) -> SignedHeads:
    signed = SignedHeads()
    for size in sizes:
        signed.add(size, forged.get(f"at_{size}", root(size)), "checkpoints/day")
    return signed


def put(row: bytes, index: int, leaf: bytes = FORGED) -> bytes:
    return row[: index * HASH_BYTES] + leaf + row[(index + 1) * HASH_BYTES :]


def fold(
    signed: SignedHeads, *, hashed: bytes | None, stored: bytes | None, step: int = 97
) -> list[tuple[str, str]]:
    findings = Findings()
    tree = TreeFold(signed, findings)
    for start in range(0, COUNT, step):
        end = min(start + step, COUNT)
        part = slice(start * HASH_BYTES, end * HASH_BYTES)
        tree.extend(
            end - start,
            hashed=hashed[part] if hashed is not None else None,
            stored=stored[part] if stored is not None else None,
        )
    tree.finish()
    return [(one.check, one.subject) for one in findings.of(Severity.TAMPERED)]


@pytest.mark.parametrize("step", [1, 97, 256, COUNT])
def test_every_signed_root_of_an_honest_log_is_met(step: int) -> None:
    signed = heads(*range(0, COUNT + 1, 13), COUNT)
    assert not fold(signed, hashed=LEAVES, stored=LEAVES, step=step)


def test_fold_counts_the_heads_it_met() -> None:
    findings = Findings()
    tree = TreeFold(heads(0, 1, 255, 256, 257, COUNT), findings)
    tree.extend(COUNT, hashed=LEAVES, stored=LEAVES)
    assert (tree.heads_checked, tree.is_complete, tree.tree_size) == (6, True, COUNT)


def test_changed_entry_is_named_where_tiles_lead_to_the_root() -> None:
    found = fold(heads(300, COUNT), hashed=put(LEAVES, 42), stored=LEAVES)
    assert found == [("LeafError", "entry 42")]


def test_changed_tile_is_named_where_entries_lead_to_the_root() -> None:
    found = fold(heads(300, COUNT), hashed=LEAVES, stored=put(LEAVES, 42))
    assert found == [("InclusionError", "leaf 42")]


def test_changed_entry_and_changed_tile_are_told_apart() -> None:
    found = fold(heads(300, COUNT), hashed=put(LEAVES, 42), stored=put(LEAVES, 402))
    assert found == [("LeafError", "entry 42"), ("InclusionError", "leaf 402")]


def test_changed_entry_with_its_tile_leads_to_another_root_each_time() -> None:
    forged = put(LEAVES, 300)
    found = fold(heads(300, 301, COUNT), hashed=forged, stored=forged)
    assert found == [
        ("ConsistencyError", "checkpoint 301"),
        ("ConsistencyError", f"checkpoint {COUNT}"),
    ]


def test_entry_and_tile_that_are_both_changed_are_both_blamed() -> None:
    found = fold(
        heads(COUNT), hashed=put(LEAVES, 42), stored=put(LEAVES, 42, hash_leaves([b"other"]))
    )
    assert found == [("LeafError", "entry 42"), ("ConsistencyError", f"checkpoint {COUNT}")]


def test_signed_root_of_another_history_is_named_alone() -> None:
    found = fold(heads(100, 200, COUNT, at_200=bytes(32)), hashed=LEAVES, stored=LEAVES)
    assert found == [("ConsistencyError", "checkpoint 200")]


def test_changed_entry_behind_the_last_head_is_still_named() -> None:
    found = fold(heads(300), hashed=put(LEAVES, 402), stored=LEAVES)
    assert found == [("LeafError", "entry 402")]


@pytest.mark.parametrize(("hashed", "stored"), [(None, LEAVES), (LEAVES, None)])
def test_one_of_entries_and_tiles_is_enough(hashed: bytes | None, stored: bytes | None) -> None:
    assert not fold(heads(300, COUNT), hashed=hashed, stored=stored)


def test_roots_are_not_compared_behind_leaves_that_are_gone() -> None:
    findings = Findings()
    tree = TreeFold(heads(100, COUNT), findings)
    tree.extend(COUNT, hashed=None, stored=None)
    assert not tree.is_complete
    assert not findings.counts


def test_stored_upper_hashes_are_those_of_their_leaves() -> None:
    tree = Frontier()
    rows = tree.extend(LEAVES)
    data = encode_tiles(LEAVES, rows)

    def found(data: bytes) -> list[tuple[str, str]]:
        findings = upper_hashes_findings("tiles/x", start=0, end=COUNT, data=data, rows=rows)
        return [(one.check, one.subject) for one in findings]

    assert len(data) == (COUNT + 2) * HASH_BYTES
    assert not found(data)
    for position in range(len(LEAVES), len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        assert found(bytes(changed)) == [("InclusionError", "tiles/x")]
