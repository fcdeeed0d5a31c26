"""Sends recorded OTLP exports over gRPC, one call for each: a process of its own.

    python -m bench.harness.export_sender RECORDING PORT logs|spans [--seconds S] [--rate R]

Like ``sender``, but for OTLP, in which each export is a call of its own that is answered once it is
durable. They take turns on several connections, each from an address of its own, because a
collector bounds what it takes of one sender at once. On each so many calls are under way at most,
and the next one goes when one has been answered. A call that was not answered with success ends
this process with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness.exports import Exported, read_records
from bench.harness.frames import Recording, read_recording
from bench.harness.http2_connection import EMPTY_ANSWER_BYTES, Http2Connection
from bench.harness.sender import END_S_MAX, Outgoing, Sent, repeat, wait_for_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECTIONS_DEFAULT = 8
IN_FLIGHT_DEFAULT = 32
"""On all connections together as many as ``meshtrail up`` takes at once: more are refused."""
SOURCE_IP = "127.2.0.{}"


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
    recording: Recording,
    connections: Sequence[Http2Connection],
    *,
    exported: Exported,
    seconds: float,
    rate: float,
    in_flight: int,
) -> None:
    """Send for ``seconds``, at ``rate`` entries a second or, when that is 0, as fast as they go.

    Prints the report once the time is over, then waits until every export is answered.

    Raises:
        ConnectionError: the server is gone, or has not taken all that it was sent.
        TimeoutError: it has not answered in ``END_S_MAX``.
    """
    planned = plan_exports(recording, exported)
    flow = _Flow(connections, path=exported.path, in_flight=in_flight)
    print("ready", flush=True)
    exports = repeat(recording, planned, before_pass=flow.flush)
    report = _send_exports(flow, exports, data=recording.data.data, seconds=seconds, rate=rate)
    print(json.dumps(report), flush=True)
    answers: Counter[int] = Counter()
    for connection in connections:
        connection.wait_for_ends(seconds_max=END_S_MAX)
        answers += connection.answers
    check_answers(answers)


def check_answers(answers: Counter[int]) -> None:
    """Return when every call was answered with a success that says nothing.

    Args:
        answers: as of ``Http2Connection``.

    Raises:
        ConnectionError: some were refused, or records of them were.
    """
    refused_count = answers[0]
    partial_count = answers.total() - refused_count - answers[EMPTY_ANSWER_BYTES]
    if refused_count or partial_count:
        raise ConnectionError(
            f"of {answers.total()} exports the server refused {refused_count} and took "
            f"{partial_count} in part"
        )


class _Flow:
    """Calls on connections in turn."""

    def __init__(
        self, connections: Sequence[Http2Connection], *, path: str, in_flight: int
    ) -> None:
        self.connections = connections
        self._turns = itertools.cycle(connections)
        self._path = path
        self._in_flight = in_flight

    def room(self) -> Http2Connection:
        """The next connection, once a call has room on it."""
        connection = next(self._turns)
        if connection.open_count >= self._in_flight:
            self.flush()
            connection.wait_for_room(streams_max=self._in_flight)
        return connection

    def call(self, connection: Http2Connection, message: memoryview) -> None:
        """Queue a call."""
        connection.send(connection.open_stream(self._path), message, is_last=True)

    def flush(self) -> None:
        """Hand all that is queued to the kernel."""
        for connection in self.connections:
            connection.flush()


def _send_exports(
    flow: _Flow,
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
        connection = flow.room()
        if rate:
            wait_for_turn(connection, sent.entries_count / rate, started)
        if time.monotonic() - started >= seconds:
            break
        flow.call(connection, data[export.start : export.end])
        sent.add(export)
    flow.flush()
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
    parser.add_argument("--connections", type=int, default=CONNECTIONS_DEFAULT)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT_DEFAULT, help="on each")
    options = parser.parse_args()
    try:
        with contextlib.ExitStack() as stack:
            connections = [
                stack.enter_context(
                    Http2Connection(options.port, source_ip=SOURCE_IP.format(number))
                )
                for number in range(1, options.connections + 1)
            ]
            send(
                read_recording(options.recording),
                connections,
                exported=options.exported,
                seconds=options.seconds,
                rate=options.rate,
                in_flight=options.in_flight,
            )
    except (ConnectionError, TimeoutError) as error:
        sys.exit(f"export_sender: {error}")


if __name__ == "__main__":
    main()
