"""Fields that a text says as ``key=value``, blanks between them, as columns.

A value without blanks stands as it is, any other in quotes as Rust's ``Debug`` writes it, so what
it holds is escaped and no part of it can pass for a field. Of equal keys the first counts. A text
of any other shape says nothing at all: what its end means would be a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

FIELDS_COUNT_MAX: Final = 256
"""Fields of a text; one with more is not read."""

_S: Final = pa.string()
_BLANK, _EQUALS, _QUOTE = b' ="'
_IS_UNUSUAL: Final = r"\\|^ | $"
_FIELD: Final = re.compile(r'([^ ="]+)=(?:"((?:[^"\\]|\\.)*+)"|([^ "]*+))(?: (?!\Z)|\Z)', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-f]{1,6})\}|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", '"': '"', "'": "'", "\\": "\\"}
_SURROGATES: Final = range(0xD800, 0xE000)
_CODE_MAX: Final = 0x10FFFF


class KeyValues:
    """The fields of some texts.

    Attributes:
        bad: bool[n], texts that are no fields.
    """

    def __init__(self, texts: pa.Array) -> None:
        """Take texts apart.

        Args:
            texts: string[n]; null and empty ones have no fields.

        Cost: 0.6 µs for each field; twice that in a text with a backslash in it.
        """
        self._rows_count = len(texts)
        self.bad: npt.NDArray[np.bool_] = np.zeros(len(texts), dtype=np.bool_)
        usual, others = _sort_by_shape(texts)
        tokens = _Tokens(texts, usual)
        others = np.union1d(others, tokens.bad_rows)
        good = ~np.isin(tokens.owners, tokens.bad_rows)
        rows, keys, values = self._read_others(texts, others)
        self._rows = np.concatenate([tokens.owners[good], rows])
        self._keys = pa.concat_arrays([tokens.keys.filter(pa.array(good)), keys])
        self._values = pa.concat_arrays([tokens.values.filter(pa.array(good)), values])

    def text(self, key: str) -> pa.Array:
        """A field of each: string[n], null where it has none of this name."""
        found = np.flatnonzero(np.asarray(pc.equal(self._keys, key)))
        # The last that is put down counts, and of a text that has to be the first.
        return spread(self._values, self._rows, found[::-1], self._rows_count)

    def _read_others(self, texts: pa.Array, rows: Numbers) -> tuple[Numbers, pa.Array, pa.Array]:
        """The fields of texts that are not of the usual shape, one by one."""
        owners: list[int] = []
        keys: list[str] = []
        values: list[str] = []
        for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
            fields = list(_read_fields(text))
            if not fields or fields[-1] is None:
                self.bad[row] = True
                continue
            told = [field for field in fields if field is not None]
            owners += [row] * len(told)
            keys += [key for key, _ in told]
            values += [value for _, value in told]
        return np.array(owners, dtype=np.int64), pa.array(keys, _S), pa.array(values, _S)


def unescape(text: str) -> str:
    """What stands between quotes, as it was before Rust's ``Debug`` wrote it."""
    return _ESCAPE.sub(_read_escape, text) if "\\" in text else text


def _read_escape(found: re.Match[str]) -> str:
    if found[1] is None:
        return _ESCAPED.get(found[2], found[0])
    code = int(found[1], 16)
    return found[0] if code > _CODE_MAX or code in _SURROGATES else chr(code)


def _sort_by_shape(texts: pa.Array) -> tuple[Numbers, Numbers]:
    """Which texts whole columns can be made of, and which have to be looked at one by one."""
    filled = np.asarray(pc.fill_null(pc.not_equal(texts, ""), fill_value=False))
    odd = pc.bit_wise_and(pc.count_substring(texts, '"'), 1)
    many = pc.greater(pc.count_substring(texts, " "), FIELDS_COUNT_MAX - 1)
    unusual = pc.or_(pc.match_substring_regex(texts, _IS_UNUSUAL), pc.or_(pc.equal(odd, 1), many))
    is_unusual = np.asarray(pc.fill_null(unusual, fill_value=False))
    return np.flatnonzero(filled & ~is_unusual), np.flatnonzero(filled & is_unusual)


