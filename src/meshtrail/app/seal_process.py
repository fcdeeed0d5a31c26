"""The seal process: seals what the journals hold until it is stopped, then until they are empty."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from meshtrail.app.child import Child, run_child
from meshtrail.app.clock import SystemClock
from meshtrail.app.deriver import DeriverProcess
from meshtrail.app.process_options import read_process_options
from meshtrail.app.run_file import RunFile
from meshtrail.log.sealer import Sealer
from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    import threading


SWITCH_SECONDS: Final = 0.000_5
"""Whoever writes a segment asks for the interpreter at each megabyte, and would wait 5 ms for it
each time that files are merged meanwhile: a tenth of the sealer's speed."""

_NANOS: Final = 1_000_000_000


class Ticking(Protocol):
    """What seals: a ``Sealer``."""

    @property
    def read_ns(self) -> int:
        """When the journals were last read: monotonic nanoseconds."""
        ...

    def tick(self) -> int:
        """Seal what is there; returns how many entries, 0 only when the journals hold no more."""
        ...


@dataclass(slots=True)
class Work:
    """How much a sealer did since its start.

    Attributes:
        ticks_count: ticks that are over.
        seconds: that they took together.
    """

    ticks_count: int = 0
    seconds: float = 0.0


def seal(child: Child) -> None:
    """Run the sealer for as long as the supervisor wants."""
    sys.setswitchinterval(SWITCH_SECONDS)
    options = read_process_options(child.options)
    configuration = options.configuration
    clock, work = SystemClock(), Work()
    with (
        DeriverProcess() as deriver,
        Sealer(
            Disk(),
            options.layout,
            options.read_signer(),
            configuration.seal,
            clock=clock,
            diag=child.diag,
            deriver=deriver,
        ) as sealer,
        RunFile(
            options.layout,
            child.name,
            clock=clock,
            read_facts=lambda: {
                "ticks": work.ticks_count,
                "tick_seconds": work.seconds,
                "alarms": dict(child.alarms),
            },
        ),
    ):
        child.tell_ready(tree_size=sealer.tree_size)
        tick_seconds = configuration.seal.tick_ms / 1000
        run_sealer(sealer, child.stopping, tick_seconds=tick_seconds, work=work)
        child.diag.info("journals_drained", tree_size=sealer.tree_size)


def run_sealer(
    sealer: Ticking, stopping: threading.Event, *, tick_seconds: float, work: Work | None = None
) -> None:
    """Tick at the sealer's own pace until ``stopping``, then seal what the journals still hold.

    Args:
        sealer: what ticks.
        stopping: set from another thread.
        tick_seconds: from one reading of the journals to the next.
        work: is told of each tick.
    """
    work = work or Work()
    while not stopping.is_set():
        begun = time.monotonic()
        sealer.tick()
        took = time.monotonic() - begun
        work.ticks_count += 1
        work.seconds += took
        # What was taken ahead was read in the middle of the tick before.
        since_read = (time.monotonic_ns() - sealer.read_ns) / _NANOS
        stopping.wait(max(tick_seconds - since_read, 0))
    while sealer.tick():
        pass


if __name__ == "__main__":
    sys.exit(run_child("seal", seal))
