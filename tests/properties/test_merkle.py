"""Properties of trees, proofs, tiles and bundles over inputs that nobody chose."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from meshtrail.errors import ConsistencyError, InclusionError, ProofSyntaxError
from meshtrail.merkle import (
    HASH_BYTES,
    EntryBundle,
    Frontier,
    Tile,
    bundles_between,
    check_consistency,
    check_inclusion,
    decode_bundle,
    decode_tile,
    encode_bundle,
    hash_leaves,
    parse_bundle_path,
    parse_tile_path,
    prove_consistency,
    prove_inclusion,
    tiles_between,
)
from meshtrail.units import INT64_MAX, LeafIndex, TreeSize
from tests.naive_rfc6962 import naive_extends, naive_includes, naive_leaf_hash, naive_root
from tests.stored_rows import StoredRows, leaf_data

LEAVES = leaf_data(700)
STORED = StoredRows.with_leaves(700)
SIZES = st.integers(1, 700)
HASHES = st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES)

levels = st.integers(0, 63)
indexes = st.integers(0, INT64_MAX) | st.integers(0, 10_000)
widths = st.integers(1, 256)
path_pieces = st.sampled_from(
    [
        "tile/",
        "entries/",
        "x",
        "/",
        "000",
        "001",
        "x001/",
        "0",
        "63",
        "64",
        ".p/",
        "255",
        "256",
        "\n",
    ]
)
path_texts = st.text() | st.lists(path_pieces, max_size=12).map("".join)


@given(levels, indexes, widths)
def test_every_path_of_a_tile_reads_back(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_tile_path(tile.path) == tile
    bundle = EntryBundle(index, width)
    assert parse_bundle_path(bundle.path) == bundle
    assert re.fullmatch(r"tile/\d+/(x\d{3}/)*\d{3}(\.p/\d+)?", tile.path)


@given(path_texts)
@example("tile/0/000.p/256")
@example("tile/0/x000/000")
@example("tile/entries/000.p/00")
def test_a_path_parser_accepts_only_what_the_formatter_writes(text: str) -> None:
    for parse in (parse_tile_path, parse_bundle_path):
        try:
            place = parse(text)
        except ProofSyntaxError:
            continue
        assert place.path == text


@given(levels, indexes, widths, st.data())
def test_a_path_with_one_change_is_refused_or_is_another_tile(
    level: int, index: int, width: int, data: st.DataObject
) -> None:
    tile = Tile(level, index, width)
    at = data.draw(st.integers(0, len(tile.path)))
    cut = data.draw(st.integers(0, 1))
    changed = tile.path[:at] + data.draw(st.sampled_from("0159x/.p_ \n")) + tile.path[at + cut :]
    try:
        other = parse_tile_path(changed)
    except ProofSyntaxError:
        return
    assert other.path == changed
    assert (other == tile) == (changed == tile.path)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_every_bundle_reads_back(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries), width=len(entries)) == entries


@given(st.binary(max_size=600) | st.lists(st.integers(0, 3)).map(bytes), st.integers(-1, 300))
def test_a_bundle_is_accepted_only_as_it_is_written(data: bytes, width: int) -> None:
    try:
        entries = decode_bundle(data, width=width)
    except ProofSyntaxError:
        return
    assert len(entries) == width
    assert encode_bundle(entries) == data


@given(st.binary(max_size=9000), widths)
def test_tile_bytes_are_accepted_only_at_their_length(data: bytes, width: int) -> None:
    try:
        row = decode_tile(data, tile=Tile(0, 0, width))
    except ProofSyntaxError:
        assert len(data) != width * HASH_BYTES
    else:
        assert (row, len(row)) == (data, width * HASH_BYTES)


@given(st.lists(st.integers(0, 600), max_size=12))
def test_the_tree_does_not_depend_on_the_batches(batches: list[int]) -> None:
    entries = leaf_data(sum(batches))
    row = hash_leaves(entries)
    stored, start = StoredRows(), 0
    for batch in batches:
        stored.extend(row[start * HASH_BYTES : (start + batch) * HASH_BYTES])
        start += batch
    whole = StoredRows()
    whole.extend(row)
    assert stored.frontier.root() == whole.frontier.root()
    assert stored.frontier.hashes == whole.frontier.hashes
    assert stored.rows == whole.rows


@given(SIZES, st.data())
def test_a_proof_holds_exactly_where_the_rfcs_algorithm_says(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = prove_inclusion(STORED, leaf_index=LeafIndex(index), tree_size=TreeSize(size))
    proof = data.draw(damaged(proof))
    claimed_index = data.draw(st.just(index) | st.integers(0, size + 1))
    claimed_size = data.draw(st.just(size) | st.integers(1, 1400))
    leaf_hash, root = naive_leaf_hash(LEAVES[index]), root_of(size)
    want = naive_includes(leaf_hash, claimed_index, claimed_size, root, proof)
    try:
        check_inclusion(
            leaf_hash,
            leaf_index=LeafIndex(claimed_index),
            tree_size=TreeSize(claimed_size),
            root_hash=root,
            proof=proof,
        )
    except InclusionError:
        assert not want
    else:
        assert want


@given(SIZES, st.data())
def test_trees_are_consistent_exactly_where_the_rfcs_algorithm_says(
    new_size: int, data: st.DataObject
) -> None:
    old_size = data.draw(st.integers(1, new_size))
    proof = prove_consistency(STORED, old_size=TreeSize(old_size), new_size=TreeSize(new_size))
    proof = data.draw(damaged(proof))
    claimed_old = data.draw(st.just(old_size) | st.integers(1, new_size))
    claimed_new = data.draw(st.just(new_size) | st.integers(claimed_old, 1400))
    roots = root_of(old_size), root_of(new_size)
    want = naive_extends(claimed_old, claimed_new, *roots, proof)
    try:
        check_consistency(
            old_size=TreeSize(claimed_old),
            old_root=roots[0],
            new_size=TreeSize(claimed_new),
            new_root=roots[1],
            proof=proof,
        )
    except ConsistencyError:
        assert not want
    else:
        assert want


@given(st.integers(), st.integers(), st.binary(max_size=40), st.lists(st.binary(max_size=40)))
def test_checks_of_nonsense_raise_only_their_own_error(
    one: int, other: int, root: bytes, proof: list[bytes]
) -> None:
    try:
        check_inclusion(
            root,
            leaf_index=LeafIndex(one),
            tree_size=TreeSize(other),
            root_hash=root,
            proof=proof,
        )
    except InclusionError:
        pass
    else:
        assert (one, other, proof) == (0, 1, [])
    try:
        check_consistency(
            old_size=TreeSize(one),
            old_root=root,
            new_size=TreeSize(other),
            new_root=root,
            proof=proof,
        )
    except ConsistencyError:
        pass
    else:
        assert one == other
        assert proof == []


@given(st.lists(st.integers(0, 200_000), min_size=2, max_size=6))
def test_tiles_of_each_step_are_enough_for_the_last_tree(sizes: list[int]) -> None:
    steps = [TreeSize(size) for size in sorted(sizes)]
    made = {
        tile for old, new in pairwise(steps) for tile in tiles_between(old_size=old, new_size=new)
    }
    assert set(tiles_between(old_size=steps[0], new_size=steps[-1])) <= made
    bundles = {
        each for old, new in pairwise(steps) for each in bundles_between(old_size=old, new_size=new)
    }
    assert set(bundles_between(old_size=steps[0], new_size=steps[-1])) <= bundles


@given(st.integers(0, INT64_MAX), st.data())
def test_frontier_of_any_size_goes_on_from_its_own_hashes(size: int, data: st.DataObject) -> None:
    hashes = data.draw(
        st.binary(min_size=size.bit_count() * HASH_BYTES, max_size=size.bit_count() * HASH_BYTES)
    )
    frontier = Frontier.restore(tree_size=TreeSize(size), hashes=hashes)
    assert (frontier.size, frontier.hashes) == (size, hashes)


@st.composite
def damaged(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    """Draw the proof itself, or the proof with a hash replaced, dropped, added or moved."""
    proof = list(proof)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        kind = draw(st.sampled_from(["replace", "drop", "add", "swap"]))
        at = draw(st.integers(0, len(proof)))
        if kind == "add":
            proof.insert(at, draw(HASHES))
        elif at < len(proof):
            if kind == "drop":
                del proof[at]
            elif kind == "replace":
                proof[at] = draw(HASHES)
            else:
                proof[at], proof[0] = proof[0], proof[at]
    return proof


@cache
def root_of(size: int) -> bytes:
    """Return the root of the first leaves."""
    return naive_root(LEAVES[:size])