class _Tokens:
    """What stands between the blanks of texts that have whole pairs of quotes and no escapes.

    Attributes:
        owners: int64[k], the row of each field.
        keys: string[k].
        values: string[k], without their quotes.
        bad_rows: rows of which something is no field; what is read of them means nothing.
    """

    def __init__(self, texts: pa.Array, rows: Numbers) -> None:
        chosen = texts.take(pa.array(rows))
        offsets = np.frombuffer(chosen.buffers()[1], dtype=np.int32)[: len(chosen) + 1]
        self._buffer = chosen.buffers()[2] or pa.py_buffer(b"")
        data = np.frombuffer(self._buffer, dtype=np.uint8)[: offsets[-1] if len(chosen) else 0]
        self._quotes = np.flatnonzero(data == _QUOTE)
        begins, ends = self._cut(data, offsets.astype(np.int64))
        equals, has_equals = self._find_equals(data, begins, ends)
        inner, outer, is_value = self._find_values(data, begins, equals, ends)
        at = np.searchsorted(offsets, begins, side="right") - 1
        self.owners: Numbers = rows[at]
        good = has_equals & (equals > begins) & is_value
        self.bad_rows: Numbers = np.unique(self.owners[~good])
        self.keys = self._gather(begins, np.where(good, equals, begins))
        self.values = self._gather(np.where(good, inner, begins), np.where(good, outer, begins))

    def _cut(self, data: npt.NDArray[np.uint8], offsets: Numbers) -> tuple[Numbers, Numbers]:
        """Where each token begins and ends: blanks within quotes part nothing."""
        blanks = np.flatnonzero(data == _BLANK)
        blanks = blanks[np.searchsorted(self._quotes, blanks) % 2 == 0]
        # Both are in order already, which this way of sorting makes use of.
        begins = np.sort(np.concatenate([offsets[:-1], blanks + 1]), kind="stable")
        ends = np.sort(np.concatenate([offsets[1:], blanks]), kind="stable")
        return begins, ends

    def _find_equals(
        self, data: npt.NDArray[np.uint8], begins: Numbers, ends: Numbers
    ) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """The first equals sign of each token, and whether it has one."""
        equals = np.append(np.flatnonzero(data == _EQUALS), len(data))
        first = equals[np.searchsorted(equals, begins)]
        return first, first < ends

    def _find_values(
        self, data: npt.NDArray[np.uint8], begins: Numbers, equals: Numbers, ends: Numbers
    ) -> tuple[Numbers, Numbers, npt.NDArray[np.bool_]]:
        """Where each value begins and ends, without its quotes, and whether it is one."""
        before, behind = (np.searchsorted(self._quotes, place) for place in (begins, equals))
        quotes_count = np.searchsorted(self._quotes, ends) - behind
        starts = data[np.minimum(equals + 1, len(data) - 1)] == _QUOTE
        stops = data[ends - 1] == _QUOTE
        is_quoted = (quotes_count == 2) & starts & stops  # noqa: PLR2004 - both ends
        is_value = (before == behind) & (is_quoted | (quotes_count == 0))
        return equals + 1 + is_quoted, ends - is_quoted, is_value

    def _gather(self, begins: Numbers, ends: Numbers) -> pa.Array:
        """The texts from each beginning to its end: string[k]."""
        if not len(begins):
            return pa.array([], _S)
        # Texts and what stands between them, one behind the other: every second is one.
        bounds = np.column_stack([begins, ends]).ravel().astype(np.int32)
        buffers = [None, pa.py_buffer(bounds.tobytes()), self._buffer]
        pieces = pa.Array.from_buffers(_S, len(bounds) - 1, buffers)
        return pieces.take(pa.array(np.arange(0, len(bounds) - 1, 2)))


def _read_fields(text: str) -> Iterator[tuple[str, str] | None]:
    """The fields of a text in order; None, and nothing more, where it goes on otherwise."""
    end = 0
    for _ in range(FIELDS_COUNT_MAX):
        found = _FIELD.match(text, end)
        if found is None:
            break
        quoted = found[2]
        yield found[1], found[3] if quoted is None else unescape(quoted)
        end = found.end()
        if end == len(text):
            return
    yield None
