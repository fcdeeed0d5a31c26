from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from meshtrail.app.clock import SystemClock
from meshtrail.app.collect_process import collect
from meshtrail.app.process_options import format_process_options
from meshtrail.collect.own_stream import WRITER
from meshtrail.errors import WriterHeldError
from meshtrail.journal import JournalReader, JournalWriter
from meshtrail.store.durable import Disk
from meshtrail.store.layout import Format, Layout, create_layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Child:
    """A child that is asked to stop as soon as it is ready."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.name = "collect"
        self.alarms: Counter[str] = Counter()
        self.options = options
        self.diag = structlog.get_logger()
        self.told: list[dict[str, Any]] = []
        self.callbacks: list[Callable[[], object]] = []

    def on_stop(self, callback: Callable[[], object]) -> None:
        self.callbacks.append(callback)

    def tell_ready(self, **facts: Any) -> None:
        self.told.append(facts)
        for callback in self.callbacks:
            callback()


@pytest.fixture
def child(tmp_path: Path) -> Child:
    layout = Layout(tmp_path / "data")
    create_layout(Disk(), layout, Format("mesh/one/0badcafe", "key"))
    return Child(
        format_process_options(
            data=layout.root,
            key_file=tmp_path / "log.key",
            tables={"collect": {"grpc": "127.0.0.1:0", "otlp_http": "127.0.0.1:0"}},
            overrides={},
            folder=tmp_path,
        )
    )


def test_it_listens_tells_the_real_port_and_keeps_it_for_the_next_start(
    child: Child, tmp_path: Path
) -> None:
    collect(child)  # type: ignore[arg-type] # as much of a child as it needs
    (told,) = child.told
    host, _, port = told["grpc"].rpartition(":")
    assert (host, int(port) > 0, told["mtls"]) == ("127.0.0.1", True, False)
    assert told["security"] == "plaintext, loopback only"
    assert told["otlp_http"].startswith("127.0.0.1:")
    assert told["keep"] == {
        "collect.grpc": told["grpc"],
        "collect.otlp_http": told["otlp_http"],
    }
    # Its own stream says when it recorded: opened and closed are in the journal.
    journal = JournalReader(tmp_path / "data" / "journal" / WRITER).read()
    assert journal is not None
    # What it tells of itself is gone with it.
    assert list((tmp_path / "data" / "run").iterdir()) == []
    # A stop after the end is heard by nobody, and does no harm.
    child.callbacks[0]()


def test_a_second_collector_of_a_directory_is_refused(child: Child, tmp_path: Path) -> None:
    directory = tmp_path / "data" / "journal" / WRITER
    with JournalWriter(directory, clock=SystemClock()), pytest.raises(WriterHeldError):
        collect(child)  # type: ignore[arg-type] # as much of a child as it needs
    assert child.told == []
