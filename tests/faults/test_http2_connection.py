"""The load's HTTP/2 client against a server that opens windows late, resets, or goes away."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import pytest

from bench.harness import http2_frames as http2
from tests.http2_peer import WAIT_S_MAX, connected_peer, is_data, payload_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.harness.http2_connection import Stream
    from tests.http2_peer import Peer

WINDOW = http2.WINDOW_BYTES_DEFAULT
FRAME = http2.FRAME_BYTES_MAX_DEFAULT
PREFIX = 5
HELD_S = 0.4


@pytest.fixture
def peer() -> Iterator[Peer]:
    with connected_peer() as peer:
        yield peer


def message_of(size: int) -> bytes:
    return bytes(at % 251 for at in range(size))


def on_wire(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def is_ping(frame: http2.Frame) -> bool:
    return frame.frame_type == http2.PING


def send_on(peer: Peer, stream: Stream, *messages: bytes) -> float:
    """Send and flush; returns the seconds of CPU that it took."""
    started = time.thread_time()
    for message in messages:
        peer.connection.send(stream, memoryview(message))
    peer.connection.flush()
    return time.thread_time() - started


def open_streams(peer: Peer, count: int) -> list[Stream]:
    streams = [peer.connection.open_stream("/service/method") for _ in range(count)]
    peer.connection.flush()
    peer.read_preface()
    return streams


def test_stream_waits_for_its_own_window_while_the_connection_has_room(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    message = message_of(WINDOW + 1000)
    peer.open_window(1 << 20)
    sending = peer.run(lambda: send_on(peer, stream, message))
    frames = peer.read_data(WINDOW)
    assert peer.has_nothing_to_read()
    peer.open_window(1, stream=1)
    frames += peer.read_data(1)
    assert peer.has_nothing_to_read()
    assert not sending.done()
    peer.open_window(2000, stream=1)
    frames += peer.read_data(1000 + PREFIX - 1)
    sending.result(WAIT_S_MAX)
    assert payload_of(frames, stream=1) == on_wire(message)
    assert max(len(frame.payload) for frame in frames) == FRAME


def test_all_streams_wait_for_the_window_of_the_connection(peer: Peer) -> None:
    first, second = open_streams(peer, 2)
    message = message_of(40_000)
    sending = peer.run(lambda: send_on(peer, first, message))
    sending.result(WAIT_S_MAX)
    sending = peer.run(lambda: send_on(peer, second, message))
    frames = peer.read_data(WINDOW)
    assert peer.has_nothing_to_read()
    peer.open_window(1 << 20)
    frames += peer.read_data(2 * (len(message) + PREFIX) - WINDOW)
    sending.result(WAIT_S_MAX)
    assert payload_of(frames, stream=1) == payload_of(frames, stream=3) == on_wire(message)


def test_other_streams_wait_for_the_one_whose_turn_it_is(peer: Peer) -> None:
    first, second = open_streams(peer, 2)
    peer.open_window(1 << 20)
    large, small = message_of(WINDOW + 100), message_of(50)

    def send_both() -> None:
        send_on(peer, first, large)
        send_on(peer, second, small)

    sending = peer.run(send_both)
    frames = peer.read_data(WINDOW)
    assert peer.has_nothing_to_read()
    peer.open_window(200, stream=1)
    frames += peer.read_data(100 + PREFIX + len(small) + PREFIX)
    sending.result(WAIT_S_MAX)
    assert payload_of(frames, stream=1) == on_wire(large)
    assert payload_of(frames, stream=3) == on_wire(small)


def test_prefix_may_be_torn_by_the_smallest_window(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    filling, message = message_of(WINDOW - 2 * PREFIX + 3), message_of(10)
    peer.open_window(1 << 20)
    sending = peer.run(lambda: send_on(peer, stream, filling, message))
    # Two bytes of the second message's prefix still fit; then comes one byte at a time.
    frames = peer.read_data(WINDOW)
    for _ in range(PREFIX + len(message) - 2):
        peer.open_window(1, stream=1)
        frames += peer.read_data(1)
    sending.result(WAIT_S_MAX)
    assert payload_of(frames, stream=1) == on_wire(filling) + on_wire(message)


def test_lowered_initial_window_counts_against_what_was_sent(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    message = message_of(WINDOW)
    peer.open_window(1 << 20)
    sending = peer.run(lambda: send_on(peer, stream, message))
    frames = peer.read_data(WINDOW)
    # The stream is now 15,535 bytes below nothing, so 15,535 more leave it closed.
    peer.set({http2.INITIAL_WINDOW_SIZE: 50_000})
    peer.open_window(WINDOW - 50_000, stream=1)
    peer.read_until(lambda frame: frame.frame_type == http2.SETTINGS)
    assert peer.has_nothing_to_read()
    peer.open_window(PREFIX, stream=1)
    frames += peer.read_data(PREFIX)
    sending.result(WAIT_S_MAX)
    assert payload_of(frames, stream=1) == on_wire(message)


def test_raised_initial_window_and_frame_size_hold_for_open_streams(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    message = message_of(200_000)
    peer.open_window(1 << 20)
    sending = peer.run(lambda: send_on(peer, stream, message))
    frames = peer.read_data(WINDOW)
    peer.set({http2.INITIAL_WINDOW_SIZE: 1 << 20, http2.MAX_FRAME_SIZE: 100_000})
    answer = peer.read_until(is_data)
    assert [frame.flags for frame in answer[:-1]] == [http2.ACK]
    frames.append(answer[-1])
    frames += peer.read_data(len(message) + PREFIX - WINDOW - 100_000)
    sending.result(WAIT_S_MAX)
    assert payload_of(frames, stream=1) == on_wire(message)
    assert len(answer[-1].payload) == 100_000


def test_ping_is_answered_by_a_sender_that_is_held_back(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    early, late = (http2.encode_frame(http2.PING, said) for said in (b"is there", b"8 bytes!"))
    peer.write(early)
    sending = peer.run(lambda: send_on(peer, stream, message_of(WINDOW)))
    answer = peer.read_until(is_ping)[-1]
    assert (answer.flags, answer.payload) == (http2.ACK, b"is there")
    for at in range(len(late)):  # a frame may come in any number of pieces
        peer.write(late[at : at + 1])
    (answer,) = peer.read_until(is_ping)
    assert (answer.flags, answer.payload) == (http2.ACK, b"8 bytes!")
    assert not sending.done()
    peer.open_window(100)
    peer.open_window(100, stream=1)
    peer.read_data(PREFIX)
    sending.result(WAIT_S_MAX)


def test_sender_that_is_held_back_uses_no_cpu(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    message = message_of(WINDOW)
    sending = peer.run(lambda: send_on(peer, stream, message))
    frames = peer.read_data(WINDOW)
    time.sleep(HELD_S)  # the time in which a sender that asks again and again would be busy
    peer.open_window(100)
    peer.open_window(100, stream=1)
    frames += peer.read_data(PREFIX)
    cpu_s = sending.result(WAIT_S_MAX)
    assert isinstance(cpu_s, float)
    assert cpu_s < HELD_S / 4
    assert payload_of(frames, stream=1) == on_wire(message)


def test_sender_whose_bytes_nobody_reads_waits_without_cpu_and_loses_none(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    peer.open_window(1 << 30)
    peer.open_window(1 << 30, stream=1)
    messages = [message_of(1 << 20)] * 8  # more than the kernel holds for a connection
    sending = peer.run(lambda: send_on(peer, stream, *messages))
    time.sleep(HELD_S)  # the time in which a sender that asks again and again would be busy
    assert not sending.done()
    frames = peer.read_data(8 * ((1 << 20) + PREFIX))
    cpu_s = sending.result(WAIT_S_MAX)
    assert isinstance(cpu_s, float)
    assert cpu_s < HELD_S / 2
    assert payload_of(frames, stream=1) == b"".join(map(on_wire, messages))


def test_bytes_that_are_changed_after_a_flush_were_sent_as_they_were(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    message = bytearray(message_of(50_000))
    as_it_was = bytes(message)

    def send_and_change() -> None:
        peer.connection.send(stream, memoryview(message))
        peer.connection.flush()
        message[:] = bytes(len(message))

    peer.run(send_and_change).result(WAIT_S_MAX)
    frames = peer.read_data(len(message) + PREFIX)
    assert payload_of(frames, stream=1) == on_wire(as_it_was)


def test_last_message_ends_its_stream_in_the_frame_that_holds_its_end(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    message = message_of(FRAME)
    connection = peer.connection
    connection.send(stream, memoryview(message), is_last=True)
    connection.flush()
    frames = peer.read_data(len(message) + PREFIX)
    assert [frame.flags for frame in frames] == [0, http2.END_STREAM]
    assert peer.has_nothing_to_read()


def test_window_of_a_stream_that_has_ended_is_nobodys(peer: Peer) -> None:
    first, second = open_streams(peer, 2)
    for stream in (first, second):
        peer.connection.finish_stream(stream)
    waiting = peer.run(lambda: peer.connection.wait_for_room(streams_max=1))
    peer.write(TRAILERS)
    peer.open_window(100, stream=1)
    peer.write(http2.encode_frame(http2.DATA, stream=3, flags=http2.END_STREAM))
    waiting.result(WAIT_S_MAX)
    assert peer.connection.open_count == 0
    assert (first.has_ended, second.has_ended) == (True, True)


RESET = http2.encode_frame(http2.RST_STREAM, (7).to_bytes(4, "big"), stream=1)
GOAWAY = http2.encode_frame(http2.GOAWAY, struct.pack(">II", 1, 11) + b"too_many_pings")
TRAILERS = http2.encode_frame(
    http2.HEADERS, b"", stream=1, flags=http2.END_HEADERS | http2.END_STREAM
)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (RESET, "reset stream 1: REFUSED_STREAM"),
        (GOAWAY, "sent the connection away: ENHANCE_YOUR_CALM 'too_many_pings'"),
        (TRAILERS, "ended stream 1 before its last message"),
    ],
    ids=["reset", "goaway", "trailers"],
)
def test_sender_ends_with_the_reason_that_the_server_gave(
    peer: Peer, said: bytes, words: str
) -> None:
    (stream,) = open_streams(peer, 1)
    sending = peer.run(lambda: send_on(peer, stream, message_of(WINDOW)))
    peer.read_data(WINDOW)
    peer.write(said)
    with pytest.raises(ConnectionError, match=words):
        sending.result(WAIT_S_MAX)


def test_sender_that_cannot_write_any_more_tells_the_reason_that_was_given(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    peer.run(lambda: send_on(peer, stream, message_of(100))).result(WAIT_S_MAX)
    peer.write(GOAWAY)
    peer.hang_up()  # with bytes that it has not read, which resets the connection
    sending = peer.run(lambda: send_on(peer, stream, message_of(100)))
    with pytest.raises(ConnectionError, match="sent the connection away: ENHANCE_YOUR_CALM"):
        sending.result(WAIT_S_MAX)


def test_sender_ends_when_the_server_is_gone(peer: Peer) -> None:
    (stream,) = open_streams(peer, 1)
    sending = peer.run(lambda: send_on(peer, stream, message_of(WINDOW)))
    peer.read_data(WINDOW)
    peer.hang_up()
    with pytest.raises(ConnectionError, match="closed the connection"):
        sending.result(WAIT_S_MAX)


def test_wait_for_ends_lasts_until_the_last_stream_has_ended(peer: Peer) -> None:
    streams = open_streams(peer, 2)
    for stream in streams:
        peer.connection.finish_stream(stream)
    waiting = peer.run(lambda: peer.connection.wait_for_ends(seconds_max=20))
    ends = peer.read_until(lambda frame: is_data(frame) and frame.stream == 3)[-2:]
    assert [frame.flags for frame in ends] == [http2.END_STREAM] * 2
    peer.write(TRAILERS, http2.encode_frame(http2.PING, b"8 bytes!"))
    peer.read_until(is_ping)
    assert not waiting.done()
    peer.write(http2.encode_frame(http2.DATA, stream=3, flags=http2.END_STREAM))
    waiting.result(WAIT_S_MAX)


def test_wait_for_ends_says_how_many_streams_have_not_ended(peer: Peer) -> None:
    for stream in open_streams(peer, 2):
        peer.connection.finish_stream(stream)
    peer.write(TRAILERS)
    with pytest.raises(TimeoutError, match="1 of 2 streams have not ended"):
        peer.connection.wait_for_ends(seconds_max=0.2)
