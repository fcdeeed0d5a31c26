"""Texts that stand for other things, as columns: numbers, durations, ids, text that is no UTF-8."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import without
from meshtrail.sources.envoy_values import mend_utf8

_S: Final = pa.string()
_I64: Final = pa.int64()
_NUMBER: Final = "^[0-9]{1,19}$"
_DURATION: Final = (
    r"^(?:(?P<hours>[0-9]{1,6})h)?(?:(?P<minutes>[0-9]{1,2})m)?"
    r"(?:(?P<whole>[0-9]{1,3})(?:\.(?P<fraction>[0-9]{1,15}))?(?P<unit>s|ms|us|ns))?$"
)
_SOCKET: Final = r"^(?:\[(?P<v6>[^\[\]]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})$"
_ZERO: Final = "0"
_UNITS_NS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MINUTE_NS: Final = 60 * 10**9
_HOUR_NS: Final = 60 * _MINUTE_NS
_FRACTION_DIGITS: Final = 9


def mend_texts(values: pa.Array) -> pa.Array:
    """Bytes as text: binary[n] to string[n].

    A header can hold any bytes, and whoever sends it would otherwise decide what is recorded of
    its request: so bytes that are no UTF-8 become ``!``, as in records of the access log service.
    """
    try:
        return values.cast(_S)
    except pa.ArrowInvalid:
        mended = [None if value is None else mend_utf8(value) for value in values.to_pylist()]
        return pa.array(mended, _S)


def read_numbers(texts: pa.Array, *, to: pa.DataType) -> tuple[pa.Array, pa.Array]:
    """Texts of digits as numbers.

    Args:
        texts: string[n].
        to: int32 or int64.

    Returns:
        to[n], null where the text is no number or it does not fit; bool[n], where it is none.
    """
    wrong = pc.invert(pc.match_substring_regex(texts, _NUMBER))
    numbers = without(texts, wrong).cast(pa.uint64())
    limit = 2**31 - 1 if pa.types.is_int32(to) else 2**63 - 1
    numbers = without(numbers, pc.greater(numbers, pa.scalar(limit, pa.uint64())))
    return numbers.cast(to), pc.fill_null(wrong, fill_value=False)


def read_durations(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Durations as CEL writes them, such as ``1h2m3.5s`` or ``297.188us``, in nanoseconds.

    Args:
        texts: string[n].

    Returns:
        int64[n], cut to whole nanoseconds, null where the text is no duration or a negative one;
        bool[n], where it is none.
    """
    parts = pc.extract_regex(without(texts, pc.equal(texts, "")), _DURATION)
    unit = pc.struct_field(parts, "unit")
    scale = pa.array(list(_UNITS_NS.values()), _I64).take(
        pc.index_in(unit, pa.array(list(_UNITS_NS)))
    )
    digits = pc.utf8_rpad(pc.struct_field(parts, "fraction"), _FRACTION_DIGITS, padding="0")
    fraction = _digits(pc.utf8_slice_codeunits(digits, 0, _FRACTION_DIGITS))
    small = pc.add(
        pc.multiply(_digits(pc.struct_field(parts, "whole")), pc.fill_null(scale, 0)),
        pc.divide(pc.multiply(fraction, pc.fill_null(scale, 0)), 10**_FRACTION_DIGITS),
    )
    large = pc.add(
        pc.multiply(_digits(pc.struct_field(parts, "hours")), _HOUR_NS),
        pc.multiply(_digits(pc.struct_field(parts, "minutes")), _MINUTE_NS),
    )
    # Zero has no unit.
    value = pc.if_else(pc.equal(texts, _ZERO), 0, pc.add(small, large))
    return value, pc.and_(pc.is_valid(texts), pc.is_null(value))


def read_sockets(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Addresses with their ports, such as ``10.0.0.7:80`` or ``[fd00::7]:80``.

    Args:
        texts: string[n].

    Returns:
        string[n], int32[n]; both null for anything else, such as the path of a pipe.
    """
    parts = pc.extract_regex(texts, _SOCKET)
    v6 = pc.struct_field(parts, "v6")
    ip = pc.if_else(pc.equal(v6, ""), pc.struct_field(parts, "v4"), v6)
    return ip, pc.struct_field(parts, "port").cast(pa.int32())


def read_ids(values: pa.Array, *, width: int) -> pa.Array:
    """Ids of one width: binary[n] to binary(width)[n], null for others and for all zeros."""
    nothing = bytes(width)
    good = pc.and_(pc.equal(pc.binary_length(values), width), pc.not_equal(values, nothing))
    good = pc.fill_null(good, fill_value=False)
    filled = pc.if_else(good, values, pa.scalar(nothing, pa.binary())).cast(pa.binary(width))
    return pc.if_else(good, filled, pa.scalar(None, pa.binary(width)))


def _digits(texts: pa.Array) -> pa.Array:
    """Digits as numbers: 0 where the text is empty, null where it is null."""
    return pc.if_else(pc.equal(texts, ""), "0", texts).cast(_I64)
