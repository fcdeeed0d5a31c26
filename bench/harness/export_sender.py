"""Sends recorded OTLP exports, one call for each: a process of its own.

    python -m bench.harness.export_sender RECORDING PORT logs|spans [--http] [--seconds S]

Like ``sender``, but for OTLP, in which each export is a call of its own that is answered once it is
durable. So many calls are under way at most, and the next one goes when one has been answered. A
call that was not answered with success ends this process with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness.export_calls import GrpcCalls, HttpCalls
from bench.harness.exports import Exported, read_records
from bench.harness.frames import Recording, read_recording
from bench.harness.sender import END_S_MAX, Outgoing, Sent, repeat, wait_for_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.harness.export_calls import Calls

CONNECTIONS_DEFAULT = 8
IN_FLIGHT_DEFAULT = 32
"""On all connections together as many as ``meshtrail up`` takes at once: more are refused."""


def plan_exports(
    recording: Recording, exported: Exported, *, exports_max: int | None = None
) -> list[Outgoing]:
    """Count the records of every export, or of the first few, before the clock runs."""
    planned = []
    for frame in recording.frames[:exports_max]:
        body = recording.data[frame.start : frame.end].tobytes()
        records = [one for _, some in read_records(body, exported) for one in some]
        planned.append(
            Outgoing(
                frame.stream,
                frame.start,
                frame.end,
                len(records),
                sum(record.ByteSize() for record in records),
                is_http=exported is Exported.LOGS,
            )
        )
    return planned


def send(
    recording: Recording, calls: Calls, *, exported: Exported, seconds: float, rate: float
) -> None:
    """Send for ``seconds``, at ``rate`` entries a second or, when that is 0, as fast as they go.

    Prints the report once the time is over, then waits until every export is answered.

    Raises:
        ConnectionError: the server is gone, or has not taken all that it was sent.
        TimeoutError: it has not answered in ``END_S_MAX``.
    """
    planned = plan_exports(recording, exported)
    print("ready", flush=True)
    exports = repeat(recording, planned, before_pass=calls.flush)
    report = _send_exports(calls, exports, data=recording.data.data, seconds=seconds, rate=rate)
    print(json.dumps(report), flush=True)
    outcome = calls.finish(seconds_max=END_S_MAX)
    if outcome.refused_count or outcome.partial_count:
        raise ConnectionError(
            f"of {outcome.calls_count} exports the server refused {outcome.refused_count} and took "
            f"{outcome.partial_count} in part"
        )


def _send_exports(
    calls: Calls,
    exports: Iterator[tuple[int, Outgoing]],
    *,
    data: memoryview,
    seconds: float,
    rate: float,
) -> dict[str, Any]:
    """Send until the time is over; returns the report."""
    sent = Sent()
    started, started_cpu = time.monotonic(), time.process_time()
    for pass_number, export in exports:
        sent.passes_count = pass_number + 1
        calls.wait_for_room()
        if rate:
            wait_for_turn(calls, sent.entries_count / rate, started)
        if time.monotonic() - started >= seconds:
            break
        calls.call(data[export.start : export.end])
        sent.add(export)
    calls.flush()
    elapsed_s, cpu_s = time.monotonic() - started, time.process_time() - started_cpu
    return sent.report(elapsed_s=elapsed_s, cpu_s=cpu_s, streams_count=sent.frames_count)


def main() -> None:
    """Read the recording and send it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("exported", type=Exported, choices=list(Exported))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--http", action="store_true", help="HTTP/1.1 with protobuf, not gRPC")
    parser.add_argument("--connections", type=int, default=CONNECTIONS_DEFAULT)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT_DEFAULT, help="on each")
    options = parser.parse_args()
    try:
        calls = (HttpCalls if options.http else GrpcCalls)(
            options.port,
            options.exported,
            connections_count=options.connections,
            in_flight=options.in_flight,
        )
        send(
            read_recording(options.recording),
            calls,
            exported=options.exported,
            seconds=options.seconds,
            rate=options.rate,
        )
    except (ConnectionError, TimeoutError) as error:
        sys.exit(f"export_sender: {error}")


if __name__ == "__main__":
    main()
