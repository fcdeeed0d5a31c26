"""A journal under any order of appends, reads, removals, kills and power cuts.

The model is a list of batches. Promise: what `append` returned for is read exactly once, in order;
a batch whose append was interrupted is read whole or not at all, and never changes its mind.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from meshtrail.errors import InputError
from meshtrail.journal import (
    EXPORT_DIGEST_BYTES,
    JournalOptions,
    JournalReader,
    JournalWriter,
    ReadPosition,
    export_frame,
)
from meshtrail.journal.batch import decode_batch, find_batch
from meshtrail.journal.header import decode_header
from meshtrail.units import UnixNanos
from tests.fake_clock import FakeClock
from tests.fake_disks import PowerCutDisk, PowerCutError
from tests.journal_frames import record_frame, slice_data

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = JournalOptions(file_bytes_max=700, journal_bytes_max=1 << 20, batch_bytes_max=1_000)
SIZES = st.lists(st.integers(0, 200), min_size=1, max_size=4)
MANY_CALLS = 12


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.directory = self.folder / "collect"
        self.disk = PowerCutDisk()
        self.clock = FakeClock()
        self.numbers = itertools.count()
        self.batches: list[tuple[list[bytes], bool]] = []
        self.seen: list[bytes] = []
        self.position: ReadPosition | None = None

    @initialize()
    def start(self) -> None:
        self.writer = JournalWriter(
            self.directory, clock=self.clock, options=OPTIONS, disk=self.disk
        )
        self.reader = JournalReader(self.directory, position=self.position, disk=self.disk)
        self.check_exports(self.writer.left_exports)

    def check_exports(self, known: bytes) -> None:
        """What was acknowledged is known, in its order, as far back as is kept; no more is."""
        digests = [known[at : at + 16] for at in range(0, len(known), 16)]
        batches = [(data[-1], is_acknowledged) for data, is_acknowledged in self.batches]
        index = len(digests) - 1
        for digest, is_acknowledged in reversed(batches):
            if index < 0:
                break
            if digests[index] == digest:
                index -= 1
            else:
                assert not is_acknowledged, f"{digest.hex()} was acknowledged and is not known"
        assert index < 0, f"{digests[: index + 1]} came from nowhere"
        acknowledged = sum(is_acknowledged for _, is_acknowledged in batches)
        assert len(digests) >= min(acknowledged, OPTIONS.exports_count_max)

    @rule(sizes=SIZES)
    def append(self, sizes: list[int]) -> None:
        data = [b"%d:" % next(self.numbers) + b"x" * size for size in sizes]
        digest = hashlib.sha256(data[0]).digest()[:EXPORT_DIGEST_BYTES]
        # Not known to be there until append returns.
        self.batches.append(([*data, digest], False))
        self.writer.append(
            [*map(record_frame, data), export_frame(digest, received_ns=UnixNanos(1))]
        )
        self.batches[-1] = ([*data, digest], True)

    @rule()
    def read(self) -> None:
        part = self.reader.read(500)
        if part is not None:
            self.seen += slice_data(part)
            self.position = part.end

    @rule()
    def remove(self) -> None:
        if self.position is not None:
            self.reader.remove_before(self.position.file_number)

    @rule()
    def kill(self) -> None:
        self.disk.kill()
        self.start()

    @rule(choices=st.data())
    def cut_power(self, choices: st.DataObject) -> None:
        self.disk.restart(self.directory, lambda most: choices.draw(st.integers(0, most)))
        self.start()

    @rule(calls=st.integers(0, MANY_CALLS), sizes=SIZES, choices=st.data())
    def cut_power_within_an_append(
        self, calls: int, sizes: list[int], choices: st.DataObject
    ) -> None:
        self.interrupt(calls, lambda: self.append(sizes))
        self.cut_power(choices)

    @rule(calls=st.integers(0, MANY_CALLS), sizes=SIZES)
    def kill_within_an_append(self, calls: int, sizes: list[int]) -> None:
        self.interrupt(calls, lambda: self.append(sizes))
        self.kill()

    @rule(calls=st.integers(0, MANY_CALLS), choices=st.data())
    def cut_power_within_a_start(self, calls: int, choices: st.DataObject) -> None:
        self.disk.kill()
        self.interrupt(calls, self.start)
        self.cut_power(choices)

    @rule(calls=st.integers(0, MANY_CALLS), choices=st.data())
    def cut_power_within_a_read(self, calls: int, choices: st.DataObject) -> None:
        self.interrupt(calls, self.read)
        self.cut_power(choices)

    @rule(calls=st.integers(0, MANY_CALLS), sizes=SIZES, choices=st.data())
    def read_between_the_calls_of_an_append(
        self, calls: int, sizes: list[int], choices: st.DataObject
    ) -> None:
        self.interrupt(calls, lambda: self.append(sizes))
        self.disk.calls_left = None
        self.read()
        self.cut_power(choices)

    def interrupt(self, calls: int, action: Callable[[], None]) -> None:
        self.disk.calls_left = calls
        try:
            action()
        except PowerCutError:
            return
        self.disk.calls_left = None

    def teardown(self) -> None:
        try:
            self.disk.kill()
            self.start()
            while (before := len(self.seen)) >= 0:
                self.read()
                if len(self.seen) == before:
                    break
            self.check_seen()
        finally:
            self.disk.kill()
            shutil.rmtree(self.folder)

    def check_seen(self) -> None:
        index = 0
        for data, is_acknowledged in self.batches:
            if self.seen[index : index + len(data)] == data:
                index += len(data)
            else:
                assert not is_acknowledged, f"{data} was acknowledged and is lost"
        assert index == len(self.seen), f"{self.seen[index:]} came from nowhere"


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=40, stateful_step_count=25)


@given(st.binary(max_size=300))
def test_journal_decoders_take_any_bytes_and_raise_only_input_errors(data: bytes) -> None:
    assert decode_batch(data, 0, file_offset=0, seed=1) is None
    assert decode_batch(b"MTJB" + data, 0, file_offset=0, seed=1) is None
    assert find_batch(b"MTJB" * 20 + data, 0, file_offset=0, seed=1) is None
    for prefix in (b"", b"MTJOURN1", b"MTJOURN1\x00\x00\x00\x00\x00\x00\x00\x00"):
        with pytest.raises(InputError):
            decode_header(prefix + data)


def test_power_cut_disk_loses_what_was_not_synced(tmp_path: Path) -> None:
    # The machine above proves nothing unless its disk can lose.
    disk = PowerCutDisk()
    directory = tmp_path / "w"
    writer = JournalWriter(directory, clock=FakeClock(), disk=disk)
    writer.append([record_frame(b"kept")])
    disk.calls_left = 1
    with pytest.raises(PowerCutError):
        writer.append([record_frame(b"gone")])
    disk.restart(directory, lambda _: 0)
    with JournalWriter(directory, clock=FakeClock(), disk=disk):
        part = JournalReader(directory).read()
    assert part is not None
    assert slice_data(part) == [b"kept"]
