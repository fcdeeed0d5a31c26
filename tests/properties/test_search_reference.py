"""The search benchmark's right answers, its samples, and how it notices a wrong answer."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from bench.harness.search.draw import HOUR_NS, draw_tasks, window_ns
from bench.harness.search.questions import (
    LIMIT,
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
from bench.harness.search.quiet import Quiet
from bench.harness.search.reference import (
    LogColumns,
    Reference,
    find_ids,
    read_log_columns,
    take_ids,
)
from bench.harness.search.report import WRONG, format_table
from bench.harness.search.rivals import DiskSpaceError, check_disk_space
from bench.harness.search.runs import ATTEMPTS_MAX, TaskTimes, Times, ask_cold, ask_warm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from bench.harness.search.questions import Answer, Question

NAMES = ["a", "b", "c"]
PATHS = ["/x/100", "/x/100/history", "/y/234", "/"]
FIRST_NS = 1_763_712_000_000_000_000


class Row(NamedTuple):
    """What a question may be about."""

    received_time: int
    src_spiffe_id: str | None
    dst_spiffe_id: str | None
    url_path: str | None
    trace_id: bytes | None = None
    request_id: bytes | None = None


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Rows in order of arrival, some at the same moment."""
    name, path = st.sampled_from([*NAMES, None]), st.sampled_from([*PATHS, None])
    steps = draw(st.lists(st.integers(0, 3), min_size=1, max_size=40))
    moments = np.cumsum(steps).tolist()
    return [Row(moment, draw(name), draw(name), draw(path)) for moment in moments]


def columns_of(rows: Sequence[Row]) -> LogColumns:
    def places(values: Sequence[str | None], known: Sequence[str]) -> npt.NDArray[np.int32]:
        return np.array(
            [-1 if value is None else known.index(value) for value in values], dtype=np.int32
        )

    return LogColumns(
        received_ns=np.array([row.received_time for row in rows], dtype=np.int64),
        callers=places([row.src_spiffe_id for row in rows], NAMES),
        callees=places([row.dst_spiffe_id for row in rows], NAMES),
        path_places=places([row.url_path for row in rows], PATHS),
        identities=NAMES,
        paths=PATHS,
    )


def newest(rows: Sequence[Row], holds: Callable[[Row], bool]) -> tuple[int, ...]:
    return tuple(at for at in reversed(range(len(rows))) if holds(rows[at]))[:LIMIT]


@given(
    rows=logs(),
    name=st.sampled_from([*NAMES, "nobody"]),
    bounds=st.tuples(*[st.integers(0, 60)] * 2),
)
def test_reference_answers_as_a_plain_loop_over_rows_does(
    rows: list[Row], name: str, bounds: tuple[int, int]
) -> None:
    window = Window(min(bounds), max(bounds))
    within = [row for row in rows if window.from_ns <= row.received_time < window.to_ns]
    reference = Reference(columns_of(rows), {})
    want: dict[Question, Answer] = {
        ByCaller(identity=name, window=window): newest(
            rows, lambda row: row in within and row.src_spiffe_id == name
        ),
        ByPrincipal(name): newest(rows, lambda row: name in row[1:3]),
        PairCounts(window): dict(Counter((row.src_spiffe_id, row.dst_spiffe_id) for row in within)),
        ByPath("/x/[0-9]+"): newest(rows, lambda row: row.url_path == "/x/100"),
        ByPath("/z"): (),
        Proof(leaf_index=len(rows) - 1, is_anew=True): (len(rows) - 1, rows[-1].received_time),
    }
    assert {question: reference.answer(question) for question in want} == want


def test_reference_gives_the_newest_and_no_more_than_the_limit() -> None:
    rows = [Row(at, "a", None, "/") for at in range(LIMIT + 5)]
    reference = Reference(columns_of(rows), {"trace_id": {b"t": tuple(range(LIMIT + 4, -1, -1))}})
    by_id = ById(column="trace_id", value=b"t", is_wide=False)
    for question in (by_id, ByPrincipal("a"), ByPath("/")):
        assert reference.answer(question) == tuple(range(LIMIT + 4, 4, -1))


def has_trace(value: bytes, row: Row) -> bool:
    return row.trace_id == value


