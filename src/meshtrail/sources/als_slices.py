"""Access log messages to their records, as columns: the bytes of each repeated element, sliced.

The collector counted the records of each message with upb when it arrived; a column that does not
slice to the same counts is cut message by message with upb, so the two can never disagree about
``seq``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import InputError, JournalDamageError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_frame import frame_descriptor, slice_frame
from meshtrail.sources.column_decoder import ColumnDecoder

if TYPE_CHECKING:
    import numpy.typing as npt

_FIELDS: Final = {PayloadFormat.ALS_HTTP: "http_logs", PayloadFormat.ALS_TCP: "tcp_logs"}


def slice_messages(
    messages: pa.Array, payload_format: PayloadFormat, counts: npt.NDArray[np.int64]
) -> pa.Array:
    """The records of access log messages, in order.

    Args:
        messages: binary[n], whole ``StreamAccessLogsMessage``.
        payload_format: which of their records, HTTP or TCP.
        counts: int64[n], how many the collector counted in each.

    Returns:
        binary[sum(counts)].

    Raises:
        JournalDamageError: a message does not hold what the collector counted, so it is not the
            message that was journaled.
    """
    try:
        batch = _decoder().decode(messages)
    except ValueError:
        return _slice_one_by_one(messages, payload_format, counts)
    lists = pc.struct_field(batch.column(_FIELDS[payload_format]), "log_entry")
    found = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)
    if not np.array_equal(found, counts):
        return _slice_one_by_one(messages, payload_format, counts)
    return pc.list_flatten(lists)


def _slice_one_by_one(
    messages: pa.Array, payload_format: PayloadFormat, counts: npt.NDArray[np.int64]
) -> pa.Array:
    records: list[bytes] = []
    for message, count in zip(messages.to_pylist(), counts.tolist(), strict=True):
        try:
            found = slice_frame(message, payload_format)
        except InputError as error:
            raise JournalDamageError(f"a journaled message is {error.message}") from error
        if len(found) != count:
            raise JournalDamageError(
                f"a journaled access log message of {len(message)} bytes holds {len(found)} "
                f"records, {count} were counted when it arrived",
                want=count,
                got=len(found),
            )
        records += found
    return pa.array(records, pa.binary())


@cache
def _decoder() -> ColumnDecoder:
    return ColumnDecoder(frame_descriptor())
