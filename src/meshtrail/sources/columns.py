"""Column operations that decoders share: read nested columns, look keys up, decode ids.

All work on whole columns; a Python loop runs only over distinct values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

_NANOS: Final = 1_000_000_000
_SECONDS_MAX: Final = 9_223_372_035
"""Above this, seconds do not fit into signed 64-bit nanoseconds."""

_NO_PAIR: Final = -1


def _hex_pairs() -> npt.NDArray[np.int16]:
    """The byte that two lower-case hex digits stand for, by their two bytes read as one number."""
    pairs = np.full(1 << 16, _NO_PAIR, dtype=np.int16)
    for value in range(256):
        pairs[int.from_bytes(f"{value:02x}".encode(), "little")] = value
    return pairs


_HEX_PAIRS: Final = _hex_pairs()


def field(batch: pa.RecordBatch, *path: str) -> pa.Array:
    """A nested column; null where any message on the way is absent."""
    column = batch.column(path[0])
    return pc.struct_field(column, list(path[1:])) if len(path) > 1 else column


def text(batch: pa.RecordBatch, *path: str) -> pa.Array:
    """A nested string column, null where it is empty: proto3 cannot tell empty from absent."""
    column = field(batch, *path)
    return without(column, pc.equal(column, ""))


def integer(
    batch: pa.RecordBatch, *path: str, to: pa.DataType, zero_is_null: bool = False
) -> pa.Array:
    """A nested integer column as a signed type; null where it does not fit."""
    column = field(batch, *path)
    limit = 2**31 - 1 if pa.types.is_int32(to) else 2**63 - 1
    if pa.types.is_uint64(column.type) or pa.types.is_uint32(column.type):
        column = without(column, pc.greater(column, pa.scalar(limit, column.type)))
    if zero_is_null:
        column = without(column, pc.equal(column, 0))
    return column.cast(to)


def without(column: pa.Array, unwanted: pa.Array) -> pa.Array:
    """The column with null where ``unwanted`` is true; copied only where it is for some."""
    unwanted_count = unwanted.true_count
    if not unwanted_count:
        return column
    if unwanted_count == len(column):
        return pa.nulls(len(column), column.type)
    return pc.if_else(unwanted, pa.scalar(None, column.type), column)


def period_ns(batch: pa.RecordBatch, *path: str) -> tuple[pa.Array, pa.Array]:
    """A Timestamp or Duration in nanoseconds.

    Returns:
        int64[n], null where absent or impossible (nanos outside 0 to 999,999,999, or seconds that
        do not fit into 64 bits of nanoseconds); bool[n], true where it was impossible.
    """
    seconds = field(batch, *path, "seconds")
    nanos = field(batch, *path, "nanos")
    possible = pc.and_(
        pc.and_(pc.less_equal(seconds, _SECONDS_MAX), pc.greater_equal(seconds, -_SECONDS_MAX)),
        pc.and_(pc.greater_equal(nanos, 0), pc.less(nanos, _NANOS)),
    )
    seconds = pc.if_else(possible, seconds, pa.scalar(None, pa.int64()))
    value = pc.add(pc.multiply(seconds, _NANOS), nanos.cast(pa.int64()))
    return value, pc.fill_null(pc.invert(possible), fill_value=False)


def coded(values: Sequence[str | None], rows: pa.Array) -> pa.DictionaryArray:
    """A text column of few distinct values, each written down once.

    Args:
        values: may repeat.
        rows: int[n], which of the values each row has; null for none.

    Returns:
        dictionary<int32, string>[n]; its dictionary has no nulls and no repeats, because Parquet
        takes it over as it is.
    """
    codes: dict[str, int] = {}
    places = [None if value is None else codes.setdefault(value, len(codes)) for value in values]
    indices = pa.array(places, pa.int32()).take(rows)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(codes), pa.string()))


def labelled(where: pa.Array, label: str) -> pa.DictionaryArray:
    """A ``coded`` column with one label where ``where`` is true, and null elsewhere."""
    indices = pc.if_else(where, pa.scalar(0, pa.int32()), pa.scalar(None, pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, pa.array([label]))


def first_of(column: pa.Array, other: pa.Array) -> pa.DictionaryArray:
    """A ``coded`` column of what the one says, and where it is null of what the other does."""
    return pc.dictionary_encode(pc.coalesce(plain(column), plain(other)))


def plain(column: pa.Array) -> pa.Array:
    """The column with its values in full, as most Arrow functions want it."""
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def map_distinct(
    column: pa.Array, derive: Callable[[Any], Sequence[Any]], types: Sequence[pa.DataType]
) -> list[pa.Array]:
    """Derive columns from a column by looking at each distinct value once.

    Args:
        column: string[n] or binary[n] with few distinct values.
        derive: one value -> one value for each of ``types``.
        types: types of the derived columns.

    Returns:
        One column for each type, row for row, texts ``coded``; null where ``column`` is.
    """
    encoded = pc.dictionary_encode(column)
    rows = [derive(value) for value in encoded.dictionary.to_pylist()]
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return [
        coded(values, encoded.indices)
        if pa.types.is_string(kind)
        else pa.array(values, kind).take(encoded.indices)
        for values, kind in zip(columns, types, strict=True)
    ]


def read_distinct(
    column: pa.Array, read: Callable[[Any], Any], facts: type[Any]
) -> dict[str, pa.Array]:
    """Read messages, each distinct one once.

    Args:
        column: binary[n] or string[n].
        read: one message -> its facts.
        facts: the NamedTuple that it gives, of text and truth values.

    Returns:
        A column for each fact, by name, texts ``coded``; null where ``column`` is, and a truth
        value then false.
    """
    kinds = [type(default) for default in facts._field_defaults.values()]
    types = [pa.bool_() if kind is bool else pa.string() for kind in kinds]
    columns = dict(zip(facts._fields, map_distinct(column, read, types), strict=True))
    for name, kind in zip(facts._fields, kinds, strict=True):
        if kind is bool:
            columns[name] = pc.fill_null(columns[name], fill_value=False)
    return columns


class Entries:
    """The entries of a repeated key/value message, flattened, each with its row of the batch."""

    def __init__(self, lists: pa.Array) -> None:
        """Flatten a list column.

        Args:
            lists: list<struct<key: string, …>>[n].
        """
        self.rows = np.asarray(pc.list_parent_indices(lists), dtype=np.int64)
        self.flat = pc.list_flatten(lists)

    def field(self, *path: str) -> pa.Array:
        """A field of all entries, flat."""
        return pc.struct_field(self.flat, list(path))

    def where(self, mask: pa.Array) -> npt.NDArray[np.int64]:
        """Positions of the flat entries where ``mask`` is true."""
        return np.flatnonzero(np.asarray(pc.fill_null(mask, fill_value=False)))


def spread(
    values: pa.Array, rows: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], rows_count: int
) -> pa.Array:
    """Put flat values back to their rows; of several for one row the last counts.

    Args:
        values: flat values.
        rows: the row of each flat value.
        positions: which flat values to take, ascending.
        rows_count: rows of the batch.

    Returns:
        values.type[rows_count]; null where no value belongs to the row.
    """
    if not len(positions):
        return pa.nulls(rows_count, values.type)
    chosen = np.full(rows_count, -1, dtype=np.int64)
    chosen[rows[positions]] = positions
    return values.take(pa.array(chosen, mask=chosen < 0))


def decode_hex(column: pa.Array, template: str) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Decode strings of one exact shape, such as UUIDs, to fixed-size bytes.

    Args:
        column: string[n].
        template: ``x`` for each lower-case hex digit, every other character for itself.

    Returns:
        binary(k)[n], null where the string has another shape; bool[n], true where it has this one.
    """
    length = len(template)
    runs = [run.span() for run in re.finditer("x+", template)]
    width = template.count("x") // 2
    fits = np.asarray(pc.fill_null(pc.equal(pc.binary_length(column), length), fill_value=False))
    rows = np.flatnonzero(fits)
    out = np.zeros((len(column), width), dtype=np.uint8)
    shaped = np.zeros(len(column), dtype=np.bool_)
    if len(rows):
        cells = _cells(column.take(pa.array(rows)), length)
        digits = np.concatenate([cells[:, start:end] for start, end in runs], axis=1)
        pairs = _HEX_PAIRS[digits.view("<u2")]
        out[rows] = pairs
        shaped[rows] = _rows_of_shape(cells, pairs, template)
    return fixed_binary(out, valid=shaped), shaped


