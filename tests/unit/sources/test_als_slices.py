from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import json_format

from meshtrail.errors import JournalDamageError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_frame import slice_frame
from meshtrail.sources.als_slices import slice_messages
from tests.als_records import http_bytes, inbound, outbound, tcp, tcp_bytes
from tests.campaigns.wire import encode_varint

HTTP, TCP = PayloadFormat.ALS_HTTP, PayloadFormat.ALS_TCP
UNKNOWN_GROUP = b"\x0b\x00\x00\x0c"
"""What upb takes and ptars does not."""


def message_of(*records: dict[str, Any], kind: str = "httpLogs") -> bytes:
    body = {kind: {"logEntry": list(records)}}
    message = json_format.ParseDict(body, als_pb2.StreamAccessLogsMessage())
    data: bytes = message.SerializeToString()
    return data


def sliced(
    *messages: bytes, counts: list[int], payload_format: PayloadFormat = HTTP
) -> list[bytes]:
    column = pa.array(messages, pa.binary())
    records = slice_messages(column, payload_format, np.array(counts, np.int64))
    return list(records.to_pylist())


def test_records_come_out_as_the_bytes_that_they_were_in_order() -> None:
    messages = (message_of(inbound(), outbound()), message_of(), message_of(inbound()))
    wanted = [http_bytes(inbound()), http_bytes(outbound()), http_bytes(inbound())]
    assert sliced(*messages, counts=[2, 0, 1]) == wanted
    assert sliced(message_of(tcp(), kind="tcpLogs"), counts=[1], payload_format=TCP) == [
        tcp_bytes(tcp())
    ]


def test_records_that_do_not_decode_are_sliced_all_the_same() -> None:
    records = b"\x0a\x01\xff" + b"\x0a\x00" + b"\x0a\x02\x0b\x0b"
    data = b"\x12" + encode_varint(len(records)) + records
    assert sliced(data, counts=[3]) == slice_frame(data, HTTP) == [b"\xff", b"", b"\x0b\x0b"]


def test_a_message_that_only_protobuf_takes_is_sliced_with_its_neighbours() -> None:
    strange = UNKNOWN_GROUP + message_of(inbound())
    wanted = [http_bytes(inbound()), http_bytes(outbound())]
    assert sliced(strange, message_of(outbound()), counts=[1, 1]) == wanted


def test_two_parts_of_one_kind_are_read_as_one() -> None:
    data = message_of(inbound()) + message_of(outbound())
    assert sliced(data, counts=[2]) == [http_bytes(inbound()), http_bytes(outbound())]


@pytest.mark.parametrize("counts", [[0], [2]])
def test_another_count_than_the_collectors_is_damage(counts: list[int]) -> None:
    with pytest.raises(JournalDamageError, match="holds 1 records"):
        sliced(message_of(inbound()), counts=counts)


def test_a_message_that_is_none_is_damage() -> None:
    with pytest.raises(JournalDamageError, match="not an access log message"):
        sliced(message_of(inbound()), b"\xff", counts=[1, 1])
