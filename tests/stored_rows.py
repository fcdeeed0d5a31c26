"""Storage for trees in tests: rows in memory, and rows that are computed."""

from __future__ import annotations

from meshtrail.errors import NotFoundError
from meshtrail.merkle import HASH_BYTES, Frontier, Tile, hash_leaves, hash_node


def leaf_data(count: int) -> list[bytes]:
    """Return the entries that trees in tests are made of; no two are equal."""
    return [b"leaf %d" % index for index in range(count)]


class StoredRows:
    """A log's stored hashes in memory: a `HashReader` and a `TileSource` with a count of reads."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.rows: list[bytearray] = [bytearray()]
        self.reads: list[tuple[int, int, int]] = []

    @classmethod
    def with_leaves(cls, count: int, *, batch: int = 1000) -> StoredRows:
        """Return the rows of a tree of `leaf_data`, appended in batches."""
        stored = cls()
        row = hash_leaves(leaf_data(count))
        for start in range(0, count, batch):
            stored.extend(row[start * HASH_BYTES : (start + batch) * HASH_BYTES])
        return stored

    def extend(self, leaf_hashes: bytes) -> None:
        """Append leaves, and keep what became complete where it says it belongs."""
        self.rows[0] += leaf_hashes
        for row in self.frontier.extend(leaf_hashes):
            if row.level == len(self.rows):
                self.rows.append(bytearray())
            assert len(self.rows[row.level]) == row.start * HASH_BYTES
            self.rows[row.level] += row.hashes
            assert len(self.rows[row.level]) == row.end * HASH_BYTES

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return stored hashes, and note that they were asked for."""
        self.reads.append((level, start, end))
        assert 0 <= start < end
        assert start // 256 == (end - 1) // 256
        assert end * HASH_BYTES <= len(self.rows[level])
        return bytes(self.rows[level][start * HASH_BYTES : end * HASH_BYTES])

    def read_tile(self, tile: Tile) -> bytes:
        """Return the bytes of a tile, of any width that the rows allow."""
        if tile.level >= len(self.rows) or tile.end * HASH_BYTES > len(self.rows[tile.level]):
            raise NotFoundError(f"{tile.path} is not there", path=tile.path)
        return self.read_hashes(tile.level, tile.start, tile.end)


class EqualLeaves:
    """The stored hashes of a tree of any size whose leaves are all equal, computed when read."""

    def __init__(self, leaf_hash: bytes) -> None:
        self.perfect = [leaf_hash]
        for _ in range(63):
            self.perfect.append(hash_node(self.perfect[-1], self.perfect[-1]))

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return stored hashes: those of one level are all equal."""
        return self.perfect[8 * level] * (end - start)

    def root(self, leaves_count: int) -> bytes:
        """Return MTH by its definition, each perfect half looked up."""
        if leaves_count & (leaves_count - 1) == 0:
            return self.perfect[leaves_count.bit_length() - 1]
        half = 1 << leaves_count.bit_length() - 1
        return hash_node(self.root(half), self.root(leaves_count - half))
