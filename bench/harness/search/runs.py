"""Asks engines, takes the time, and holds every answer against the only right one."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.harness.search.questions import Answer, Engine, Sample, Task
    from bench.harness.search.quiet import Quiet

COLD_COUNT_MIN: Final = 1
ATTEMPTS_MAX: Final = 5
"""Where others are never quiet, the last time counts."""


@dataclass(slots=True)
class Times:
    """What the answers to one kind of question took.

    Attributes:
        times_ms: of each.
        wrong: questions whose answer was another than the right one.
        set_aside_count: answers that were not timed because others were busy meanwhile.
    """

    times_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    set_aside_count: int = 0

    def ask(self, engine: Engine, sample: Sample, quiet: Quiet | None = None) -> bool:
        """Ask one question, again where others were busy meanwhile; each answer is checked.

        Returns:
            Whether the engine has an answer to such questions.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            if quiet is not None:
                quiet.wait()
            started = time.perf_counter()
            answer = engine.ask(sample.question)
            elapsed_ms = (time.perf_counter() - started) * 1e3
            if answer is None:
                return False
            if answer != sample.want:
                self.wrong.append(describe_difference(sample, answer))
            if quiet is None or attempt == ATTEMPTS_MAX or quiet.was_kept():
                self.times_ms.append(elapsed_ms)
                break
            self.set_aside_count += 1
        return True

    def figures(self) -> dict[str, Any] | None:
        """JSON-ready; None when nothing was answered."""
        if not self.times_ms:
            return None
        facts: dict[str, Any] = {
            "samples_count": len(self.times_ms),
            "p50_ms": round(float(np.percentile(self.times_ms, 50)), 1),
            "p95_ms": round(float(np.percentile(self.times_ms, 95)), 1),
            "max_ms": round(max(self.times_ms), 1),
        }
        if self.set_aside_count:
            facts["set_aside_count"] = self.set_aside_count
        return facts | ({"wrong": self.wrong} if self.wrong else {})


@dataclass(slots=True)
class TaskTimes:
    """What one engine took for one kind of question."""

    warm: Times = field(default_factory=Times)
    cold: Times = field(default_factory=Times)

    def figures(self) -> dict[str, Any] | None:
        """JSON-ready; None when the engine has no answer to such questions."""
        warm = self.warm.figures()
        return None if warm is None else warm | {"cold": self.cold.figures()}


def ask_warm(
    engine: Engine,
    tasks: Sequence[Task],
    times: Sequence[TaskTimes],
    *,
    round_index: int = 0,
    rounds_count: int = 1,
    quiet: Quiet | None = None,
) -> None:
    """Ask one round's part of the questions with the files in the page cache."""
    engine.warm()
    limit = engine.samples_max
    # What takes seconds would rarely be left alone, and is not asked for its milliseconds.
    quiet = quiet if limit is None else None
    for task, one in zip(tasks, times, strict=True):
        # An engine that is asked little reads its files anew each time: it has no warming up.
        warm_up = task.warm_up if limit is None else ()
        if not all(Times().ask(engine, sample) for sample in warm_up):
            continue
        for sample in task.samples[round_index::rounds_count][:limit]:
            if not one.warm.ask(engine, sample, quiet):
                break


def ask_cold(engine: Engine, tasks: Sequence[Task], times: Sequence[TaskTimes]) -> None:
    """Ask a few questions more, each of files that are not in the page cache."""
    limit = None if engine.samples_max is None else COLD_COUNT_MIN
    for task, one in zip(tasks, times, strict=True):
        if not one.warm.times_ms:
            continue
        for sample in task.cold[:limit]:
            engine.cool()
            one.cold.ask(engine, sample)


def found_figures(task: Task) -> dict[str, float]:
    """How much the right answers to a task's questions hold."""
    counts = [len(sample.want) for sample in task.samples]
    return {"min": min(counts), "median": statistics.median(counts), "max": max(counts)}


def describe_difference(sample: Sample, answer: Answer) -> str:
    """A wrong answer, beside the right one."""
    return (
        f"{sample.question}: want {len(sample.want)} {_beginning(sample.want)}, "
        f"got {len(answer)} {_beginning(answer)}"
    )


def _beginning(answer: Answer) -> str:
    return str(list(answer.items() if isinstance(answer, dict) else answer)[:3])
