"""Every I/O call of the commit path fails in turn, or is the last one before the power goes.

One run is a small log's life: two journals, ticks, blobs, merges, snapshots, a journal that
rotates, a restart, the removal of what was superseded. After the fault the log is started as
always, sealed to the end and audited: what a journal confirmed is in the log exactly once, and
every tree that was ever signed is a state of it.

`python -m tests.faults.commit` is the long form: every call, in every way.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import re
import shutil
import sys
import tempfile
import traceback
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unittest import mock

from meshtrail import verify
from meshtrail.errors import DurabilityError, UnavailableError
from meshtrail.log import commit, merge, taking
from meshtrail.note import parse_checkpoint
from tests.faults.fake_disk import (
    CrashDisk,
    Failure,
    FaultyDisk,
    NamingDisk,
    PowerCutError,
    Survival,
    TracingDisk,
)
from tests.independent_audit import check_heads
from tests.log_rig import SIGNER, LogRig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.log.sealer import Sealer
    from meshtrail.note import SignerKey
    from meshtrail.store.durable import Disk

WRITERS = ("collect", "serve")
QUARTER_NS = 15 * 60 * 1_000_000_000
DAY_NS = 24 * 4 * QUARTER_NS


class RecordingSigner:
    """The log's key, which remembers every tree head that it signed, written down or not."""

    name = SIGNER.name
    key_id = SIGNER.key_id
    verifier = SIGNER.verifier

    def __init__(self) -> None:
        self.heads: list[tuple[int, bytes]] = []

    def sign(self, text: bytes) -> bytes:
        """Sign, as the key does."""
        if not text.startswith(b"meshtrail/manifest/"):
            head = parse_checkpoint(text.decode())
            self.heads.append((head.tree_size, head.root_hash))
        return SIGNER.sign(text)


