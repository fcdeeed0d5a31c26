from __future__ import annotations

import pyarrow as pa
from google.protobuf import struct_pb2

from meshtrail.model.users import JWT_FILTER
from meshtrail.sources.als_users import read_users

_ENTRIES = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))


def named(subject: str) -> bytes:
    struct = struct_pb2.Struct()
    struct.update({"payload": {"sub": subject, "iss": "i"}})
    return struct.SerializeToString()


def test_words_stand_in_the_rows_of_their_records() -> None:
    metadata = pa.array(
        [
            [{"key": "other", "value": named("x")}, {"key": JWT_FILTER, "value": named("alice")}],
            None,
            [],
            [{"key": JWT_FILTER, "value": named("x")}, {"key": JWT_FILTER, "value": b"\xff"}],
        ],
        _ENTRIES,
    )
    headers = [pa.array(["a", "", None, "d"]), pa.array(["e", "f", None, None])]
    words = read_users(metadata, headers, 4)
    assert words.user_id.to_pylist() == ["alice", None, None, None]
    assert words.issuer.to_pylist() == ["i", None, None, None]
    assert words.header.to_pylist() == ["a", "f", None, "d"]
    assert [bool(reason) for reason in words.problem.to_pylist()] == [False, False, False, True]


def test_records_without_any_metadata_name_nobody() -> None:
    words = read_users(pa.nulls(3, _ENTRIES), [pa.nulls(3, pa.string())], 3)
    assert words.user_id.null_count == words.header.null_count == 3
