"""Processes of `meshtrail up` are killed at random moments, under load; then the log is audited.

Real processes, real gRPC streams, `kill -9`. What a journal held as complete batches is read from
its files beside the processes, before and after each kill; every published checkpoint is kept. In
the end everything that was journaled is in the log exactly once, and every checkpoint is a state of
it. `python -m tests.faults.kill --rounds 200` is the long form.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random  # noqa: TID251 - seeded, so that a round can be run again
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from meshtrail.errors import InputError
from meshtrail.journal import NO_ENTRIES, Framing
from meshtrail.journal.batch import decode_batches
from meshtrail.journal.header import decode_header
from meshtrail.model.entry import EntryType
from meshtrail.note import parse_vkey
from tests.independent_audit import FoundLog, check_heads, head_of, read_log
from tests.known_load import fields_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from meshtrail.note import VerifierKey

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
VICTIMS = ("collect", "ledger", "seal", "derive", "serve", "supervisor")
MODULES = {
    "collect": "meshtrail.app.collect_process",
    "ledger": "meshtrail.app.ledger_process",
    "seal": "meshtrail.app.seal_process",
    "derive": "meshtrail.app.derive_process",
    "serve": "meshtrail.api.serve_process",
}
STARTED_AGAIN = {
    "collect": "collect",
    "ledger": "ledger",
    "seal": "seal",
    "derive": "seal",
    "serve": "serve",
}
"""Which process the supervisor starts again; without events the sealer ends, and begins anew."""
READY_S_MAX = 60.0
END_S_MAX = 120.0
RECORDS_PER_FRAME = 20
FRAMES_PER_STREAM_MAX = 400
RECORD_NAME = b"/known/"
RECORD = EntryType.RECORD
STATEMENTS = (EntryType.COUNTER, EntryType.GAP, EntryType.FINDING)
"""What the ledger says of the kills, in streams of its own."""


class UpProcess:
    """`meshtrail up` as a child, started again whenever it is gone."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.data = folder / "data"
        self.lock_record = folder / "heads"
        self.ready: dict[str, Any] = {}
        self.restarts: Counter[str] = Counter()
        self._folder = folder
        self._more = more
        self._grpc = self._otlp_http = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None
        self._diagnostics = (folder / "diagnostics").open("ab")

    def start(self) -> None:
        """Start it until it stays; what a killed supervisor left must let go first."""
        deadline = time.monotonic() + READY_S_MAX
        while not self._try_start():
            assert time.monotonic() < deadline, (self._folder / "diagnostics").read_text()[-4000:]

    def _try_start(self) -> bool:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "meshtrail", "up", "--data", self.data, "--json"),
                *("--grpc", self._grpc, "--otlp-http", self._otlp_http, "--http", "127.0.0.1:0"),
                *("--lock-record", self.lock_record, "--tick-ms", "50"),
                *self._more,
            ],
            env={**os.environ, "MESHTRAIL_HOME": str(self._folder / "home")},
            stdout=subprocess.PIPE,
            stderr=self._diagnostics,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._process.stdout.close()
            return False
        self.ready = json.loads(line)
        assert self.ready["event"] == "ready"
        self._grpc, self._otlp_http = self.ready["grpc"], self.ready["otlp_http"]
        self._follower = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
        self._follower.start()
        return True

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.restarts[json.loads(line)["process"]] += 1

    def find(self, name: str) -> int | None:
        """The process id of a victim; None while it is not there."""
        assert self._process is not None
        pid = self._process.pid
        if name == "supervisor":
            return pid
        with contextlib.suppress(OSError):
            found = [pid]
            for each in found:
                if MODULES[name] in Path(f"/proc/{each}/cmdline").read_text():
                    return each
                children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
                found += [int(child) for child in children]
        return None

    def kill(self, name: str) -> bool:
        """Kill a victim; returns whether it was there."""
        pid = self.find(name)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        if name == "supervisor":
            self._end()
        return True

    def stop(self) -> int:
        """End it in order; returns its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._end()

    def _end(self) -> int:
        assert self._process is not None
        status = self._process.wait(END_S_MAX)
        self._follower.join()
        return status

    def close(self) -> None:
        """Leave nothing running behind a failed test."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._end()
        self._diagnostics.close()


