"""The seal process: seals what the journals hold until it is stopped, then until they are empty."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from meshtrail.app.child import Child, run_child
from meshtrail.app.clock import SystemClock
from meshtrail.app.deriver import DeriverProcess
from meshtrail.app.process_options import read_process_options
from meshtrail.log.sealer import Sealer
from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    import threading


SWITCH_SECONDS: Final = 0.000_5
"""Whoever writes a segment asks for the interpreter at each megabyte, and would wait 5 ms for it
each time that files are merged meanwhile: a tenth of the sealer's speed."""


class Ticking(Protocol):
    """What seals: a ``Sealer``."""

    def tick(self) -> int:
        """Seal what is there; returns how many entries, 0 only when the journals hold no more."""
        ...


def seal(child: Child) -> None:
    """Run the sealer for as long as the supervisor wants."""
    sys.setswitchinterval(SWITCH_SECONDS)
    options = read_process_options(child.options)
    configuration = options.configuration
    with (
        DeriverProcess() as deriver,
        Sealer(
            Disk(),
            options.layout,
            options.read_signer(),
            configuration.seal,
            clock=SystemClock(),
            diag=child.diag,
            deriver=deriver,
        ) as sealer,
    ):
        child.tell_ready(tree_size=sealer.tree_size)
        run_sealer(sealer, child.stopping, tick_seconds=configuration.seal.tick_ms / 1000)
        child.diag.info("journals_drained", tree_size=sealer.tree_size)


def run_sealer(sealer: Ticking, stopping: threading.Event, *, tick_seconds: float) -> None:
    """Tick at the sealer's own pace until ``stopping``, then seal what the journals still hold."""
    while not stopping.is_set():
        begun = time.monotonic()
        sealer.tick()
        stopping.wait(max(tick_seconds - (time.monotonic() - begun), 0))
    while sealer.tick():
        pass


if __name__ == "__main__":
    sys.exit(run_child("seal", seal))
