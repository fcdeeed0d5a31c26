"""A seeded mutator of bytes that knows nothing of their structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random  # noqa: TID251 - the caller's, seeded
    from collections.abc import Callable, Sequence


class ByteMutator:
    """Bends bytes.

    Args:
        seeds: valid ones to start from.
        rng: the only source of chance.
        pieces: what to put in now and then.
    """

    def __init__(
        self, seeds: Sequence[bytes], rng: random.Random, *, pieces: Sequence[bytes] = ()
    ) -> None:
        self._rng = rng
        self._seeds = seeds
        self._pieces = pieces
        self._byte_steps: tuple[Callable[[bytearray], None], ...] = (
            *(self._flip_bits, self._truncate, self._insert_bytes, self._delete_bytes),
            *(self._overwrite_bytes, self._splice_bytes),
            *(self._insert_piece,) * (6 if pieces else 0),
        )

    def valid(self) -> bytes:
        """One of the seeds, as it is."""
        return self._rng.choice(self._seeds)

    def mutate(self) -> bytes:
        """A seed that was bent once or a few times."""
        return self.bend(self.valid())

    def bend(self, data: bytes) -> bytes:
        """Bend these bytes once or a few times."""
        bent = bytearray(data)
        for _ in range(self._rng.choice((1, 1, 1, 2, 5))):
            self._rng.choice(self._byte_steps)(bent)
        return bytes(bent)

    def _flip_bits(self, data: bytearray) -> None:
        if data:
            for _ in range(self._rng.choice((1, 1, 2, 8))):
                data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)

    def _truncate(self, data: bytearray) -> None:
        del data[self._rng.randint(0, len(data)) :]

    def _insert_bytes(self, data: bytearray) -> None:
        at = self._rng.randint(0, len(data))
        data[at:at] = self._rng.randbytes(self._rng.choice((1, 1, 2, 4, 16)))

    def _delete_bytes(self, data: bytearray) -> None:
        at = self._rng.randint(0, len(data))
        del data[at : at + self._rng.choice((1, 1, 2, 4, 16))]

    def _overwrite_bytes(self, data: bytearray) -> None:
        if data:
            value = self._rng.choice((0x00, 0x7F, 0x80, 0xFF, 0x0A, 0x0B, 0x0C))
            data[self._rng.randrange(len(data))] = value

    def _splice_bytes(self, data: bytearray) -> None:
        """The beginning of one and the end of another."""
        other = self._rng.choice(self._seeds)
        data[self._rng.randint(0, len(data)) :] = other[self._rng.randint(0, len(other)) :]

    def _insert_piece(self, data: bytearray) -> None:
        at = self._rng.randint(0, len(data))
        data[at : at + self._rng.choice((0, 0, 1, 8))] = self._rng.choice(self._pieces)