class Sender(threading.Thread):
    """One Envoy: stream after stream of messages, each record with a name of its own."""

    def __init__(self, number: int, address: str, stopping: threading.Event) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        self.sent_count = 0
        self.streams_count = 0
        self._number = number
        self._address = address
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.is_set():
            with grpc.insecure_channel(self._address) as channel:
                call: Any = channel.stream_unary(METHOD)
                with contextlib.suppress(grpc.RpcError):
                    call(self._messages())
            self._stopping.wait(0.05)

    def _messages(self) -> Iterator[bytes]:
        self.streams_count += 1
        node = {"id": f"sender-{self._number}", "cluster": f"stream-{self.streams_count}"}
        identifier = {"node": node, "log_name": "known"}
        for frame in range(FRAMES_PER_STREAM_MAX):
            message = als_pb2.StreamAccessLogsMessage(identifier=identifier if not frame else None)
            for _ in range(RECORDS_PER_FRAME):
                path = f"{RECORD_NAME.decode()}{self._number}/{self.sent_count}"
                record = accesslog_pb2.HTTPAccessLogEntry(request={"path": path})
                message.http_logs.log_entry.append(record)
                self.sent_count += 1
            yield message.SerializeToString()
            if self._stopping.wait(0.02):
                return


class CheckpointWatch(threading.Thread):
    """Keeps every checkpoint that was ever published."""

    def __init__(self, path: Path, stopping: threading.Event) -> None:
        super().__init__(name="checkpoints", daemon=True)
        self.notes: dict[bytes, None] = {}
        self._path = path
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.wait(0.01):
            self.look()

    def look(self) -> None:
        """Keep the one that is there now."""
        with contextlib.suppress(FileNotFoundError):
            self.notes[self._path.read_bytes()] = None


