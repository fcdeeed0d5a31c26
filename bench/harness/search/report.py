"""The figures of all questions as one table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.search.table import AlignedLines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WRONG: Final = "WRONG"
_NOTHING: Final = "-"
_WHOLE_MS_MIN: Final = 100
_TITLES: Final = {"meshtrail": "meshtrail", "chdb": "chDB", "jsonl": "ripgrep"}


def format_table(questions: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Lines of milliseconds: the goal, then each engine warm and cold.

    Args:
        questions: as the result's ``questions``.
        names: of the engines, meshtrail first.
    """
    titles = ["question (ms)", "goal p95"]
    for name in names:
        shown = _TITLES[name]
        titles += [f"{shown} p50", "p95", "max", "cold p50"]
    lines = AlignedLines(titles, [False] * len(titles), width=None)
    lines.add(
        [question["title"], f"{question['goal_ms']:g}", *_cells(question, names)]
        for question in questions
    )
    return "\n".join(lines.take())


def _cells(question: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    cells = []
    for name in names:
        figures = question[name]
        if figures is None:
            cells += [_NOTHING] * 4
            continue
        cold = figures["cold"] or {}
        is_wrong = "wrong" in figures or "wrong" in cold
        times = [figures["p50_ms"], figures["p95_ms"], figures["max_ms"], cold.get("p50_ms")]
        cells += [WRONG] * 4 if is_wrong else [_format_ms(time) for time in times]
    return cells


def _format_ms(time_ms: float | None) -> str:
    if time_ms is None:
        return _NOTHING
    return f"{time_ms:,.{0 if time_ms >= _WHOLE_MS_MIN else 1}f}"
