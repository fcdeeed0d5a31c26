"""Texts that come again and again as small numbers, with a hash that is the same everywhere.

A number stands for exactly one text, so equal numbers are an exact comparison; hashes only sort.
"""

from __future__ import annotations

import socket
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy.typing as npt

    Codes = npt.NDArray[np.int32]

NONE: Final = -1
"""The number of what is not there."""
_V4_IN_V6: Final = b"\0" * 10 + b"\xff\xff"
_LENGTH_MAX: Final = 256
"""Longer texts are known by their start and a hash: a sender could fill the memory with them."""
_START_LENGTH: Final = 200


def canonical_ip(text: str) -> bytes:
    """The bytes of an IP address, an IPv4 one as IPv6; of any other text, the text."""
    for family, prefix in ((socket.AF_INET, _V4_IN_V6), (socket.AF_INET6, b"")):
        try:
            return prefix + socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
    return b"text:" + text.encode()


class Names:
    """Texts by number. Numbers that nothing needs any more are given back by ``renumber``."""

    def __init__(self, canonical: Callable[[Any], bytes]) -> None:
        """Start with no texts.

        Args:
            canonical: a text -> bytes that are equal for two spellings of the same thing.
        """
        self._canonical = canonical
        self._codes: dict[Hashable, int] = {}
        self._codes_by_bytes: dict[bytes, int] = {}
        self._texts: list[Any] = []
        self._hashes = np.zeros(64, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def texts(self) -> list[Any]:
        """The text of each number, as it was first spelled."""
        return self._texts

    @property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """uint64[len(self)], of the canonical bytes of each."""
        return self._hashes[: len(self._texts)]

    def code(self, text: Hashable) -> int:
        """The number of a text, a new one where it has none yet."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = self._code_of_bytes(self._canonical(text), text)
        return code

    def encode(self, column: pa.Array) -> Codes:
        """The numbers of a text column: int32[n], ``NONE`` where it is null."""
        encoded = dictionary_of(column)
        texts = encoded.dictionary.to_pylist()
        known = map(self._codes.get, texts)
        codes = [
            code if code is not None else NONE if text is None else self.code(shorten(text))
            for text, code in zip(texts, known, strict=True)
        ]
        return take_coded(encoded, np.array([*codes, NONE], dtype=np.int32))

    def renumber(self, used: npt.NDArray[np.bool_]) -> Codes:
        """Forget the texts that are not ``used``; the rest keep their order.

        Args:
            used: bool[len(self)].

        Returns:
            int32[old length + 1]: the new number of each old one, ``NONE`` where it was
            forgotten, and last, so that ``NONE`` is found as well, ``NONE``.
        """
        moved = np.full(len(self._texts) + 1, NONE, dtype=np.int32)
        moved[:-1][used] = np.arange(int(used.sum()), dtype=np.int32)
        new = moved.tolist()
        self._hashes = np.append(self.hashes[used], np.zeros(64, dtype=np.uint64))
        self._texts = [text for text, code in zip(self._texts, new, strict=False) if code != NONE]
        self._codes = {text: new[old] for text, old in self._codes.items() if new[old] != NONE}
        self._codes_by_bytes = {
            known: new[old] for known, old in self._codes_by_bytes.items() if new[old] != NONE
        }
        return moved

    def _code_of_bytes(self, known: bytes, text: Hashable) -> int:
        code = self._codes_by_bytes.get(known)
        if code is not None:
            return code
        code = self._codes_by_bytes[known] = len(self._texts)
        if code == len(self._hashes):
            self._hashes = np.append(self._hashes, np.zeros(code, dtype=np.uint64))
        self._hashes[code] = hash_bytes(known)
        self._texts.append(text)
        return code


def shorten(text: str) -> str:
    """The text itself, or a short one that stands for it alone."""
    if len(text) <= _LENGTH_MAX:
        return text
    return f"{text[:_START_LENGTH]}… {blake2b(text.encode()).hexdigest()[:32]}"


def hash_bytes(data: bytes) -> int:
    """64 bits of a hash that nobody can aim."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def dictionary_of(column: pa.Array) -> pa.DictionaryArray:
    """The column with each distinct value once."""
    return column if isinstance(column, pa.DictionaryArray) else pc.dictionary_encode(column)


def take_coded(encoded: pa.DictionaryArray, by_value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What belongs to each row: the last of ``by_value`` where the row is null.

    Args:
        encoded: n rows of d distinct values.
        by_value: [d + 1], one for each distinct value, and one for null.
    """
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, pa.scalar(len(by_value) - 1, indices.type))
    taken: npt.NDArray[Any] = by_value[np.asarray(indices)]
    return taken
