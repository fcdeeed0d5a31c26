"""Draws questions from a log's own rows, over its whole length; the same for the same seed."""

from __future__ import annotations

import itertools
import random  # noqa: TID251 - seeded: the same questions can be asked again
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.harness.search.questions import (
    ByCaller,
    ById,
    ByPath,
    ByPrincipal,
    PairCounts,
    Proof,
    Sample,
    Task,
    Window,
)
from bench.harness.search.reference import ID_COLUMNS, Reference, find_ids, take_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.harness.search.questions import Question
    from bench.harness.search.reference import LogColumns

HOUR_NS: Final = 3_600_000_000_000
WINDOWS_MIN: Final = 24
"""A log is asked for an hour when it spans a day; else for this part of what it spans."""

_ATTEMPTS: Final = 20
_RARE_SHARE: Final = 0.02
_IDS_SPARE: Final = 1.2
_PART: Final = "(/[!#-.0-~]+)*"
_DIGITS: Final = re.compile(r"(?<=/)[0-9]{3,}(?=/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of question.

    Attributes:
        share: of the samples that ids have.
        cold_count: how many are asked of cold files, at most.
        make: draws one; None when the row that was drawn does not allow it.
    """

    name: str
    title: str
    goal_ms: float
    share: float
    cold_count: int = 5
    make: Callable[[Drawer], Question | None]

    def counts(self, samples_count: int) -> tuple[int, int, int]:
        """How many warm up, are measured warm, are measured cold."""
        measured = max(round(samples_count * self.share), 1)
        return max(measured // 10, 2), measured, min(self.cold_count, measured)


class Drawer:
    """Draws single questions."""

    def __init__(
        self, columns: LogColumns, ids: Mapping[str, Sequence[bytes]], *, seed: int
    ) -> None:
        """Take the log.

        Args:
            columns: of the whole log.
            ids: for each id column, the ids to ask for, one after the other.
            seed: of everything else.
        """
        self._columns = columns
        self._ids = {column: itertools.cycle(values) for column, values in ids.items()}
        self._random = random.Random(seed)  # noqa: S311 - samples, not secrets
        self._numbers = itertools.count()
        self._rare = _rarest(columns)
        self.window_ns = window_ns(columns)

    def id(self, *, column: str, is_wide: bool) -> ById | None:
        """The next id."""
        value = next(self._ids[column], None)
        return None if value is None else ById(column=column, value=value, is_wide=is_wide)

    def caller(self) -> ByCaller | None:
        """The caller of an entry, within a window that holds that entry."""
        index = self._index()
        place = int(self._columns.callers[index])
        if place < 0:
            return None
        identity = self._columns.identities[place]
        return ByCaller(identity=identity, window=self._window(index))

    def pairs(self) -> PairCounts:
        """A window."""
        return PairCounts(self._window(self._index()))

    def principal(self) -> ByPrincipal | None:
        """One of the ends of an entry."""
        ends = self._random.choice([self._columns.callers, self._columns.callees])
        place = int(ends[self._index()])
        return None if place < 0 else ByPrincipal(self._columns.identities[place])

    def rare_principal(self) -> ByPrincipal | None:
        """One of those with the fewest entries."""
        return ByPrincipal(self._random.choice(self._rare)) if self._rare else None

    def absent_principal(self) -> ByPrincipal:
        """One that the log does not have."""
        return ByPrincipal(f"spiffe://cluster.local/ns/nowhere/sa/nobody-{next(self._numbers)}")

    def absent_path(self) -> ByPath:
        """A pattern that fails only at the end of many paths."""
        return ByPath(rf"{_PART}/[a-z]*[0-9]+(/[a-z]+)?/nothing-{next(self._numbers)}")

    def rare_path(self) -> ByPath | None:
        """Every path with the number that one path has."""
        place = int(self._columns.path_places[self._index()])
        digits = _DIGITS.search(self._columns.paths[place]) if place >= 0 else None
        return digits and ByPath(f"{_PART}/{digits[0]}{_PART}")

    def common_path(self) -> ByPath:
        """Paths that end in a number with two certain digits: one in some hundred."""
        return ByPath(f"{_PART}/[0-9]*{self._random.randrange(100):02d}")

    def proof(self, *, is_anew: bool) -> Proof:
        """Any entry."""
        return Proof(leaf_index=self._index(), is_anew=is_anew)

    def _index(self) -> int:
        return self._random.randrange(len(self._columns.received_ns))

    def _window(self, index: int) -> Window:
        """A window somewhere around an entry, within the log."""
        received = self._columns.received_ns
        from_ns = int(received[index]) - self._random.randrange(self.window_ns)
        from_ns = min(from_ns, int(received[-1]) + 1 - self.window_ns)
        from_ns = max(from_ns, int(received[0]))
        return Window(from_ns, from_ns + self.window_ns)


KINDS: Final = (
    *(
        Kind(
            name=f"{column.removesuffix('_id')}{'_all_columns' if is_wide else ''}",
            title=f"one {column.replace('_', ' ')}{', all columns' if is_wide else ''}",
            goal_ms=50,
            share=1,
            make=partial(Drawer.id, column=column, is_wide=is_wide),
        )
        for column in ID_COLUMNS
        for is_wide in (False, True)
    ),
    Kind(
        name="identity_hour",
        title="newest 100 of a caller in an hour",
        goal_ms=100,
        share=0.5,
        make=Drawer.caller,
    ),
    Kind(
        name="pairs_hour",
        title="counts by pair for an hour",
        goal_ms=300,
        share=0.3,
        make=Drawer.pairs,
    ),
    Kind(
        name="principal",
        title="latest 100 of a principal",
        goal_ms=100,
        share=0.5,
        make=Drawer.principal,
    ),
    Kind(
        name="principal_rare",
        title="latest 100 of a rare principal",
        goal_ms=100,
        share=0.2,
        make=Drawer.rare_principal,
    ),
    Kind(
        name="principal_absent",
        title="latest 100 of nobody",
        goal_ms=100,
        share=0.2,
        make=Drawer.absent_principal,
    ),
    Kind(
        name="path_none",
        title="regex over all paths, no match",
        goal_ms=2_000,
        share=0.1,
        cold_count=3,
        make=Drawer.absent_path,
    ),
    Kind(
        name="path_rare",
        title="regex over all paths, rare match",
        goal_ms=2_000,
        share=0.1,
        cold_count=3,
        make=Drawer.rare_path,
    ),
    Kind(
        name="path_common",
        title="regex over paths, common match",
        goal_ms=2_000,
        share=0.2,
        cold_count=3,
        make=Drawer.common_path,
    ),
    Kind(
        name="prove_check",
        title="prove and check one entry",
        goal_ms=20,
        share=0.5,
        make=partial(Drawer.proof, is_anew=False),
    ),
    Kind(
        name="prove_check_anew",
        title="prove and check one entry, log opened anew",
        goal_ms=20,
        share=0.5,
        make=partial(Drawer.proof, is_anew=True),
    ),
)


def window_ns(columns: LogColumns) -> int:
    """An hour, or a 24th of what the log spans."""
    span_ns = int(columns.received_ns[-1]) - int(columns.received_ns[0]) + 1
    return max(min(HOUR_NS, span_ns // WINDOWS_MIN), 1)


def draw_tasks(
    columns: LogColumns, segments: Sequence[Path], *, samples_count: int, seed: int
) -> tuple[Task, ...]:
    """Draw the samples of every kind and answer them.

    Args:
        columns: of the whole log.
        segments: the live ones, for the ids.
        samples_count: how many ids are measured; other kinds have their share of it.
        seed: of all that is drawn.
    """
    wanted = 2 * sum(KINDS[0].counts(samples_count))
    drawn, entries = {}, {}
    for column in ID_COLUMNS:
        chosen = np.random.default_rng(seed).permutation(len(columns.received_ns))
        ids = take_ids(segments, column, chosen[: round(wanted * _IDS_SPARE)])
        drawn[column] = tuple(dict.fromkeys(ids.values()))
        entries[column] = find_ids(segments, column, drawn[column])
    drawer = Drawer(columns, drawn, seed=seed)
    reference = Reference(columns, entries)
    return tuple(_draw_task(kind, drawer, reference, samples_count) for kind in KINDS)


def _draw_task(kind: Kind, drawer: Drawer, reference: Reference, samples_count: int) -> Task:
    counts = kind.counts(samples_count)
    questions = list(itertools.islice(_distinct(kind, drawer), sum(counts)))
    again = itertools.cycle(questions) if questions else iter(())
    samples = iter(
        [
            Sample(question, reference.answer(question))
            for question in itertools.islice(again, sum(counts))
        ]
    )
    warm_up, measured, cold = (tuple(itertools.islice(samples, count)) for count in counts)
    return Task(
        name=kind.name,
        title=kind.title,
        goal_ms=kind.goal_ms,
        warm_up=warm_up,
        samples=measured,
        cold=cold,
    )


def _distinct(kind: Kind, drawer: Drawer) -> Iterator[Question]:
    """Questions of a kind, each once, until the log seems to have no more."""
    asked: set[Question] = set()
    failed_count = 0
    while failed_count < _ATTEMPTS:
        question = kind.make(drawer)
        if question is None or question in asked:
            failed_count += 1
            continue
        failed_count = 0
        asked.add(question)
        yield question


def _rarest(columns: LogColumns) -> list[str]:
    """The identities with the fewest entries, at either end."""
    count = len(columns.identities)
    ends = np.concatenate([columns.callers, columns.callees])
    entries_counts = np.bincount(ends[ends >= 0], minlength=count)
    rarest = np.argsort(entries_counts, kind="stable")[: max(round(count * _RARE_SHARE), 1)]
    return [columns.identities[place] for place in rarest]
