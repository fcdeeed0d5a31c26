from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from envoy.config.core.v3 import address_pb2
from envoy.data.accesslog.v3 import accesslog_pb2
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.addresses import read_addresses
from meshtrail.sources.als_schema import ADDRESSES
from tests.als_messages import length_delimited
from tests.als_records import derive_both, entry


def socket(ip: str, port: int) -> bytes:
    address = address_pb2.Address(socket_address={"address": ip, "port_value": port})
    encoded: bytes = address.SerializeToString()
    return encoded


PEER = socket("10.0.0.5", 40001)
BAD_UTF8 = PEER.replace(b"10.0.0.5", b"10.0.0.\xff")
PIPE = address_pb2.Address(pipe={"path": "/run/x"}).SerializeToString()


def read(*encoded: bytes | None) -> list[tuple[Any, Any, Any]]:
    (address,) = read_addresses({"peer": pa.array(encoded, pa.binary())}).values()
    columns = (address.ip, address.port, address.problem)
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def test_ip_and_port_stand_with_each_record_of_the_connection() -> None:
    other = socket("fd00::1", 443)
    assert read(PEER, other, PEER) == [
        ("10.0.0.5", 40001, None),
        ("fd00::1", 443, None),
        ("10.0.0.5", 40001, None),
    ]


@pytest.mark.parametrize(
    ("encoded", "wanted"),
    [
        (None, (None, None, None)),
        (b"", (None, None, None)),
        (PIPE, (None, None, None)),
        (socket("", 80), (None, None, None)),
        (socket("10.0.0.5", 0), ("10.0.0.5", 0, None)),
        (socket("10.0.0.5", 2**31), ("10.0.0.5", None, None)),
        (b"\xff", (None, None, "peer: not a protobuf message")),
        (BAD_UTF8, (None, None, "peer: invalid UTF-8 in a string")),
    ],
)
def test_what_is_no_address_says_nothing_and_what_is_no_message_says_why(
    encoded: bytes | None, wanted: tuple[Any, Any, Any]
) -> None:
    assert read(encoded, PEER) == [wanted, ("10.0.0.5", 40001, None)]


def test_each_address_of_a_record_is_its_own() -> None:
    found = read_addresses(
        {
            "one": pa.array([PEER, b"\xff"], pa.binary()),
            "two": pa.array([b"\xff", PEER], pa.binary()),
        }
    )
    assert found["one"].ip.to_pylist() == ["10.0.0.5", None]
    assert found["two"].ip.to_pylist() == [None, "10.0.0.5"]
    assert found["one"].problem.to_pylist() == [None, "one: not a protobuf message"]
    assert found["two"].problem.to_pylist() == ["two: not a protobuf message", None]


def record(addresses: list[bytes]) -> bytes:
    """An HTTP record with these bytes as its addresses, each as often as it stands there."""
    fields = accesslog_pb2.AccessLogCommon.DESCRIPTOR.fields_by_name
    parts = [
        length_delimited(fields[name].number, data)
        for name, data in zip((*ADDRESSES, *ADDRESSES), addresses, strict=False)
    ]
    return length_delimited(1, b"".join(parts))


def test_of_an_address_that_stands_twice_the_last_counts_whole() -> None:
    row = derive_both(entry(record([PEER, b"", b"", b"", socket("", 7)])))[0]
    assert (row["src_ip"], row["src_port"]) == (None, None)


@given(
    st.lists(
        st.lists(
            st.sampled_from([PEER, PIPE, BAD_UTF8, b"", b"\xff"])
            | st.binary(max_size=24)
            | st.builds(
                lambda at, byte: PEER[:at] + bytes([byte]) + PEER[at + 1 :],
                st.integers(0, len(PEER) - 1),
                st.integers(0, 255),
            ),
            max_size=8,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_both_mappers_agree_on_any_bytes_of_addresses(cases: list[list[bytes]]) -> None:
    derive_both(*(entry(record(addresses), seq=seq) for seq, addresses in enumerate(cases, 1)))