class Trial:
    """One log, from its making to the audit after the fault."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.signer = RecordingSigner()
        (root / "elsewhere").mkdir(parents=True)
        self.rig = self._make_rig(root)

    def _make_rig(self, root: Path, disk: Disk | None = None) -> LogRig:
        return LogRig(
            root,
            disk=disk,
            signer=cast("SignerKey", self.signer),
            lock_record=root / "elsewhere" / "heads",
        )

    def live(self, disk: Disk) -> None:
        """The life of the log on a disk that may fail."""
        rig = self.rig
        rig.disk = disk
        with rig.open_sealer(read_bytes_max=1) as sealing:
            first = rig.open_stream()
            second = rig.open_stream(writer="serve")
            self._tick(sealing)
            # Two batches of one journal: while the first is sealed, the next is taken already.
            rig.append(rig.load.blob(b"identifier"), rig.load.http(first, 3))
            rig.append(rig.load.http(first, 2, record_bytes=70_000))
            self._tick(sealing)
            rig.append(rig.load.tcp(second, 2), writer="serve")
            self._tick(sealing)
            rig.append(rig.load.whole(first, b"not a message"), rig.load.closed(first))
            self._tick(sealing)
            rig.restart_collect()
            third = rig.open_stream()
            self._tick(sealing)
            rig.append(rig.load.http(third, 9))
            self._tick(sealing)
        rig.clock.advance(QUARTER_NS)
        with rig.open_sealer() as sealing:
            rig.append(rig.load.http(third, 1), rig.load.blob(b"identifier"))
            self._tick(sealing)
            rig.clock.advance(QUARTER_NS)
            rig.append(rig.load.closed(second), writer="serve")
            self._tick(sealing)

    def _tick(self, sealing: Sealer) -> None:
        sealing.tick()
        # Waits for the merge, so that the calls of a run have the same order each time.
        sealing.finish_merges()

    def end_process(self, disk: NamingDisk) -> None:
        """What the kernel does for a process that has ended."""
        disk.close_all()

    def recover(
        self, root: Path | None = None, disk: Disk | None = None, *, later_ns: int = QUARTER_NS
    ) -> None:
        """Start everything as always, close the streams that were left open, seal to the end."""
        before, self.rig = self.rig, self._make_rig(root or self.root, disk)
        self.rig.load = copy.deepcopy(before.load)
        self.rig.durable = dict(before.durable)
        self.rig.clock.advance(before.clock.wall - self.rig.clock.wall + later_ns)
        for name in WRITERS:
            self.rig.append(
                *self.rig.load.reopen(self.rig.open_writer(name).left_open),
                self.rig.load.opened(),
                writer=name,
            )
        self.rig.seal()

    def fork(self) -> Trial:
        """Another future of the same past."""
        other = copy.copy(self)
        other.signer = RecordingSigner()
        other.signer.heads = list(self.signer.heads)
        return other

    def verify(self, root: Path | None = None) -> None:
        """`meshtrail verify` finds no tampering, whatever a crash left."""
        folder = root or self.root
        verify.audit(
            folder / "data",
            trusted=verify.TrustedKey(verifier=SIGNER.verifier, source=verify.KeySource.OPTION),
            lock_record=folder / "elsewhere" / "heads",
            is_deep=True,
            workers=1,
        )

    def audit(self) -> None:
        """Hold the log against what was made, confirmed and signed."""
        self.verify(self.rig.layout.root.parent)
        log = self.rig.audit()
        check_heads(log, self.signer.heads)
        assert len(log.entries) == log.published[0]
        self.rig.close()


@contextmanager
def small_limits() -> Iterator[None]:
    """Merges after a few entries, snapshots after a few manifests, and all is taken ahead."""
    with ExitStack() as stack:
        for owner, name, value in (
            (merge, "TIERS", (64, 16, 4)),
            (merge, "SEGMENTS_MAX", {4: 3, 16: 4, 64: 5}),
            # One of the two merges of the run carries row groups over, the other encodes again.
            (merge, "CARRIED_ROWS_MIN", 4),
            (commit, "SNAPSHOT_EVERY", 4),
            (taking, "AHEAD_BYTES_MIN", 0),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


def try_failure(root: Path, fails_at: int, how: Failure) -> str | None:
    """One run in which one call fails; returns which one, None when the run was shorter."""
    trial = Trial(root)
    disk = FaultyDisk(fails_at, how)
    with suppress(DurabilityError, UnavailableError):
        trial.live(disk)
    trial.end_process(disk)
    trial.verify()
    trial.recover()
    trial.audit()
    return disk.failed


def try_power_cut(root: Path, cuts_at: int, survivals: tuple[Survival, ...]) -> str | None:
    """One run that a power cut ends; returns at which call, None when the run was shorter.

    Args:
        root: an empty folder.
        cuts_at: the call before which the power goes.
        survivals: what becomes of that which was not fsynced; each is tried.
    """
    trial = Trial(root / "before")
    disk = CrashDisk(trial.root, cuts_at)
    with suppress(PowerCutError):
        trial.live(disk)
    trial.end_process(disk)
    for survival in survivals:
        after = trial.fork()
        target = root / survival.value
        disk.leave(target, survival)
        after.verify(target)
        after.recover(target)
        after.audit()
    return disk.cut_at


def try_kill_and_power_cut(
    root: Path, kills_at: int, *, cuts_after: int | None = None, later_ns: int = QUARTER_NS
) -> None:
    """One run that ends in a killed process, a start on the same machine, and then a power cut.

    What the killed process wrote without fsync is there for the start to find, and durable only if
    the start made it so.

    Args:
        root: an empty folder.
        kills_at: the call before which the process is killed.
        cuts_after: calls of the start before the power goes; None: when all is sealed.
        later_ns: time until the start; a day later, checkpoints go to another file.
    """
    trial = Trial(root / "before")
    disk = CrashDisk(trial.root, kills_at)
    with suppress(PowerCutError):
        trial.live(disk)
    disk.go_on(cuts_after=cuts_after)
    with suppress(PowerCutError):
        trial.recover(disk=disk, later_ns=later_ns)
    trial.end_process(disk)
    disk.leave(root / "after", Survival.NOTHING)
    trial.recover(root / "after")
    trial.audit()


def list_calls(root: Path) -> list[str]:
    """The calls of a run without a fault, each as what it does to which kind of file."""
    trial = Trial(root)
    disk = TracingDisk(root, is_whole=True)
    trial.live(disk)
    trial.end_process(disk)
    trial.recover()
    trial.audit()
    return [re.sub(r"[0-9a-f]{12,}", "N", call) for call in disk.calls]


def choose_calls(calls: list[str], *, is_first: bool = False) -> list[int]:
    """One call of each kind that changes what a crash leaves: the first, or one in the middle."""
    places: dict[str, list[int]] = {}
    for at, call in enumerate(calls):
        if not call.startswith(("open ", "close ")):
            places.setdefault(call, []).append(at)
    return sorted(found[0 if is_first else len(found) // 2] for found in places.values())


def try_all(root: Path, at: int) -> str | None:
    """One call in every way; returns which one, None when no run was that long."""
    failed = [try_failure(root / how.value, at, how) for how in Failure]
    cut = try_power_cut(root / "cut", at, tuple(Survival))
    try_kill_and_power_cut(root / "killed", at)
    try_kill_and_power_cut(root / "next day", at, later_ns=DAY_NS)
    # A start and what it seals is less than two hundred calls.
    for cuts_after in range(at % 17, 200, 17):
        try_kill_and_power_cut(root / f"{cuts_after}", at, cuts_after=cuts_after)
    return cut or next(filter(None, failed), None)


def main() -> int:
    """Try every call, and say how many there were."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.commit",
        description="Fail each I/O call of the commit path in turn; cut the power before each.",
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth call")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin at this call")
    options = parser.parse_args()
    wrong = 0
    with small_limits(), tempfile.TemporaryDirectory() as folder:
        for at in itertools.count(options.first, options.every):
            root = Path(folder) / str(at)
            try:
                call = try_all(root, at)
            except Exception:  # noqa: BLE001 - the other calls are tried all the same
                traceback.print_exc()
                sys.stdout.write(f"{at}: WRONG\n")
                wrong += 1
            else:
                sys.stdout.write(f"{at}: {call or 'after the last call'}\n")
                if call is None:
                    sys.stdout.write(f"{wrong} wrong\n")
                    return 1 if wrong else 0
            sys.stdout.flush()
            shutil.rmtree(root)
    raise AssertionError("counting has no end")


if __name__ == "__main__":
    sys.exit(main())
