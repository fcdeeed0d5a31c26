"""The collect process: receives, journals and acknowledges until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import uvloop

from meshtrail.app.child import Child, run_child
from meshtrail.app.clock import SystemClock
from meshtrail.app.process_options import ProcessOptions, read_process_options
from meshtrail.app.run_file import RunFile
from meshtrail.app.version import read_version
from meshtrail.collect import SenderRefusals, run_collect
from meshtrail.collect.own_stream import WRITER
from meshtrail.collect.tail import TailFigures
from meshtrail.journal import JournalWriter

if TYPE_CHECKING:
    from meshtrail.collect import Listening


def collect(child: Child) -> None:
    """Run the collector for as long as the supervisor wants."""
    options = read_process_options(child.options)
    clock = SystemClock()
    refusals = SenderRefusals(child.diag)
    tail_figures = TailFigures()
    with (
        JournalWriter(
            options.layout.journals / WRITER, clock=clock, options=options.configuration.journal
        ) as journal,
        RunFile(
            options.layout,
            child.name,
            clock=clock,
            read_facts=lambda: {
                "entries": journal.entries_count,
                "bytes": journal.bytes_count,
                "streams": journal.streams_count,
                "senders_refused": refusals.count,
                "tail": tail_figures.as_json(),
                "alarms": dict(child.alarms),
            },
        ),
    ):
        # A seventh less CPU for each message than with the standard library's loop.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                _run(child, options, journal, clock, refusals=refusals, tail_figures=tail_figures)
            )
        child.diag.info("streams_drained")


async def _run(
    child: Child,
    options: ProcessOptions,
    journal: JournalWriter,
    clock: SystemClock,
    *,
    refusals: SenderRefusals,
    tail_figures: TailFigures,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        # The loop may be closed already: then there is nothing left to stop.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    child.on_stop(ask_to_stop)
    collect_options = options.configuration.collect

    def tell_ready(listening: Listening) -> None:
        # Started again, it must listen where its senders look for it.
        keep: dict[str, object] = {"collect.grpc": listening.grpc}
        if listening.otlp_http is not None:
            keep["collect.otlp_http"] = listening.otlp_http
        child.tell_ready(
            grpc=listening.grpc,
            otlp_http=listening.otlp_http,
            mtls=collect_options.is_mtls,
            security=collect_options.describe_security(),
            keep=keep,
        )

    await run_collect(
        collect_options,
        journal=journal,
        clock=clock,
        version=read_version(),
        refusals=refusals,
        diag=child.diag,
        stop=stop,
        ready=tell_ready,
        tail_figures=tail_figures,
    )


if __name__ == "__main__":
    sys.exit(run_child("collect", collect))
