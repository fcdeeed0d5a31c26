"""The ledger process: keeps account of what is missing until it is stopped."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from meshtrail.app.child import run_child
from meshtrail.app.clock import SystemClock
from meshtrail.app.inventory_file import InventoryFile
from meshtrail.app.ledger_keeper import WRITER, LedgerKeeper
from meshtrail.app.process_options import read_process_options
from meshtrail.app.run_file import RunFile
from meshtrail.app.version import read_version
from meshtrail.errors import UnavailableError
from meshtrail.journal import JournalWriter
from meshtrail.note import parse_vkey

if TYPE_CHECKING:
    from meshtrail.app.child import Child

LOOK_SECONDS: Final = 1.0
_NICE: Final = 5
"""Lower priority than those that record."""


def keep_ledger(child: Child) -> None:
    """Keep the ledger for as long as the supervisor wants."""
    options = read_process_options(child.options)
    # It is given the public key, and never opens the private one.
    verifier = parse_vkey(child.options["vkey"])
    clock = SystemClock()
    inventory = options.configuration.ledger.inventory
    with JournalWriter(
        options.layout.journals / WRITER, clock=clock, options=options.configuration.journal
    ) as journal:
        keeper = LedgerKeeper(
            options.layout,
            verifier,
            origin=verifier.name,
            journal=journal,
            clock=clock,
            version=read_version(),
            inventory=InventoryFile(inventory, child.diag) if inventory is not None else None,
        )
        with RunFile(
            options.layout,
            child.name,
            clock=clock,
            read_facts=lambda: {**keeper.figures(), "alarms": dict(child.alarms)},
        ):
            child.tell_ready()
            while not child.stopping.wait(LOOK_SECONDS):
                try:
                    keeper.look(child.stopping.is_set)
                except UnavailableError as error:
                    child.diag.warning("ledger_waits", message=error.message)
        keeper.close()
        child.diag.info("ledger_closed")


if __name__ == "__main__":
    os.nice(_NICE)
    sys.exit(run_child(WRITER, keep_ledger))
