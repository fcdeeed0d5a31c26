"""Sends recorded frames to an access log service over many streams: a process of its own.

    python -m bench.harness.sender RECORDING PORT [--seconds S] [--rate ENTRIES_PER_S] [--streams N]

Each stream speaks as one of the recorded proxies: it opens with that proxy's identifier and then
carries frames of that proxy only, byte for byte as recorded but for the ids (see ``frames``).
Prints ``ready`` when it begins, and a JSON object when it has sent for the time given; then it
waits until all of it has arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from envoy.service.accesslog.v3 import als_pb2

from bench.harness.frames import Recording, read_recording, split_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
STREAMS_DEFAULT = 32
SLEEP_S_MIN = 0.005
END_S_MAX = 120.0


@dataclass(slots=True)
class Sent:
    """How much was sent so far."""

    entries_count: int = 0
    entries_bytes: int = 0
    frames_count: int = 0
    passes_count: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame ready to send: its stream and place, and the records in it."""

    recorded_stream: int
    start: int
    end: int
    entries_count: int
    entries_bytes: int
    is_http: bool


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


async def send(
    recording: Recording, *, port: int, seconds: float, rate: float, streams_count: int
) -> None:
    """Send for ``seconds``, at ``rate`` entries a second or, when that is 0, as fast as they go.

    Prints the report once the time is over, then waits until every stream has ended.
    """
    planned, identifiers = plan_frames(recording)
    sent = Sent()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        # Neither serialiser nor deserialiser: the bytes are the message.
        call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD)
        streams = {stream: [call() for _ in range(streams_count)] for stream in identifiers}
        for recorded_stream, calls in streams.items():
            for one in calls:
                await one.write(identifiers[recorded_stream])
        turns = {stream: itertools.cycle(calls) for stream, calls in streams.items()}
        print("ready", flush=True)
        started, started_cpu = time.monotonic(), time.process_time()
        for frame in _repeat(recording, planned, sent):
            if rate:
                await _wait_for_turn(sent.entries_count / rate, started)
            if time.monotonic() - started >= seconds:
                break
            data = recording.data[frame.start : frame.end].tobytes()
            await next(turns[frame.recorded_stream]).write(data)
            sent.frames_count += 1
            sent.entries_count += frame.entries_count
            sent.entries_bytes += frame.entries_bytes
        elapsed_s, cpu_s = time.monotonic() - started, time.process_time() - started_cpu
        opened = list(itertools.chain.from_iterable(streams.values()))
        report = _report(sent, elapsed_s=elapsed_s, cpu_s=cpu_s, streams_count=len(opened))
        print(json.dumps(report), flush=True)
        for one in opened:
            await one.done_writing()
        # Closing the channel would drop what is on its way; each stream's end says that it arrived.
        await asyncio.wait_for(asyncio.gather(*[one.code() for one in opened]), END_S_MAX)


def _repeat(recording: Recording, planned: list[Outgoing], sent: Sent) -> Iterator[Outgoing]:
    for number in itertools.count():
        if number:
            recording.vary_ids(number)
        sent.passes_count += 1
        yield from planned


async def _wait_for_turn(due_s: float, started: float) -> None:
    ahead_s = due_s - (time.monotonic() - started)
    if ahead_s > SLEEP_S_MIN:
        await asyncio.sleep(ahead_s)


def _report(sent: Sent, *, elapsed_s: float, cpu_s: float, streams_count: int) -> dict[str, Any]:
    return {
        "entries_count": sent.entries_count,
        "entries_bytes": sent.entries_bytes,
        "frames_count": sent.frames_count,
        "passes_count": sent.passes_count,
        "streams_count": streams_count,
        "elapsed_s": round(elapsed_s, 3),
        "entries_per_s": round(sent.entries_count / elapsed_s),
        "cpu_us_per_entry": round(cpu_s / sent.entries_count * 1e6, 2),
    }


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
    asyncio.run(
        send(
            read_recording(options.recording),
            port=options.port,
            seconds=options.seconds,
            rate=options.rate,
            streams_count=options.streams,
        )
    )


if __name__ == "__main__":
    main()
