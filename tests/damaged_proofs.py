"""Every small way to damage a proof, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def flip_bit(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged_once(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield the proof with one hash changed, cut, dropped, doubled, moved or added.

    Each result differs from the proof: neighbours that are equal are not swapped.
    """
    for place, each in enumerate(proof):
        before, after = list(proof[:place]), list(proof[place + 1 :])
        yield [*before, flip_bit(each, place * 37 % 256), *after]
        yield [*before, bytes(32), *after]
        yield [*before, each[:31], *after]
        yield [*before, each + b"\x00", *after]
        yield [*before, *after]
        yield [*before, each, each, *after]
        if after and after[0] != each:
            yield [*before, after[0], each, *after[1:]]
    if list(proof) != list(proof)[::-1]:
        yield list(proof)[::-1]
    if proof:
        yield []
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]
