"""Entry bundles: up to 256 entries as one run of bytes, beside the tile of their leaf hashes.

Each entry stands behind its length, an unsigned 16-bit big-endian number; nothing follows the
last. Compression, which a web server may add, is not part of the format.

Source: C2SP tlog-tiles v0.1.0, "Log entries".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.errors import LeafError, ProofSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES, hash_leaves
from meshtrail.merkle.tile import TILE_WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshtrail.merkle.hashing import BytesLike
    from meshtrail.units import LeafIndex

ENTRY_BYTES_MAX = 65_535
"""Longest entry: its length is written in 16 bits."""

_LENGTH_BYTES = 2


def encode_bundle(entries: Iterable[BytesLike]) -> bytes:
    """Return the bundle of some entries, in their order.

    Args:
        entries: 1 to 256 entries of at most 65,535 bytes.

    Raises:
        ProofSyntaxError: another number of entries, or a longer one.
    """
    parts: list[BytesLike] = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise ProofSyntaxError(
                f"entry {len(parts) // 2} of a bundle has {len(entry)} bytes, "
                f"at most {ENTRY_BYTES_MAX} fit",
                entry_bytes=len(entry),
            )
        parts += (len(entry).to_bytes(_LENGTH_BYTES, "big"), entry)
    if not 1 <= len(parts) // 2 <= TILE_WIDTH:
        raise ProofSyntaxError(
            f"a bundle holds 1 to {TILE_WIDTH} entries, got {len(parts) // 2}",
            entries_count=len(parts) // 2,
        )
    return b"".join(parts)


def decode_bundle(data: bytes, *, width: int) -> list[bytes]:
    """Return the entries of a bundle.

    Args:
        data: the whole bundle.
        width: number of entries, from the bundle's path; 1 to 256.

    Raises:
        ProofSyntaxError: the bytes end early, go on after the last entry, or are not so many.
    """
    if not 1 <= width <= TILE_WIDTH:
        raise ProofSyntaxError("a bundle's width is outside 1 to 256", width=width)
    entries: list[bytes] = []
    end = 0
    for position in range(width):
        start = end + _LENGTH_BYTES
        end = start + int.from_bytes(data[end:start], "big")
        # A cut length reads as a smaller number, but what it gives still ends past the data.
        if end > len(data):
            raise ProofSyntaxError(
                f"a bundle of {width} entries ends within entry {position}, at {len(data)} bytes",
                width=width,
                bundle_bytes=len(data),
            )
        entries.append(data[start:end])
    if end != len(data):
        raise ProofSyntaxError(
            f"a bundle of {width} entries ends at byte {end}, got {len(data)} bytes",
            width=width,
            bundle_bytes=len(data),
        )
    return entries


def check_bundle(
    entries: Sequence[BytesLike], *, leaf_hashes: bytes, start_index: LeafIndex
) -> None:
    """Check that each entry hashes to its leaf in the tree.

    Args:
        entries: consecutive entries.
        leaf_hashes: their leaf hashes, already authenticated: uint8[n * 32].
        start_index: leaf index of the first entry, for the message.

    Raises:
        LeafError: not one leaf hash for each entry, or an entry that is not what was logged; the
            first one is named.
    """
    if len(leaf_hashes) != len(entries) * HASH_BYTES:
        raise LeafError(
            f"{len(entries)} entries from leaf {start_index} stand beside "
            f"{len(leaf_hashes)} bytes of leaf hashes",
            leaf_index=start_index,
            entries_count=len(entries),
        )
    got_hashes = hash_leaves(entries)
    if got_hashes == leaf_hashes:
        return
    for position in range(len(entries)):
        place = slice(position * HASH_BYTES, (position + 1) * HASH_BYTES)
        want, got = leaf_hashes[place], got_hashes[place]
        if want != got:
            raise LeafError(
                f"entry {start_index + position} hashes to {got.hex()[:16]}, "
                f"its leaf is {want.hex()[:16]}",
                leaf_index=start_index + position,
                want=want,
                got=got,
            )
