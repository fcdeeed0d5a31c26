from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.run_file import STALE_NS, RunFile, read_run_files
from meshtrail.store.layout import Layout
from tests.fake_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


class Facts:
    """Says how often it was asked, and tells when it was."""

    def __init__(self) -> None:
        self.asked = 0
        self._changed = threading.Condition()

    def __call__(self) -> dict[str, object]:
        with self._changed:
            self.asked += 1
            self._changed.notify_all()
            return {"asked": self.asked}

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.asked >= count, 20)


def test_what_a_process_tells_is_read_back_while_it_runs_and_gone_afterwards(
    layout: Layout,
) -> None:
    facts, clock = Facts(), FakeClock()
    started_ns = clock.wall_ns()
    with RunFile(layout, "collect", clock=clock, read_facts=facts, seconds=0.001):
        # The third asking comes after the second writing.
        facts.wait_for(3)
        told = read_run_files(layout)["collect"]
    assert told.facts["asked"] >= 2
    assert (told.process, told.started_ns) == ("collect", started_ns)
    assert not told.is_stale(told.written_ns + STALE_NS)
    assert told.is_stale(told.written_ns + STALE_NS + 1)
    assert read_run_files(layout) == {}
    assert list((layout.root / "run").iterdir()) == []


def test_a_disk_that_refuses_stops_nobody(layout: Layout) -> None:
    (layout.root / "run").write_text("in the way")
    facts = Facts()
    with RunFile(layout, "seal", clock=FakeClock(), read_facts=facts, seconds=0.001):
        facts.wait_for(3)
    assert read_run_files(layout) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"pid": 1, "started_ns": 1, "written_ns": 1}',
        '{"pid": "x", "started_ns": 1, "written_ns": 1, "facts": {}}',
        '{"pid": 1, "started_ns": 1, "written_ns": 1, "facts": 7}',
        "[" * 100_000,
    ],
)
def test_a_file_that_does_not_read_back_is_left_out(layout: Layout, text: str) -> None:
    folder = layout.root / "run"
    folder.mkdir()
    good = {"pid": 1, "started_ns": 2, "written_ns": 3, "facts": {"a": 1}}
    (folder / "up.json").write_text(json.dumps(good))
    (folder / "seal.json").write_text(text)
    assert list(read_run_files(layout)) == ["up"]
