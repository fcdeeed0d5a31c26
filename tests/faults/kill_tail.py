"""Processes of `meshtrail up` are killed while files that it reads grow and are rotated.

Real processes, real files, `kill -9`. Each writer writes numbered lines and rotates its file in its
own way: by renaming (it goes on writing to the old file for a moment, as whoever has it open does),
by copying and truncating once all is read, or by copying and truncating whenever it likes. In the
end every complete line of the first two is in the log exactly once, in the order of its file; of
the last, lines may be missing, and then the log has a gap of that file that says so. `python -m
tests.faults.kill_tail --rounds 100` is the long form.
"""

from __future__ import annotations

import argparse
import os
import random  # noqa: TID251 - seeded, so that a round can be run again
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from meshtrail.model.entry import EntryType
from meshtrail.model.record_formats import LINE_FORMATS
from meshtrail.note import parse_vkey
from tests.collect_rig import decode_json
from tests.faults.kill import END_S_MAX, UpProcess
from tests.faults.kill_exports import kill_one
from tests.independent_audit import read_log

if TYPE_CHECKING:
    from tests.independent_audit import FoundEntry, FoundLog

FORMAT = "envoy-json"
WRITE_S = 0.01
CAUGHT_UP_S_MAX = 240.0
"""Whoever reads is killed all the time."""
LINES_EACH_MAX = 400
"""Lines between two rotations, at most."""
KEPT_COUNT = 100
"""Rotated files that are kept, as logrotate keeps some: minutes of them."""


class Writer(threading.Thread):
    """Writes lines, some in two pieces, and rotates."""

    def __init__(self, folder: Path, seed: int, stopping: threading.Event) -> None:
        super().__init__(name=f"{type(self).__name__}-{seed}", daemon=True)
        self.path = folder / f"{type(self).__name__.lower()}.log"
        self.files: list[list[bytes]] = [[]]
        self.rotations_count = 0
        self.is_done = False
        self._chance = random.Random(seed)  # noqa: S311 - as above
        self._stopping = stopping
        self._count = 0
        self._file = self.path.open("ab", buffering=0)

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._write_and_rotate()
            self.is_done = True
        finally:
            self._file.close()

    def _write_and_rotate(self) -> None:
        for _ in range(self._chance.randrange(1, LINES_EACH_MAX)):
            self._write_line()
            if self._stopping.wait(WRITE_S * self._chance.random()):
                return
        self.rotate()
        self.rotations_count += 1
        old = self.path.with_name(f"{self.path.name}.{self.rotations_count - KEPT_COUNT}")
        old.unlink(missing_ok=True)

    def rotate(self) -> None:
        """Begin a new file."""
        raise NotImplementedError

    def _write_line(self) -> None:
        self._count += 1
        line = f'{{"writer":"{self.name}","number":{self._count}}}'.encode()
        line = line.ljust(self._chance.randrange(70, 400))
        cut = self._chance.randrange(len(line)) if self._chance.random() < 0.1 else 0
        if cut:
            self._file.write(line[:cut])
        self._file.write(line[cut:] + b"\n")
        self.files[-1].append(line)

    def _rotated(self) -> Path:
        return self.path.with_name(f"{self.path.name}.{1 + self.rotations_count}")


class Renaming(Writer):
    """As logrotate with create: the old file gets another name, and a few lines more."""

    def rotate(self) -> None:
        self.path.rename(self._rotated())
        for _ in range(self._chance.randrange(20)):
            self._write_line()
        self._file.close()
        # Between renaming and making there is no file.
        self._stopping.wait(self._chance.choice([0.0, 0.0, 0.4]))
        self._file = self.path.open("ab", buffering=0)
        self.files.append([])


class Patient(Writer):
    """As logrotate with copytruncate, once all is read: it asks the positions."""

    def __init__(self, folder: Path, seed: int, stopping: threading.Event, data: Path) -> None:
        super().__init__(folder, seed, stopping)
        self._journal = data / "journal" / "collect"

    def rotate(self) -> None:
        size = self.path.stat().st_size
        # The path and this offset stand beside each other in no other position.
        end = f'"offset":{size},"path":"{self.path}"'.encode()
        deadline = time.monotonic() + CAUGHT_UP_S_MAX
        while not self._has(end):
            if self._stopping.wait(0.05):
                return
            assert time.monotonic() < deadline, f"{self.path} is not read up to {size}"
        shutil.copyfile(self.path, self._rotated())
        os.truncate(self.path, 0)
        self.files.append([])

    def _has(self, end: bytes) -> bool:
        found = False
        for path in sorted(self._journal.glob("[0-9]*"))[-2:]:
            try:
                found = found or end in path.read_bytes()
            except FileNotFoundError:
                continue
        return found


