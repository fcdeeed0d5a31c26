from __future__ import annotations

import pyarrow as pa
import pytest

from meshtrail.sources.als_schema import http_descriptor
from meshtrail.sources.column_decoder import ColumnDecoder


class _Handler:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def array_to_record_batch(self, _: pa.Array) -> pa.RecordBatch:
        raise self.error


def decoder_that_raises(error: BaseException) -> ColumnDecoder:
    decoder = ColumnDecoder(http_descriptor())
    decoder._handler = _Handler(error)
    return decoder


def test_a_refusal_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="decode"):
        ColumnDecoder(http_descriptor()).decode(pa.array([b"", b"\xff"], pa.binary()))


def test_a_panic_of_the_decoder_is_a_value_error_too() -> None:
    panic = type("PanicException", (BaseException,), {})
    with pytest.raises(ValueError, match="panicked: slice index"):
        decoder_that_raises(panic("slice index")).decode(pa.array([b""], pa.binary()))


def test_a_real_panic_is_recognised() -> None:
    # Should a later ptars not panic on this length any more, the test above remains.
    with pytest.raises(ValueError, match=r"panicked|decode"):
        ColumnDecoder(http_descriptor()).decode(
            pa.array([b"\x0a" + b"\xff" * 9 + b"\x01"], pa.binary())
        )


def test_an_interrupt_stays_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        decoder_that_raises(KeyboardInterrupt()).decode(pa.array([b""], pa.binary()))
