"""Sends recorded frames to an access log service over many streams: a process of its own.

    python -m bench.harness.sender RECORDING PORT [--seconds S] [--rate ENTRIES_PER_S] [--streams N]

Each stream speaks as one of the recorded proxies: it opens with that proxy's identifier and then
carries frames of that proxy only, byte for byte as recorded but for the ids (see ``frames``).
Prints ``ready`` when it begins, and a JSON object when it has sent for the time given; then it
waits until all of it has arrived. What is due is sent in bursts, one every 5 ms: what the load
itself takes of the two cores is missing to what is measured (see ``http2_connection``).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from envoy.service.accesslog.v3 import als_pb2

from bench.harness.frames import Recording, read_recording, split_identifier
from bench.harness.http2_connection import Http2Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.harness.http2_connection import Stream

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
STREAMS_DEFAULT = 32
SLEEP_S_MIN = 0.005
SLEEP_S_MAX = 1.0
"""At the lowest rates: what the server asks meanwhile is answered within this time."""
END_S_MAX = 120.0


class Pausing(Protocol):
    """What sends, or does nothing for a while."""

    def pause(self, seconds: float) -> None:
        """Do nothing for that long, but for what is queued and what has come."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame ready to send: its stream and place, and the records in it."""

    recorded_stream: int
    start: int
    end: int
    entries_count: int
    entries_bytes: int
    is_http: bool


@dataclass(slots=True)
class Sent:
    """How much was sent so far."""

    entries_count: int = 0
    entries_bytes: int = 0
    frames_count: int = 0
    frames_bytes: int = 0
    passes_count: int = 0

    def add(self, frame: Outgoing) -> None:
        """Count a frame."""
        self.entries_count += frame.entries_count
        self.entries_bytes += frame.entries_bytes
        self.frames_count += 1
        self.frames_bytes += frame.end - frame.start

    def report(self, *, elapsed_s: float, cpu_s: float, streams_count: int) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "entries_count": self.entries_count,
            "entries_bytes": self.entries_bytes,
            "frames_count": self.frames_count,
            "frames_bytes": self.frames_bytes,
            "passes_count": self.passes_count,
            "streams_count": streams_count,
            "elapsed_s": round(elapsed_s, 3),
            "entries_per_s": round(self.entries_count / elapsed_s),
            "cpu_us_per_entry": round(cpu_s / self.entries_count * 1e6, 2),
        }


def plan_frames(
    recording: Recording, *, frames_max: int | None = None
) -> tuple[list[Outgoing], dict[int, bytes]]:
    """Count the records of every frame, or of the first few, before the clock runs.

    Returns:
        The frames without identifiers, in recorded order, and each recorded stream's identifier.
    """
    identifiers: dict[int, bytes] = {}
    planned = []
    for frame in recording.frames[:frames_max]:
        data = recording.data[frame.start : frame.end].tobytes()
        identifier, rest = split_identifier(data)
        if identifier:
            identifiers[frame.stream] = identifier
        message = als_pb2.StreamAccessLogsMessage.FromString(rest)
        records = [*message.http_logs.log_entry, *message.tcp_logs.log_entry]
        planned.append(
            Outgoing(
                frame.stream,
                frame.end - len(rest),
                frame.end,
                len(records),
                sum(record.ByteSize() for record in records),
                message.HasField("http_logs"),
            )
        )
    return planned, identifiers


def send(
    recording: Recording, *, port: int, seconds: float, rate: float, streams_count: int
) -> None:
    """Send for ``seconds``, at ``rate`` entries a second or, when that is 0, as fast as they go.

    Prints the report once the time is over, then waits until every stream has ended.

    Raises:
        ConnectionError: the server is gone, or takes no more on a stream.
        TimeoutError: it has not taken everything in ``END_S_MAX``.
    """
    planned, identifiers = plan_frames(recording)
    with Http2Connection(port) as connection:
        streams = {
            recorded_stream: [connection.open_stream(METHOD) for _ in range(streams_count)]
            for recorded_stream in identifiers
        }
        for recorded_stream, opened in streams.items():
            for stream in opened:
                connection.send(stream, memoryview(identifiers[recorded_stream]))
        connection.flush()
        print("ready", flush=True)
        frames = repeat(recording, planned, before_pass=connection.flush)
        report = _send_frames(
            connection, streams, frames, data=recording.data.data, seconds=seconds, rate=rate
        )
        print(json.dumps(report), flush=True)
        for stream in itertools.chain.from_iterable(streams.values()):
            connection.finish_stream(stream)
        # Closing the connection would drop what is on its way; each stream's end says it arrived.
        connection.wait_for_ends(seconds_max=END_S_MAX)


def _send_frames(
    connection: Http2Connection,
    streams: dict[int, list[Stream]],
    frames: Iterator[tuple[int, Outgoing]],
    *,
    data: memoryview,
    seconds: float,
    rate: float,
) -> dict[str, Any]:
    """Send until the time is over; returns the report."""
    turns = {recorded: itertools.cycle(opened) for recorded, opened in streams.items()}
    sent = Sent()
    started, started_cpu = time.monotonic(), time.process_time()
    for pass_number, frame in frames:
        sent.passes_count = pass_number + 1
        if rate:
            wait_for_turn(connection, sent.entries_count / rate, started)
        if time.monotonic() - started >= seconds:
            break
        connection.send(next(turns[frame.recorded_stream]), data[frame.start : frame.end])
        sent.add(frame)
    connection.flush()
    elapsed_s, cpu_s = time.monotonic() - started, time.process_time() - started_cpu
    streams_count = sum(map(len, streams.values()))
    return sent.report(elapsed_s=elapsed_s, cpu_s=cpu_s, streams_count=streams_count)


def repeat(
    recording: Recording, planned: list[Outgoing], *, before_pass: Callable[[], None]
) -> Iterator[tuple[int, Outgoing]]:
    """Every frame with the number of its pass, without end.

    Args:
        recording: whose ids are overwritten in place between two passes.
        planned: the frames of a pass.
        before_pass: called before that, when what was sent must have left the recording.
    """
    for pass_number in itertools.count():
        if pass_number:
            before_pass()
            recording.vary_ids(pass_number)
        for frame in planned:
            yield pass_number, frame


def wait_for_turn(connection: Pausing, due_s: float, started: float) -> None:
    """Return when it is so long since ``started``, or will be in a moment."""
    while (ahead_s := due_s - (time.monotonic() - started)) > SLEEP_S_MIN:
        connection.pause(min(ahead_s, SLEEP_S_MAX))


def main() -> None:
    """Read the recording and send it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument(
        "--streams", type=int, default=STREAMS_DEFAULT, help="for each recorded log"
    )
    options = parser.parse_args()
    try:
        send(
            read_recording(options.recording),
            port=options.port,
            seconds=options.seconds,
            rate=options.rate,
            streams_count=options.streams,
        )
    except (ConnectionError, TimeoutError) as error:
        sys.exit(f"sender: {error}")


if __name__ == "__main__":
    main()
