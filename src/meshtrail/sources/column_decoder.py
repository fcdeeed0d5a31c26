"""``ptars`` for one message type: a column of protobuf bytes to nested Arrow columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptars import HandlerPool

if TYPE_CHECKING:
    import pyarrow as pa
    from google.protobuf.descriptor import Descriptor


class ColumnDecoder:
    """Decodes messages of one type that upb has accepted.

    Of others ptars takes some that are no protobuf, and 100,000 nested groups exhaust its stack,
    which ends the process.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self._handler = HandlerPool([descriptor.file]).get_for_message(descriptor)

    def decode(self, messages: pa.Array) -> pa.RecordBatch:
        """Decode a column of messages.

        Args:
            messages: binary[n].

        Raises:
            ValueError: ptars refuses at least one; it does not say which.
        """
        try:
            return self._handler.array_to_record_batch(messages)
        except BaseException as error:
            # A Rust panic is no Exception, and its class cannot be imported.
            if type(error).__name__ == "PanicException":
                raise ValueError(f"ptars panicked: {error}") from error
            raise