def _cells(column: pa.Array, length: int) -> npt.NDArray[np.uint8]:
    """The bytes of strings of one length, freshly taken: uint8[n, length]."""
    data = np.frombuffer(column.buffers()[2], dtype=np.uint8, count=len(column) * length)
    return data.reshape(len(column), length)


def _rows_of_shape(
    cells: npt.NDArray[np.uint8], pairs: npt.NDArray[np.int16], template: str
) -> npt.NDArray[np.bool_]:
    """Which rows hold hex digits and the template's own characters where they must: bool[n]."""
    good = np.ones(len(cells), dtype=np.bool_)
    # Nearly always all rows are good, which one look at everything says far sooner.
    if pairs.min() == _NO_PAIR:
        good &= (pairs != _NO_PAIR).all(axis=1)
    for at, character in enumerate(template):
        if character != "x":
            good &= cells[:, at] == ord(character)
    return good


def fixed_binary(cells: npt.NDArray[np.uint8], *, valid: npt.NDArray[np.bool_]) -> pa.Array:
    """A fixed-size binary column from uint8[n, k]; null where not ``valid``."""
    rows_count, width = cells.shape
    validity = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    values = pa.py_buffer(np.ascontiguousarray(cells).tobytes())
    return pa.Array.from_buffers(pa.binary(width), rows_count, [validity, values])


def mask_null(column: pa.Array, keep: pa.Array | npt.NDArray[np.bool_]) -> pa.Array:
    """The column with null where ``keep`` is not true."""
    mask = pa.array(keep) if isinstance(keep, np.ndarray) else keep
    if isinstance(column, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(mask_null(column.indices, mask), column.dictionary)
    return pc.if_else(mask, column, pa.scalar(None, column.type))