class Careless(Writer):
    """As logrotate with copytruncate: what was not read is gone."""

    def rotate(self) -> None:
        shutil.copyfile(self.path, self._rotated())
        os.truncate(self.path, 0)
        self.files.append([])


def run_campaign(folder: Path, *, rounds: int, seed: int) -> str:
    """Run it; returns what happened, in a line."""
    chance = random.Random(seed)  # noqa: S311 - as above
    logs = folder / "logs"
    logs.mkdir()
    stopping = threading.Event()
    up = UpProcess(folder, "--tail", f"{FORMAT}={logs}/*.log")
    writers = [
        Renaming(logs, seed, stopping),
        Patient(logs, seed + 1, stopping, up.data),
        Careless(logs, seed + 2, stopping),
    ]
    kills: Counter[str] = Counter()
    try:
        up.start()
        for writer in writers:
            writer.start()
        for _ in range(rounds):
            kills[kill_one(up, chance)] += 1
        stopping.set()
        for writer in writers:
            writer.join(END_S_MAX)
            assert writer.is_done
        _await_end(up, writers)
        assert up.stop() == 0
        # What was killed just before may not have drained; this one does.
        up.start()
        assert up.stop() == 0
    finally:
        stopping.set()
        up.close()
    log = read_log(up.data, parse_vkey(up.ready["vkey"]))
    told = [_check(log, writer) for writer in writers]
    return f"seed {seed}: killed {dict(kills)}; " + "; ".join(told)


def _await_end(up: UpProcess, writers: list[Writer]) -> None:
    """Return when the last line of each file is journaled or sealed."""
    deadline = time.monotonic() + CAUGHT_UP_S_MAX
    for writer in writers:
        size = writer.path.stat().st_size
        end = f'"offset":{size},"path":"{writer.path}"'.encode()
        while size and not any(
            end in path.read_bytes() for path in _journal_files(up.data / "journal" / "collect")
        ):
            assert time.monotonic() < deadline, f"{writer.path} is not read up to {size}"
            time.sleep(0.05)  # between two looks; the deadline is far


def _journal_files(folder: Path) -> list[Path]:
    # The newest two are never removed.
    return sorted(folder.glob("[0-9]*"))[-1:]


def _check(log: FoundLog, writer: Writer) -> str:
    """Check what the log holds of one writer; returns it in words."""
    mark = f'{{"writer":"{writer.name}","'.encode()
    records = [
        entry
        for entry in log.entries
        if entry.entry_type == EntryType.RECORD and entry.payload.startswith(mark)
    ]
    assert {entry.payload_format for entry in records} <= {LINE_FORMATS[FORMAT]}
    found = [entry.payload for entry in records]
    places = {line: place for place, line in enumerate(found)}
    assert len(places) == len(found), f"{writer.name}: lines came twice"
    wanted = [line for lines in writer.files for line in lines]
    assert places.keys() <= set(wanted), f"{writer.name}: lines that nobody wrote"
    for lines in writer.files:
        taken = [places[line] for line in lines if line in places]
        assert taken == sorted(taken), f"{writer.name}: lines of a file in another order"
    lost = [line for line in wanted if line not in places]
    gaps = [gap for gap in map(_gap, log.entries) if gap.get("path") == str(writer.path)]
    if isinstance(writer, Careless):
        assert not lost or any(gap["cause"] == "truncated" for gap in gaps)
    else:
        assert not lost, f"{writer.name}: {len(lost)} lines are lost, {lost[:3]}"
    return (
        f"{writer.name} {len(wanted)} lines, {writer.rotations_count} rotations, "
        f"{len(lost)} lost, {len(gaps)} gaps"
    )


def _gap(entry: FoundEntry) -> dict[str, object]:
    return decode_json(entry.payload) if entry.entry_type == EntryType.GAP else {}


def main() -> int:
    """Run the long form."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill_tail", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = run_campaign(Path(folder), rounds=options.rounds, seed=options.seed)
    sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
