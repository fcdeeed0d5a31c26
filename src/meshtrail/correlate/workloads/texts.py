"""Text columns as numbers, and addresses in one spelling."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

NONE: Final = -1
"""The number of null."""
_V4_IN_V6: Final = "::ffff:"


def as_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    joined = column.combine_chunks()
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def encode_texts(column: pa.Array | pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """A number for each row, and the text of each number.

    Args:
        column: string[n], or a dictionary of them.

    Returns:
        int64[n], ``NONE`` where it is null, and string[d].
    """
    joined = as_array(column)
    encoded = joined if isinstance(joined, pa.DictionaryArray) else pc.dictionary_encode(joined)
    return indices_of(encoded), encoded.dictionary


def encode_sorted(column: pa.Array | pa.ChunkedArray) -> Ints:
    """A number for each row, by the order of the texts: int64[n], ``NONE`` where it is null."""
    codes, texts = encode_texts(column)
    ranks = np.empty(len(texts) + 1, dtype=np.int64)
    ranks[np.asarray(pc.sort_indices(texts))] = np.arange(len(texts))
    ranks[-1] = NONE
    return ranks[codes]


def indices_of(encoded: pa.DictionaryArray) -> Ints:
    """The indices of a dictionary: int64[n], ``NONE`` where it is null."""
    indices = pc.cast(encoded.indices, pa.int64())
    codes: Ints = np.asarray(pc.fill_null(indices, NONE))
    return codes


def integers(column: pa.Array | pa.ChunkedArray, *, null: int = 0) -> Ints:
    """An integer column: int64[n], with another value where it is null."""
    values: Ints = np.asarray(pc.fill_null(pc.cast(as_array(column), pa.int64()), null))
    return values


def pair_codes(*columns: Ints) -> Ints:
    """One number for each distinct combination: int64[n], from 0 on, by the order of the columns.

    Args:
        columns: int64[n] each, ``NONE`` or more.
    """
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        width = int(column.max(initial=NONE)) + 2
        _, codes = np.unique(codes * width + column + 1, return_inverse=True)
    return codes


def take_texts(texts: pa.Array, codes: Ints) -> pa.Array:
    """The text of each number: string[n], null for ``NONE``."""
    return texts.take(pa.array(codes, mask=codes == NONE))


def canonical_address(text: str) -> str:
    """The one spelling of an IP address; an IPv4 address inside an IPv6 one is that IPv4 address.

    Any other text stays as it is.
    """
    if ":" not in text:
        return text
    try:
        spelled = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return text
    rest = spelled.removeprefix(_V4_IN_V6)
    return rest if "." in rest else spelled


def filled_from(codes: Ints, starts: Ints, ends: Ints) -> Ints:
    """Where what each row knows was said: by itself, else before it, else first after it.

    Args:
        codes: int64[n]; ``NONE`` where a row says nothing.
        starts: int64[n], the first row of what each row is of.
        ends: int64[n], the row behind the last.

    Returns:
        int64[n], a row; ``NONE`` where nothing was ever said.
    """
    before = said_before(codes, starts)
    return np.where(before != NONE, before, said_after(codes, ends))


def said_before(codes: Ints, starts: Ints) -> Ints:
    """The last row up to each one, of the same, that says something; ``NONE`` without any."""
    places = np.where(codes != NONE, np.arange(len(codes)), NONE)
    last = np.maximum.accumulate(places) if len(places) else places
    return np.where(last >= starts, last, NONE)


def said_after(codes: Ints, ends: Ints) -> Ints:
    """The first row from each one on, of the same, that says something; ``NONE`` without any."""
    places = np.where(codes != NONE, np.arange(len(codes)), len(codes))
    first = np.minimum.accumulate(places[::-1])[::-1] if len(places) else places
    return np.where(first < ends, first, NONE)
