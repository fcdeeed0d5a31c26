"""Processes of `meshtrail up` are killed while senders send exports, and send again what failed.

Real processes, real requests, `kill -9`. A sender sends an export of OTLP, a body of lines or a
list of audit events until it is acknowledged, as exporters and shippers do. In the end all that was
acknowledged is in the log, each record once without the flag of a duplicate, and with it as often
as it came again. `python -m tests.faults.kill_exports --rounds 200` is the long form.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import random  # noqa: TID251 - seeded, so that a round can be run again
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from meshtrail.model.entry import EntryFlags, EntryType
from meshtrail.note import parse_vkey
from meshtrail.sources.otlp_frame import Signal
from tests.audit_webhook import encode_list
from tests.faults.kill import END_S_MAX, READY_S_MAX, STARTED_AGAIN, UpProcess
from tests.independent_audit import read_log
from tests.otlp_messages import PATHS, export_of, json_export

if TYPE_CHECKING:
    from tests.independent_audit import FoundLog

VICTIMS = ("collect", "collect", "collect", "seal", "supervisor")
RECORDS_PER_EXPORT = 5
RECORD_NAME = "known"
ANSWER_S_MAX = 10.0
IMPATIENT_S_MAX = 0.025
"""About as long as an answer takes: often the export is journaled, and nobody hears of it."""
IMPATIENT_EACH = 4
RETRY_S = 0.02


class Door(Protocol):
    """Sends one export."""

    def __call__(self, up: UpProcess, texts: list[str], /, *, seconds_max: float) -> bool:
        """Whether it was acknowledged within so long."""
        ...


def send_json(up: UpProcess, texts: list[str], *, seconds_max: float) -> bool:
    """JSON over HTTP."""
    body = json_export(Signal.LOGS, *texts)
    return _post(up, body, kind="application/json", seconds_max=seconds_max)


def send_lines(up: UpProcess, texts: list[str], *, seconds_max: float) -> bool:
    """Lines of an access log, packed, over HTTP."""
    lines = "".join(f'{{"path":"{text}"}}\n' for text in texts)
    return _post(
        up,
        gzip.compress(lines.encode(), mtime=0),
        kind="application/x-ndjson",
        path="/v1/records/envoy-json?reporter=shop-1",
        encoding="gzip",
        seconds_max=seconds_max,
    )


def send_events(up: UpProcess, texts: list[str], *, seconds_max: float) -> bool:
    """Audit events of a Kubernetes API, over HTTP."""
    body = encode_list([{"auditID": text} for text in texts], version="v1")
    path = "/v1/records/kubernetes-audit?timeout=30s"
    return _post(up, body, kind="application/json", path=path, seconds_max=seconds_max)


def send_protobuf(up: UpProcess, texts: list[str], *, seconds_max: float) -> bool:
    """Protobuf over HTTP."""
    body = export_of(*texts)
    return _post(up, body, kind="application/x-protobuf", seconds_max=seconds_max)


def _post(
    up: UpProcess,
    body: bytes,
    *,
    kind: str,
    seconds_max: float,
    path: str = "/v1/logs",
    encoding: str = "identity",
) -> bool:
    connection = http.client.HTTPConnection(up.ready["otlp_http"], timeout=seconds_max)
    try:
        headers = {"content-type": kind, "content-encoding": encoding}
        connection.request("POST", path, body, headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def send_grpc(up: UpProcess, texts: list[str], *, seconds_max: float) -> bool:
    """Protobuf over gRPC."""
    with grpc.insecure_channel(up.ready["grpc"]) as channel:
        call: Any = channel.unary_unary(PATHS[Signal.LOGS])
        try:
            call(export_of(*texts), timeout=seconds_max)
        except grpc.RpcError:
            return False
    return True


DOORS: dict[str, Door] = {
    "JSON over HTTP": send_json,
    "protobuf over gRPC": send_grpc,
    "protobuf over HTTP": send_protobuf,
    "lines": send_lines,
    "audit events": send_events,
}


class Sender(threading.Thread):
    """One exporter: export after export, each until it is acknowledged."""

    def __init__(self, number: int, up: UpProcess, stopping: threading.Event) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        self.acknowledged: list[str] = []
        self.exports_count = 0
        self.retries_count = 0
        self._number = number
        self._up = up
        self._stopping = stopping

    def run(self) -> None:
        send = list(DOORS.values())[self._number % len(DOORS)]
        first = 0
        while not self._stopping.is_set():
            texts = [
                f"{RECORD_NAME} {self._number}/{first + at}." for at in range(RECORDS_PER_EXPORT)
            ]
            is_patient = first // RECORDS_PER_EXPORT % IMPATIENT_EACH
            seconds_max = ANSWER_S_MAX if is_patient else IMPATIENT_S_MAX
            while not send(self._up, texts, seconds_max=seconds_max):
                seconds_max = ANSWER_S_MAX
                self.retries_count += 1
                time.sleep(RETRY_S)  # as an exporter does, but sooner
            self.acknowledged += texts
            self.exports_count += 1
            first += RECORDS_PER_EXPORT


def run_campaign(folder: Path, *, rounds: int, seed: int, senders_count: int = len(DOORS)) -> str:
    """Run it; returns what happened, in a line."""
    chance = random.Random(seed)  # noqa: S311 - to be run again
    up = UpProcess(folder)
    stopping = threading.Event()
    senders = [Sender(number, up, stopping) for number in range(senders_count)]
    kills: Counter[str] = Counter()
    try:
        up.start()
        for sender in senders:
            sender.start()
        for _ in range(rounds):
            kills[kill_one(up, chance)] += 1
        stopping.set()
        for sender in senders:
            sender.join(END_S_MAX)
            assert not sender.is_alive()
        assert up.stop() == 0
        # What was killed just before may not have drained; this one does.
        up.start()
        assert up.stop() == 0
    finally:
        stopping.set()
        up.close()
    log = read_log(up.data, parse_vkey(up.ready["vkey"]))
    found = _check(log, {text for sender in senders for text in sender.acknowledged})
    exports = {
        list(DOORS)[number % len(DOORS)]: sender.exports_count
        for number, sender in enumerate(senders)
    }
    acknowledged = sum(len(sender.acknowledged) for sender in senders)
    retries = sum(sender.retries_count for sender in senders)
    return (
        f"seed {seed}: killed {dict(kills)}; exports acknowledged {exports} after {retries} "
        f"retries; of their {acknowledged} records all are in the log, which has {len(found)}, "
        f"{sum(map(sum, found.values()))} of them again, flagged as duplicates"
    )


def kill_one(up: UpProcess, chance: random.Random) -> str:
    """Kill a process at a random moment, and see it do its work again."""
    # The moment is what is drawn here; nothing waits for anything.
    time.sleep(chance.uniform(0.05, 0.8))
    victim = chance.choice(VICTIMS)
    before = up.restarts.copy()
    while not up.kill(victim):
        victim = "supervisor"
    if victim == "supervisor":
        up.start()
        return victim
    deadline = time.monotonic() + READY_S_MAX
    while up.restarts[STARTED_AGAIN[victim]] == before[STARTED_AGAIN[victim]]:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks; the deadline is far
    return victim


def _check(log: FoundLog, acknowledged: set[str]) -> dict[str, list[bool]]:
    """Check that the log holds what it must; returns by record whether each entry is flagged."""
    assert len(log.entries) == log.published[0]
    for stream, entries in log.streams().items():
        assert [entry.seq for entry in entries] == list(range(len(entries))), stream
        assert entries[-1].entry_type == EntryType.STREAM_CLOSED, (stream, entries[0], entries[-1])
    found: dict[str, list[bool]] = {}
    for entry in log.entries:
        at = entry.payload.find(RECORD_NAME.encode() + b" ")
        if entry.entry_type == EntryType.RECORD and at >= 0:
            name = entry.payload[at:].partition(b".")[0].decode() + "."
            found.setdefault(name, []).append(bool(entry.flags & EntryFlags.DUPLICATE))
    assert acknowledged <= found.keys(), sorted(acknowledged - found.keys())[:5]
    for name, are_flagged in found.items():
        assert are_flagged == [False] + [True] * (len(are_flagged) - 1), name
    return found


def main() -> int:
    """Run the long form."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.kill_exports", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = run_campaign(Path(folder), rounds=options.rounds, seed=options.seed)
    sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
