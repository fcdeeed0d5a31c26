"""A data directory with its journals and its sealer, in one process, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshtrail.journal import JournalWriter
from meshtrail.log.options import SealOptions
from meshtrail.log.sealer import Sealer
from meshtrail.note import format_vkey, generate_signer
from meshtrail.store.layout import Format, Layout, create_layout
from tests.fake_clock import FakeClock
from tests.faults.fake_disk import HastyDisk
from tests.independent_audit import FoundLog, check_entries, check_heads, read_log
from tests.known_load import KnownLoad

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.journal import Frame
    from meshtrail.note import SignerKey
    from meshtrail.store.durable import Disk

ORIGIN = "mesh/one/1f2e3d4c"
SIGNER = generate_signer(ORIGIN)
MILLISECOND = 1_000_000
MINUTE = 60_000 * MILLISECOND


class SilentDiag:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.events.append(event)

    def error(self, event: str, **_: object) -> None:
        self.events.append(event)


class LogRig:
    """Appends to journals and seals them.

    Attributes:
        load: what was made so far.
        durable: how many entries of each stream a journal has confirmed.
    """

    def __init__(
        self,
        root: Path,
        *,
        disk: Disk | None = None,
        signer: SignerKey = SIGNER,
        lock_record: Path | None = None,
        seed: int = 1,
    ) -> None:
        self.layout = Layout(root / "data")
        self.clock = FakeClock()
        self.load = KnownLoad(self.clock, seed=seed)
        self.durable: dict[int, int] = {}
        self.signer = signer
        self.lock_record = lock_record
        self.disk = disk or HastyDisk()
        self._writers: dict[str, JournalWriter] = {}
        if not self.layout.format_file.exists():
            described = Format(signer.name, format_vkey(signer.verifier))
            create_layout(HastyDisk(), self.layout, described)

    def append(self, *frames: Frame, writer: str = "collect") -> None:
        """Journal frames as one batch, a millisecond later."""
        self.open_writer(writer).append(frames)
        self.clock.advance(MILLISECOND)
        for frame in frames:
            if frame.stream:
                self.durable[frame.stream] = frame.first_seq + frame.records_count

    def open_stream(self, *, writer: str = "collect", node_id: str = "node-1") -> int:
        """Journal the opening of a stream."""
        frame = self.load.opened(node_id=node_id)
        self.append(frame, writer=writer)
        return frame.stream

    def open_writer(self, name: str = "collect") -> JournalWriter:
        """The writer of a journal, opened when it is not."""
        if name not in self._writers:
            self._writers[name] = JournalWriter(
                self.layout.journals / name, clock=self.clock, disk=self.disk
            )
        return self._writers[name]

    def restart_collect(self, writer: str = "collect") -> None:
        """Begin the journal's next file, as a collector does that was started again."""
        self._writers.pop(writer).close()
        self.open_writer(writer)

    def open_sealer(self, *, disk: Disk | None = None, **options: Any) -> Sealer:
        """Start a sealer."""
        return Sealer(
            disk or self.disk,
            self.layout,
            self.signer,
            SealOptions(lock_record=self.lock_record, **options),
            clock=self.clock,
            diag=SilentDiag(),
        )

    def seal(self) -> int:
        """Start a sealer, seal everything, end it; returns the tree size."""
        with self.open_sealer() as sealer:
            while sealer.tick():
                pass
            return sealer.tree_size

    def audit(self) -> FoundLog:
        """Read the log back and hold it against what was made."""
        log = read_log(self.layout.root, self.signer.verifier)
        check_heads(log)
        check_entries(log, self.load.made, self.durable)
        return log

    def state(self) -> dict[str, bytes]:
        """Every file but the locks, which starts may touch."""
        root = self.layout.root.parent
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "lock"
        }

    def day(self) -> Path:
        """The checkpoints of the one day on which there are any."""
        (path,) = self.layout.checkpoints.iterdir()
        return path

    def close(self) -> None:
        """Close the journals."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def make_sealed_rig(root: Path) -> LogRig:
    """Seven entries sealed in two ticks, with a lock record, and frames of two more waiting."""
    lock_record = root / "elsewhere" / "heads"
    lock_record.parent.mkdir()
    rig = LogRig(root, lock_record=lock_record)
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 3))
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 4
        rig.append(rig.load.http(stream, 3))
        assert sealing.tick() == 3
    rig.append(rig.load.http(stream, 2))
    return rig