@dataclass
class JournalWatch:
    """What complete batches of the journal held, read from its files without any promise.

    Attributes:
        payloads: digest of the payload by stream and seq.
    """

    folder: Path
    payloads: dict[int, dict[int, bytes]] = field(default_factory=dict)

    def look(self) -> None:
        """Take in the files as they are; one that is gone meanwhile was sealed."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self.folder.iterdir()):
                if path.name.isdecimal():
                    with contextlib.suppress(FileNotFoundError):
                        self._take(path.read_bytes())

    def _take(self, data: bytes) -> None:
        try:
            header = decode_header(data)
        except InputError:
            return
        body = data[header.header_bytes :]
        for batch in decode_batches(body, file_offset=header.header_bytes, seed=header.seed):
            at = batch.data_start
            for row in batch.rows:
                frame = body[at : at + int(row["frame_bytes"])]
                at += len(frame)
                self._take_frame(row, frame)

    def _take_frame(self, row: np.void, frame: bytes) -> None:
        if row["framing"] in NO_ENTRIES:
            return
        payloads = [frame] if row["framing"] == Framing.WHOLE else records_in(frame)
        known = self.payloads.setdefault(int(row["stream"]), {})
        for position, payload in enumerate(payloads):
            digest = hashlib.sha256(payload).digest()
            assert known.setdefault(int(row["first_seq"]) + position, digest) == digest


def records_in(frame: bytes) -> list[bytes]:
    """The HTTP records of a message."""
    groups = [group for number, group in fields_in(frame) if number == 2]
    return [record for group in groups for number, record in fields_in(group) if number == 1]


class Campaign:
    """Some rounds of killing, and the audit."""

    def __init__(self, folder: Path, *, seed: int, senders_count: int = 4) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - to be run again
        self.up = UpProcess(folder)
        self.journal = JournalWatch(self.up.data / "journal" / "collect")
        self.kills: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._ending = threading.Event()
        self.up.start()
        self.checkpoints = CheckpointWatch(self.up.data / "published" / "checkpoint", self._ending)
        self.senders = [
            Sender(number, self.up.ready["grpc"], self._stopping) for number in range(senders_count)
        ]
        for thread in (self.checkpoints, *self.senders):
            thread.start()

    def round(self) -> None:
        """Kill one process at a random moment."""
        # The moment is what is drawn here; nothing waits for anything.
        time.sleep(self.chance.uniform(0.05, 1.0))
        self.journal.look()
        victim = self.chance.choice(VICTIMS)
        before = self.up.restarts.copy()
        while not self.up.kill(victim):
            # It is being started again; the supervisor is always there.
            victim = self.chance.choice(VICTIMS)
            before = self.up.restarts.copy()
        self.journal.look()
        self.kills[victim] += 1
        if victim == "supervisor":
            self.up.start()
        elif self.chance.random() < 0.7:
            again = STARTED_AGAIN[victim]
            self._await(lambda: self.up.restarts[again] > before[again])

    def _await(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while not is_done():
            assert time.monotonic() < deadline
            time.sleep(0.01)  # between two looks; the deadline is far

    def finish(self) -> FoundLog:
        """Drain, stop, audit."""
        self._await(lambda: all(self.up.find(name) for name in MODULES))
        self._stopping.set()
        for sender in self.senders:
            sender.join(END_S_MAX)
            assert not sender.is_alive()
        self.journal.look()
        assert self.up.stop() == 0
        # A process that was killed just before may not have been ready to drain. This one is.
        self.up.start()
        assert self.up.stop() == 0
        self._ending.set()
        self.checkpoints.join()
        self.checkpoints.look()
        self.up.close()
        verifier = parse_vkey(self.up.ready["vkey"])
        log = read_log(self.up.data, verifier)
        self._check(log, verifier)
        return log

    def _check(self, log: FoundLog, verifier: VerifierKey) -> None:
        check_heads(log, [head_of(note, verifier) for note in self.checkpoints.notes])
        assert len(log.entries) == log.published[0]
        streams = log.streams()
        for stream, entries in streams.items():
            assert [entry.seq for entry in entries] == list(range(len(entries))), stream
            own = [(entry.seq, entry.payload) for entry in entries if entry.entry_type != RECORD]
            kinds = [entry.entry_type for entry in entries]
            assert not (RECORD in kinds and set(STATEMENTS) & set(kinds)), own
            kinds = [kind for kind in kinds if kind not in {RECORD, *STATEMENTS}]
            assert kinds == [EntryType.STREAM_OPENED, EntryType.STREAM_CLOSED], own
            assert entries[-1].entry_type == EntryType.STREAM_CLOSED, own
        for stream, payloads in self.journal.payloads.items():
            found = [hashlib.sha256(entry.payload).digest() for entry in streams.get(stream, [])]
            for seq, digest in payloads.items():
                assert seq < len(found), f"stream {stream} seq {seq} was journaled, not sealed"
                assert found[seq] == digest, f"stream {stream} seq {seq} is another record"
        records = Counter(entry.payload for entry in log.entries if RECORD_NAME in entry.payload)
        assert max(records.values(), default=1) == 1
        assert sum(records.values()) <= sum(sender.sent_count for sender in self.senders)

    def close(self) -> None:
        """Leave nothing running behind a failed test."""
        self._stopping.set()
        self._ending.set()
        self.up.close()


def run_campaign(folder: Path, *, rounds: int, seed: int) -> str:
    """Run it; returns what happened, in a line."""
    campaign = Campaign(folder, seed=seed)
    try:
        for _ in range(rounds):
            campaign.round()
        log = campaign.finish()
    finally:
        campaign.close()
    journaled = sum(map(len, campaign.journal.payloads.values()))
    sent = sum(sender.sent_count for sender in campaign.senders)
    return (
        f"seed {seed}: killed {dict(campaign.kills)}; {sent} records sent, {journaled} entries "
        f"seen in the journal, {len(log.entries)} sealed in {len(log.streams())} streams; "
        f"{len(campaign.checkpoints.notes)} of {len(log.heads)} checkpoints seen as published"
    )


def main() -> int:
    """Run the long form."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = run_campaign(Path(folder), rounds=options.rounds, seed=options.seed)
    sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
