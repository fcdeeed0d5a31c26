"""The serve process: answers HTTP until it is stopped. Reads a data directory, and writes none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

import uvloop

from meshtrail.api.routes import make_application
from meshtrail.api.serving import open_serving
from meshtrail.app.child import run_child
from meshtrail.app.clock import SystemClock
from meshtrail.app.process_options import read_process_options
from meshtrail.app.version import read_version
from meshtrail.collect.address import Address, parse_address
from meshtrail.http.server import Server, open_socket
from meshtrail.note import parse_vkey
from meshtrail.search.confine import deny_writes
from meshtrail.verify.pins import KeySource, TrustedKey

if TYPE_CHECKING:
    import socket

    from meshtrail.app.child import Child
    from meshtrail.app.process_options import ProcessOptions

_NICE: Final = 5
"""Lower priority than those that record."""


def serve(child: Child) -> None:
    """Answer for as long as the supervisor wants."""
    options = read_process_options(child.options)
    address = parse_address(options.configuration.serve.http)
    with (
        open_socket(address, option="--http") as listening,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run(child, options, listening))
    child.diag.info("serve_stopped")


async def _run(child: Child, options: ProcessOptions, listening: socket.socket) -> None:
    address = Address(*listening.getsockname()[:2]).format()

    def tell_ready() -> None:
        # Started again, it must answer where its clients look for it.
        child.tell_ready(http=address, keep={"serve.http": address})
        child.diag.info("serve_started", address=address)

    serve_options = options.configuration.serve
    with open_serving(
        options.layout,
        # The supervisor has it from the private key itself.
        TrustedKey(verifier=parse_vkey(child.options["vkey"]), source=KeySource.OPTION),
        serve_options,
        clock=SystemClock(),
        diag=child.diag,
        alarms=child.alarms,
        version=read_version(),
    ) as serving:
        server = Server(
            make_application(serving),
            connections_max=serve_options.connections_max,
            on_ready=tell_ready,
        )
        _stop_with(child, server, serving.stopping)
        await server.serve([listening])


def _stop_with(child: Child, server: Server, stopping: asyncio.Event) -> None:
    """End what is being answered, and then the server, once the process is to end."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        server.should_exit = True

    def ask_to_stop() -> None:
        # The loop may be closed already: then there is nothing left to stop.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop)

    child.on_stop(ask_to_stop)


if __name__ == "__main__":
    # Before it starts a thread: what is read here is never written, whoever asks.
    deny_writes()
    os.nice(_NICE)
    sys.exit(run_child("serve", serve))
