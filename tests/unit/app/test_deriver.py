from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.deriver import DeriverProcess
from meshtrail.errors import MissingFileError, UnavailableError
from meshtrail.journal import JournalReader
from meshtrail.log.deriving import DeriverHere
from meshtrail.log.intake import EntryBatch, make_entries
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.streams import CLOCK_COLUMNS, STREAM_COLUMNS
from meshtrail.store.blob_files import write_blobs
from meshtrail.store.durable import Disk
from meshtrail.store.layout import Layout
from meshtrail.units import LeafIndex, UnixNanos
from tests.log_rig import LogRig

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from meshtrail.log.deriving import Deriver

ORIGIN = "mesh/one/1f2e3d4c"
NO_STREAMS = EVENT_SCHEMA.empty_table().select(
    list(dict.fromkeys((*STREAM_COLUMNS, *CLOCK_COLUMNS)))
)


@pytest.fixture
def deriver() -> Iterator[DeriverProcess]:
    with DeriverProcess() as process:
        yield process


def make_batches(rig: LogRig) -> list[EntryBatch]:
    """Two batches of one stream; in the second a record that is a blob."""
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 30))
    rig.append(rig.load.tcp(stream, 5))
    batches = []
    reader = JournalReader(rig.layout.journals / "collect")
    for frames in (
        [],
        [rig.load.http(stream, 1, record_bytes=100_000), rig.load.closed(stream)],
    ):
        if frames:
            rig.append(*frames)
        part = reader.read()
        assert part is not None
        batches.append(make_entries([part], after_ns=UnixNanos(0)))
    write_blobs(Disk(), rig.layout, batches[1].blobs)
    return batches


def derive_all(deriver: Deriver, layout: Layout, batches: list[EntryBatch]) -> list[pa.Table]:
    deriver.open(ORIGIN, layout, NO_STREAMS)
    start = 0
    for batch in batches:
        deriver.begin(batch.headers, batch.payloads, LeafIndex(start))
        start += len(batch.headers)
    return [deriver.take() for _ in batches]


def test_events_are_those_that_would_be_derived_here(
    tmp_path: Path, deriver: DeriverProcess
) -> None:
    rig = LogRig(tmp_path)
    batches = make_batches(rig)
    got = derive_all(deriver, rig.layout, batches)
    wanted = derive_all(DeriverHere(), rig.layout, batches)
    assert [table.num_rows for table in got] == [36, 2]
    for events, here in zip(got, wanted, strict=True):
        assert events.equals(here)
    # The second batch knows the stream that the first one opened.
    assert got[1].column("reporter_id").to_pylist() == ["node-1", "node-1"]


def test_a_blob_that_is_gone_is_named_here(tmp_path: Path, deriver: DeriverProcess) -> None:
    rig = LogRig(tmp_path)
    batches = make_batches(rig)
    (blob,) = rig.layout.blobs.iterdir()
    blob.unlink()
    with pytest.raises(MissingFileError, match="is gone") as caught:
        derive_all(deriver, rig.layout, batches)
    assert caught.value.path == str(blob)


def test_a_process_that_was_killed_is_unavailable(tmp_path: Path, deriver: DeriverProcess) -> None:
    deriver.open(ORIGIN, Layout(tmp_path), NO_STREAMS)
    os.kill(deriver.pid, signal.SIGKILL)
    wanted = f"derives events, {deriver.pid}, was ended by SIGKILL"
    with pytest.raises(UnavailableError, match=wanted):
        deriver.take()
    with pytest.raises(UnavailableError, match=wanted):
        deriver.open(ORIGIN, Layout(tmp_path), NO_STREAMS)


def test_those_who_are_asked_to_end_can_still_derive(
    tmp_path: Path, deriver: DeriverProcess
) -> None:
    """A service manager sends SIGTERM to every process; a terminal sends SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(deriver.pid, number)
    rig = LogRig(tmp_path)
    assert len(derive_all(deriver, rig.layout, make_batches(rig))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_it_has_given_up_its_right_to_write_files(tmp_path: Path, deriver: DeriverProcess) -> None:
    probe = "import sys; from meshtrail.search.confine import deny_writes; sys.exit(deny_writes())"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    if not subprocess.run([sys.executable, "-c", probe], env=environment, check=False).returncode:
        pytest.skip("this system has no Landlock")
    deriver.open(ORIGIN, Layout(tmp_path), NO_STREAMS)
    status = Path(f"/proc/{deriver.pid}/status").read_text(encoding="utf-8")
    assert "NoNewPrivs:\t1" in status


OWNER = """
import sys, time
from meshtrail.app.deriver import DeriverProcess
deriver = DeriverProcess()
print(deriver.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process that is not a child")
def test_it_ends_when_its_sealer_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        watch = os.pidfd_open(pid)
        owner.kill()
    ended, _, _ = select.select([watch], [], [], 30)
    os.close(watch)
    assert ended