def write_segments(folder: Path, rows: Sequence[Row], *, ends: Sequence[int]) -> list[Path]:
    schema = pa.schema(
        [
            ("received_time", pa.int64()),
            *((name, pa.string()) for name in ("src_spiffe_id", "dst_spiffe_id", "url_path")),
            *((name, pa.binary(16)) for name in ("trace_id", "request_id")),
        ]
    )
    paths = []
    for start, end in zip([0, *ends], [*ends, len(rows)], strict=True):
        table = pa.Table.from_pylist([row._asdict() for row in rows[start:end]], schema=schema)
        paths.append(folder / f"{start:04d}.parquet")
        pq.write_table(table, paths[-1])
    return paths


def request(at: int, *, callers: int = 3) -> Row:
    """One of two reports of a request; every eleventh row is no request."""
    if at % 11 == 10:
        return Row(FIRST_NS + at, None, None, None)
    number = (at // 2).to_bytes(16, "big")
    return Row(FIRST_NS + at, f"caller {at % callers}", "x", f"/v1/{at % 50 + 100}", number, number)


def test_columns_and_ids_are_read_across_segments(tmp_path: Path) -> None:
    rows = [request(at) for at in range(60)]
    segments = write_segments(tmp_path, rows, ends=[7, 8, 40])
    columns = read_log_columns(segments)
    names, paths = (*columns.identities, None), (*columns.paths, None)
    assert columns.received_ns.tolist() == [row.received_time for row in rows]
    assert [names[place] for place in columns.callers] == [row.src_spiffe_id for row in rows]
    assert [names[place] for place in columns.callees] == [row.dst_spiffe_id for row in rows]
    assert [paths[place] for place in columns.path_places] == [row.url_path for row in rows]
    taken = take_ids(segments, "trace_id", np.array([45, 7, 10, 0]))
    assert list(taken.items()) == [(at, rows[at].trace_id) for at in (45, 7, 0)]
    found = find_ids(segments, "trace_id", taken.values())
    assert found == {value: newest(rows, partial(has_trace, value)) for value in taken.values()}


def test_window_is_an_hour_where_the_log_spans_a_day_else_a_part_of_it() -> None:
    for span_ns, want_ns in ((30 * HOUR_NS, HOUR_NS), (24_000, 1_000), (1, 1)):
        rows = [Row(5, None, None, None), Row(5 + span_ns - 1, None, None, None)]
        assert window_ns(columns_of(rows)) == want_ns


def drawn(folder: Path, *, seed: int) -> tuple[Task, ...]:
    segments = write_segments(folder, [request(at) for at in range(400)], ends=[300])
    return draw_tasks(read_log_columns(segments), segments, samples_count=10, seed=seed)


def test_samples_follow_from_the_seed_and_are_asked_once(tmp_path: Path) -> None:
    tasks = drawn(tmp_path, seed=1)
    assert tasks == drawn(tmp_path, seed=1)
    assert tasks != drawn(tmp_path, seed=2)
    for task in tasks:
        questions = [sample.question for sample in (*task.warm_up, *task.samples, *task.cold)]
        # Identities are few, all else the log has enough of.
        if not task.name.startswith("principal"):
            assert len(set(questions)) == len(questions), task.name
    found = {task.name: [len(sample.want) for sample in task.samples] for task in tasks}
    assert all(found["identity_hour"])
    assert all(found["principal"])
    assert all(found["path_rare"])
    assert set(found["trace"]) <= {1, 2}
    assert not any([*found["principal_absent"], *found["path_none"]])


class FixedEngine:
    """Gives the same answer to everything."""

    name = "meshtrail"
    facts: Mapping[str, Any] = {}

    def __init__(self, answer: Answer | None, *, samples_max: int | None = None) -> None:
        self.samples_max = samples_max
        self.asked: list[Question] = []
        self.cooled_at: list[int] = []
        self._answer = answer

    def ask(self, question: Question) -> Answer | None:
        self.asked.append(question)
        return self._answer

    def warm(self) -> None:
        self.asked.clear()

    def cool(self) -> None:
        self.cooled_at.append(len(self.asked))

    def close(self) -> None:
        """Nothing is held."""


def task_of(*, want: Answer) -> Task:
    samples = [Sample(Proof(leaf_index=at, is_anew=True), want) for at in range(9)]
    return Task(
        name="task",
        title="a task",
        goal_ms=1,
        warm_up=tuple(samples[:2]),
        samples=tuple(samples[2:6]),
        cold=tuple(samples[6:]),
    )


def table_of(times: TaskTimes) -> str:
    figures = times.figures()
    return format_table([{"title": "a task", "goal_ms": 1, "meshtrail": figures}], ["meshtrail"])


@pytest.mark.parametrize("is_cold", [False, True])
def test_wrong_answer_is_kept_and_shown_in_place_of_its_times(*, is_cold: bool) -> None:
    engine, times = FixedEngine((7, 5)), TaskTimes()
    right, wrong = task_of(want=(7, 5)), task_of(want=(7, 6))
    ask_warm(engine, [right if is_cold else wrong], [times])
    ask_cold(engine, [wrong if is_cold else right], [times])
    figures = times.figures()
    assert figures is not None
    said = figures["cold"]["wrong"] if is_cold else figures["wrong"]
    assert "want 2 [7, 6], got 2 [7, 5]" in said[0]
    assert WRONG in table_of(times)


def test_right_answers_are_timed_without_the_warm_up_and_each_cold_one_anew() -> None:
    engine, times = FixedEngine((1,)), TaskTimes()
    task = task_of(want=(1,))
    ask_warm(engine, [task], [times], round_index=1, rounds_count=2)
    assert engine.asked == [sample.question for sample in (*task.warm_up, *task.samples[1::2])]
    ask_cold(engine, [task], [times])
    assert engine.cooled_at == [4, 5, 6]
    figures = times.figures()
    assert figures is not None
    assert (figures["samples_count"], figures["cold"]["samples_count"]) == (2, 3)
    assert WRONG not in table_of(times)


def test_engine_without_an_answer_has_no_figures_and_is_not_asked_on() -> None:
    engine, times = FixedEngine(None), TaskTimes()
    ask_warm(engine, [task_of(want=())], [times])
    ask_cold(engine, [task_of(want=())], [times])
    assert len(engine.asked) == 1
    assert times.figures() is None
    assert WRONG not in table_of(times)


def test_slow_engine_is_asked_no_more_than_it_wants() -> None:
    engine, times = FixedEngine((), samples_max=2), TaskTimes()
    ask_warm(engine, [task_of(want=())], [times])
    assert len(engine.asked) == 2
    ask_cold(engine, [task_of(want=())], [times])
    assert engine.cooled_at == [2]


class ScriptedQuiet(Quiet):
    """Others are busy in the first few attempts."""

    def __init__(self, *, busy_count: int) -> None:
        super().__init__(10)
        self.busy_count = busy_count

    @override
    def wait(self) -> None:
        """No need."""

    @override
    def was_kept(self) -> bool:
        self.busy_count -= 1
        return self.busy_count < 0


@pytest.mark.parametrize(
    ("busy_count", "set_aside_count"), [(0, 0), (2, 2), (99, ATTEMPTS_MAX - 1)]
)
def test_answer_is_timed_once_and_not_while_others_are_busy(
    busy_count: int, set_aside_count: int
) -> None:
    engine, times = FixedEngine((1,)), Times()
    assert times.ask(engine, task_of(want=(2,)).samples[0], ScriptedQuiet(busy_count=busy_count))
    assert len(times.times_ms) == 1
    assert times.set_aside_count == set_aside_count
    assert len(times.wrong) == len(engine.asked) == set_aside_count + 1


@pytest.mark.parametrize(("others_s", "is_kept"), [(0.11, True), (0.13, False)])
def test_others_are_quiet_up_to_their_share_of_all_cores(
    monkeypatch: pytest.MonkeyPatch, others_s: float, *, is_kept: bool
) -> None:
    now_s, cpu_s = [100.0], [7.0]
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("bench.harness.search.quiet.read_bystanders_cpu_s", lambda _: cpu_s[0])
    waits = []

    def sleep(seconds: float) -> None:
        # Others are busy for as long as two looks take.
        waits.append(seconds)
        now_s[0] += seconds
        cpu_s[0] += seconds if len(waits) <= 2 else 0

    monkeypatch.setattr("time.sleep", sleep)
    quiet = Quiet(10)
    quiet.wait()
    assert len(waits) == 3
    now_s[0] += 0.5
    cpu_s[0] += others_s
    assert quiet.was_kept() is is_kept


def test_rivals_are_refused_where_the_disk_is_too_small_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(15 << 30))
    check_disk_space(tmp_path, [], segments_bytes=1 << 50)
    check_disk_space(tmp_path, ["chdb"], segments_bytes=4 << 30)
    with pytest.raises(DiskSpaceError, match=re.escape("10.7 GB for chdb, 6.4 GB for jsonl")):
        check_disk_space(tmp_path, ["chdb", "jsonl"], segments_bytes=4 << 30)
