from __future__ import annotations

import errno
import mmap
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from meshtrail.app import table_channel
from meshtrail.app.table_channel import TableChannel
from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


Pair = tuple[TableChannel, TableChannel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    channel, other = TableChannel.pair()
    both = channel, TableChannel(other)
    yield both
    for end in both:
        end.close()


def test_a_table_arrives_with_its_metadata(pair: Pair) -> None:
    here, there = pair
    table = pa.table(
        {"text": ["a", None, "é"], "bytes": [b"\0", b"", None]}, metadata={"start": "7"}
    )
    here.send(table)
    got = there.receive()
    assert got is not None
    assert got.equals(table, check_metadata=True)


def test_what_was_sliced_off_is_not_sent(pair: Pair) -> None:
    here, there = pair
    big = pa.table({"number": pa.array(range(1_000_000))})
    here.send(big.slice(999_998))
    got = there.receive()
    assert got is not None
    assert got.to_pydict() == {"number": [999_998, 999_999]}
    assert got.get_total_buffer_size() < 10_000


def test_sending_never_waits_for_the_reader_and_the_order_is_kept(pair: Pair) -> None:
    here, there = pair
    large = b"x" * (1 << 20)
    for number in range(20):
        here.send(pa.table({"number": [number], "large": [large]}))
    there.send(pa.table({"answer": [1]}))
    numbers = []
    for _ in range(20):
        got = there.receive()
        assert got is not None
        assert got.column("large").to_pylist() == [large]
        numbers += got.column("number").to_pylist()
    assert numbers == list(range(20))
    answer = here.receive()
    assert answer is not None
    assert answer.to_pydict() == {"answer": [1]}


def test_a_table_outlives_its_channel(pair: Pair) -> None:
    here, there = pair
    here.send(pa.table({"number": [1, 2, 3]}))
    got = there.receive()
    here.close()
    there.close()
    assert got is not None
    assert got.column("number").to_pylist() == [1, 2, 3]


def test_what_was_sent_before_the_end_is_received_and_then_the_end(pair: Pair) -> None:
    here, there = pair
    here.send(pa.table({"number": [1]}))
    here.close()
    assert there.receive() is not None
    assert there.receive() is None
    with pytest.raises(UnavailableError, match="other end is gone"):
        there.send(pa.table({"number": [2]}))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_no_descriptor_and_no_mapping_stays_behind(pair: Pair) -> None:
    here, there = pair

    def open_count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    def mapped() -> int:
        return Path("/proc/self/maps").read_text(encoding="utf-8").count("meshtrail-table")

    before = open_count()
    got = None
    for _ in range(50):
        here.send(pa.table({"number": [1]}))
        got = there.receive()
    assert mapped() == 1
    del got
    assert mapped() == 0
    assert open_count() == before


def test_a_table_for_which_there_is_no_room_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    here, there = pair
    here.send(pa.table({"number": [1]}))
    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(UnavailableError, match="take a table over: Cannot allocate memory"):
        there.receive()
    monkeypatch.setattr(table_channel, "_open_memory", refuse)
    with pytest.raises(UnavailableError, match="hand over a table: Cannot allocate memory"):
        here.send(pa.table({"number": [1]}))


def test_a_process_without_a_descriptor_left_says_so(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    here.send(pa.table({"number": [1]}))
    # What the kernel does when there is no room: it drops the descriptor and gives the byte.
    (byte, fds, *rest) = socket.recv_fds(there._socket, 1, 1)
    os.close(fds[0])
    monkeypatch.setattr(socket, "recv_fds", lambda *_: (byte, [], *rest))
    with pytest.raises(UnavailableError, match="too many open files"):
        there.receive()
