"""Attributes of OTLP: lists of keys with values of any type, looked up by key as columns.

Senders write one thing in several ways: a status as a number or as its digits, a header as a text
or as a list of one. What is asked for decides the reading, not what was sent. Log records and spans
are both read with this; the row-wise reference is ``any_values_reference``.

Source: opentelemetry.proto.common.v1 as published in ``xds-protos``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.attribute_values import mend_texts
from meshtrail.sources.columns import Entries, spread, without
from meshtrail.sources.shim import LAX_TEXT, PRESENCE, FieldTree

if TYPE_CHECKING:
    import numpy.typing as npt

TEXT_VALUE: Final[FieldTree] = {"string_value": LAX_TEXT}
"""What is read of an ``AnyValue`` whose sender writes nothing but texts.

Envoy copies headers into texts as they are, and bytes that are no UTF-8 would have upb refuse the
record: whoever calls decides on his headers, and must not decide on that.
"""

ANY_VALUE: Final[FieldTree] = {
    **TEXT_VALUE,
    "bool_value": PRESENCE,
    "int_value": PRESENCE,
    "double_value": PRESENCE,
    "array_value": {"values": TEXT_VALUE},
}
"""What is read of an ``AnyValue``."""

KEY_VALUE: Final[FieldTree] = {"key": None, "value": ANY_VALUE}
"""What is read of a ``KeyValue``; attributes are a list of these."""

WHOLE_DOUBLE_MAX: Final = 2**53
"""Up to here every whole number is a double."""

_S: Final = pa.string()
_I64: Final = pa.int64()
_DIGITS: Final = "^[0-9]{1,18}$"


class Attributes:
    """The attributes of some records, by key. Of equal keys of one record the last counts."""

    def __init__(self, lists: pa.Array) -> None:
        """Flatten the lists, and number their keys.

        Args:
            lists: list<``KEY_VALUE``>[n]; null is as good as empty.
        """
        entries = Entries(lists)
        keys = pc.dictionary_encode(entries.field("key"))
        self._rows_count = len(lists)
        self._rows = entries.rows
        self._values = entries.field("value")
        self._texts = read_texts(self._values)
        self._codes = np.asarray(keys.indices)
        self._code_of = {key: code for code, key in enumerate(keys.dictionary.to_pylist())}

    def text(self, *keys: str) -> pa.Array:
        """The text under the first of the keys that has one, as ``read_texts`` reads it.

        Args:
            keys: spellings of one attribute, the one that counts first.

        Returns:
            string[n].
        """
        return self._first([self._spread(self._texts, at) for at in self._found(keys)], _S)

    def integer(self, *keys: str, to: pa.DataType) -> pa.Array:
        """The number under the first of the keys that has one, as ``read_integers`` reads it.

        Args:
            keys: spellings of one attribute, the one that counts first.
            to: int32 or int64.

        Returns:
            to[n].
        """
        columns = []
        for at in self._found(keys):
            chosen = pa.array(at)
            numbers = read_integers(self._values.take(chosen), self._texts.take(chosen), to)
            rows = self._rows[at]
            columns.append(spread(numbers, rows, np.arange(len(at)), self._rows_count))
        return self._first(columns, to)

    def _found(self, keys: tuple[str, ...]) -> list[npt.NDArray[np.int64]]:
        """Where each of the keys stands among all attributes, of those that stand anywhere."""
        codes = [self._code_of[key] for key in keys if key in self._code_of]
        return [np.flatnonzero(self._codes == code) for code in codes]

    def _spread(self, flat: pa.Array, positions: npt.NDArray[np.int64]) -> pa.Array:
        return spread(flat, self._rows, positions, self._rows_count)

    def _first(self, columns: list[pa.Array], kind: pa.DataType) -> pa.Array:
        return pc.coalesce(*columns) if columns else pa.nulls(self._rows_count, kind)


def read_texts(values: pa.Array) -> pa.Array:
    """Values as texts.

    A number or a truth value is written out; a list counts where it holds one text and nothing
    else; an empty text, a fraction, bytes and a list of keys are none. Of several members of the
    one value, which no sender writes, the text counts first, then list, number, truth value.

    Args:
        values: ``ANY_VALUE``[n].

    Returns:
        string[n].
    """
    written = pc.struct_field(values, "string_value")
    lists = pc.struct_field(values, ["array_value", "values"])
    if len(pc.list_flatten(lists)):
        written = pc.coalesce(written, _only_texts(lists))
    readings = [mend_texts(written)]
    for name in ("int_value", "bool_value"):
        member = pc.struct_field(values, name)
        if member.null_count < len(member):
            readings.append(member.cast(_S))
    text = pc.coalesce(*readings)
    return without(text, pc.equal(text, ""))


def read_integers(values: pa.Array, texts: pa.Array, to: pa.DataType) -> pa.Array:
    """Values as numbers: a number, a double without a fraction up to 2^53, or 1 to 18 digits.

    Args:
        values: ``ANY_VALUE``[n].
        texts: string[n], the same values as ``read_texts`` has them.
        to: int32 or int64.

    Returns:
        to[n], null where there is none, or where it is negative or does not fit.
    """
    is_number = pc.fill_null(pc.match_substring_regex(texts, _DIGITS), fill_value=False)
    digits = pc.if_else(is_number, texts, pa.scalar(None, _S)).cast(_I64)
    double = pc.struct_field(values, "double_value")
    is_whole = pc.and_(
        pc.equal(pc.floor(double), double), pc.less_equal(pc.abs(double), WHOLE_DOUBLE_MAX)
    )
    whole = pc.if_else(is_whole, double, pa.scalar(None, pa.float64())).cast(_I64)
    number = pc.coalesce(pc.struct_field(values, "int_value"), whole, digits)
    limit = 2**31 - 1 if pa.types.is_int32(to) else 2**63 - 1
    misfit = pc.or_(pc.less(number, 0), pc.greater(number, limit))
    return without(number, misfit).cast(to)


def _only_texts(lists: pa.Array) -> pa.Array:
    """The text of each list that holds one element, as bytes; null for all other lists."""
    elements = Entries(lists)
    is_alone = np.asarray(pc.fill_null(pc.equal(pc.list_value_length(lists), 1), fill_value=False))
    alone = np.flatnonzero(is_alone[elements.rows])
    return spread(elements.field("string_value"), elements.rows, alone, len(lists))
