from __future__ import annotations

import io

from meshtrail.cli.progress import PLAIN_SECONDS, TERMINAL_SECONDS, ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_is_printed_every_few_seconds_only() -> None:
    stream, ticks = io.StringIO(), Ticks()
    with ProgressLine(stream, monotonic=ticks) as progress:
        progress(1, 100, "entries")
        ticks.now = PLAIN_SECONDS
        progress(2_500, 10_000, "entries")
        progress(2_600, 10_000, "entries")
    assert stream.getvalue() == "entries: 2,500 of 10,000 (25 %)\n"


def test_on_a_terminal_one_line_moves_and_is_taken_away_at_the_end() -> None:
    stream, ticks = Terminal(), Ticks()
    with ProgressLine(stream, monotonic=ticks) as progress:
        ticks.now += TERMINAL_SECONDS
        progress(1000, 1000, "entries")
        ticks.now += TERMINAL_SECONDS
        progress(0, 0, "x")
    moved = stream.getvalue().split("\r")
    assert moved[1] == "entries: 1,000 of 1,000 (100 %)"
    assert moved[2].strip() == "x: 0 of 0"
    assert len(moved[2]) == len(moved[1])
    assert moved[-2].strip() == moved[-1] == ""


def test_short_work_prints_nothing() -> None:
    stream = Terminal()
    with ProgressLine(stream, monotonic=Ticks()) as progress:
        progress(1, 1, "entries")
    assert stream.getvalue() == ""
