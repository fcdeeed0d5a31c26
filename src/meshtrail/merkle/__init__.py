"""RFC 6962 Merkle trees as C2SP tlog-tiles lays them out: hash, grow, store, prove, check.

In come entries, leaf hashes and stored rows of hashes; out come roots, the upper hashes to store,
proofs, and the names of tiles. Malformed input raises `ProofSyntaxError`; evidence that does not
hold raises `InclusionError`, `ConsistencyError` or `LeafError`.

Pure, and made of the standard library alone: no I/O, no clock, no mesh. Every layer above may
import it.
"""

from __future__ import annotations

from meshtrail.merkle.bundle import (
    ENTRY_BYTES_MAX,
    check_bundle,
    decode_bundle,
    encode_bundle,
)
from meshtrail.merkle.hashing import (
    EMPTY_ROOT,
    HASH_BYTES,
    BytesLike,
    hash_leaf,
    hash_leaves,
    hash_node,
    split_hashes,
)
from meshtrail.merkle.proof import (
    check_consistency,
    check_inclusion,
    consistency_subtrees,
    inclusion_subtrees,
)
from meshtrail.merkle.reader import HashReader, TileReader, TileSource
from meshtrail.merkle.stored_tree import (
    AuthenticTree,
    StoredTree,
    prove_consistency,
    prove_inclusion,
    tree_root,
)
from meshtrail.merkle.tile import (
    TILE_HEIGHT,
    TILE_WIDTH,
    EntryBundle,
    Tile,
    bundles_between,
    bundles_for_size,
    decode_tile,
    parse_bundle_path,
    parse_tile_path,
    tile_width,
    tiles_between,
    tiles_for_size,
)
from meshtrail.merkle.tree import Frontier, HashRow

__all__ = [
    "EMPTY_ROOT",
    "ENTRY_BYTES_MAX",
    "HASH_BYTES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "AuthenticTree",
    "BytesLike",
    "EntryBundle",
    "Frontier",
    "HashReader",
    "HashRow",
    "StoredTree",
    "Tile",
    "TileReader",
    "TileSource",
    "bundles_between",
    "bundles_for_size",
    "check_bundle",
    "check_consistency",
    "check_inclusion",
    "consistency_subtrees",
    "decode_bundle",
    "decode_tile",
    "encode_bundle",
    "hash_leaf",
    "hash_leaves",
    "hash_node",
    "inclusion_subtrees",
    "parse_bundle_path",
    "parse_tile_path",
    "prove_consistency",
    "prove_inclusion",
    "split_hashes",
    "tile_width",
    "tiles_between",
    "tiles_for_size",
    "tree_root",
]
