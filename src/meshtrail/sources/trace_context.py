"""Trace ids out of the headers that carry them: W3C traceparent first, then B3.

Source: W3C Trace Context level 1, section 3.2; openzipkin b3-propagation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import decode_hex, fixed_binary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

TRACEPARENT: Final = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx"
_B3_SINGLE: Final = ("x" * 32 + "-" + "x" * 16, "x" * 16 + "-" + "x" * 16)
_VERSION_INVALID: Final = 0xFF
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8


def read_trace(headers: Mapping[str, pa.Array]) -> tuple[pa.Array, pa.Array]:
    """Trace and span ids of requests.

    Args:
        headers: string[n] for each of ``traceparent``, ``b3``, ``x-b3-traceid``, ``x-b3-spanid``.

    Returns:
        binary(16)[n], binary(8)[n]: from the first header that carries a valid id; ids of all zeros
        and version ff are not valid; 64-bit trace ids are padded on the left.
    """
    rows_count = len(headers["traceparent"])
    trace = _Ids(rows_count, _TRACE_BYTES)
    span = _Ids(rows_count, _SPAN_BYTES)
    cells, good = _cells(headers["traceparent"], TRACEPARENT)
    good &= cells[:, 0] != _VERSION_INVALID
    _offer(trace, span, cells[:, 1:17], cells[:, 17:25], good)
    if headers["b3"].null_count < rows_count:
        _offer_b3_single(trace, span, headers["b3"])
    if headers["x-b3-traceid"].null_count < rows_count:
        _offer_b3(trace, span, headers)
    return trace.column(), span.column()


def _offer_b3_single(trace: _Ids, span: _Ids, header: pa.Array) -> None:
    """``b3: trace-span[-sampled[-parent]]``; only the two ids count."""
    for template in _B3_SINGLE:
        length = len(template)
        cells, good = _cells(pc.utf8_slice_codeunits(header, 0, length), template)
        behind = pc.utf8_slice_codeunits(header, length, length + 1)
        good &= np.asarray(pc.is_in(behind, pa.array(["", "-"])))
        width = cells.shape[1] - _SPAN_BYTES
        _offer(trace, span, _padded(cells[:, :width]), cells[:, width:], good)


def _offer_b3(trace: _Ids, span: _Ids, headers: Mapping[str, pa.Array]) -> None:
    """``x-b3-traceid`` and ``x-b3-spanid``; a trace id without a valid span id still counts."""
    span_cells, span_good = _cells(pc.utf8_lower(headers["x-b3-spanid"]), "x" * 16)
    for digits in (32, 16):
        cells, good = _cells(pc.utf8_lower(headers["x-b3-traceid"]), "x" * digits)
        usable = good & span_good & span_cells.any(axis=1)
        _offer(trace, span, _padded(cells), span_cells, usable)
        _offer(trace, span, _padded(cells), None, good)


class _Ids:
    """Ids found so far."""

    def __init__(self, rows_count: int, width: int) -> None:
        self.cells: npt.NDArray[np.uint8] = np.zeros((rows_count, width), dtype=np.uint8)
        self.found: npt.NDArray[np.bool_] = np.zeros(rows_count, dtype=np.bool_)

    def put(self, cells: npt.NDArray[np.uint8], rows: npt.NDArray[np.bool_]) -> None:
        self.cells[rows] = cells[rows]
        self.found |= rows

    def column(self) -> pa.Array:
        return fixed_binary(self.cells, valid=self.found)


def _offer(
    trace: _Ids,
    span: _Ids,
    trace_cells: npt.NDArray[np.uint8],
    span_cells: npt.NDArray[np.uint8] | None,
    good: npt.NDArray[np.bool_],
) -> None:
    """Take ids for the rows that have none yet."""
    usable = good & ~trace.found & trace_cells.any(axis=1)
    if span_cells is not None:
        usable &= span_cells.any(axis=1)
        span.put(span_cells, usable)
    trace.put(trace_cells, usable)


def _cells(column: pa.Array, template: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Decoded bytes of the rows that have the template's shape, zeros elsewhere."""
    decoded, good = decode_hex(column, template)
    width = decoded.type.byte_width
    data = np.frombuffer(decoded.buffers()[1], dtype=np.uint8)
    return data.reshape(len(column), width), good.copy()


def _padded(cells: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Trace ids of 8 bytes, padded on the left to 16."""
    missing = _TRACE_BYTES - cells.shape[1]
    return np.pad(cells, ((0, 0), (missing, 0))) if missing else cells
