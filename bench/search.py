"""Measure searching a log that ``bench ingest --data DIR`` left behind; every answer is checked.

    ./dev bench search --data DIR [--rounds 1] [--beside chdb,jsonl] [--out FILE]

Prints one JSON object, and a table on standard error; bench/README.md explains every figure. Exit
status 1 when an answer was wrong. The log is only read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _checkout import ROOT  # type: ignore[import-not-found] # noqa: F401 - beside the script

from bench.harness.machine import describe_machine
from bench.harness.search.draw import draw_tasks, window_ns
from bench.harness.search.meshtrail_engine import MeshtrailEngine
from bench.harness.search.quiet import OthersWatch, Quiet
from bench.harness.search.reference import read_log_columns
from bench.harness.search.report import format_table
from bench.harness.search.rivals import RIVALS, DiskSpaceError, check_disk_space, load_rivals
from bench.harness.search.runs import TaskTimes, ask_cold, ask_warm, found_figures
from meshtrail.app.data import open_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.harness.search.questions import Engine, Task
    from bench.harness.search.reference import LogColumns

SAMPLES_COUNT = 100


def main() -> None:
    """Draw, load, ask, print."""
    options = parse_options()
    meshtrail = MeshtrailEngine(open_data(options.data / "data"))
    segments = meshtrail.segments()
    try:
        check_disk_space(
            options.work,
            options.beside,
            segments_bytes=sum(path.stat().st_size for path in segments),
        )
    except DiskSpaceError as error:
        sys.exit(f"search: {error}")
    facts: dict[str, Any] = {"machine": describe_machine()}
    load_average_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="meshtrail-bench-", dir=options.work) as folder:
        facts |= measure(meshtrail, segments, options, folder=Path(folder))
    facts["machine"]["load_average_before"] = [round(load, 2) for load in load_average_before]
    facts["machine"]["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    text = json.dumps(facts, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    sys.exit("search: some answers were wrong" if '"wrong"' in text else 0)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="what ingest was given")
    parser.add_argument("--rounds", type=int, default=1, help="ask all engines so often in turn")
    parser.add_argument(
        "--samples",
        type=int,
        default=SAMPLES_COUNT,
        help="ids in a round; other questions have their share",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the samples")
    parser.add_argument(
        "--beside", type=parse_rivals, default=[], help=f"rivals: {','.join(RIVALS)}"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where the rivals' copies go, and are deleted at the end",
    )
    parser.add_argument(
        "--others-max",
        type=float,
        metavar="PERCENT",
        help="ask again, a few times, what was asked while others took more of the machine",
    )
    parser.add_argument("--out", type=Path, help="also write the result here")
    return parser.parse_args()


def parse_rivals(text: str) -> list[str]:
    """The rivals that are named, in a comma-separated list."""
    names = text.split(",")
    if unknown := set(names) - set(RIVALS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: want {','.join(RIVALS)}")
    return names


def measure(
    meshtrail: MeshtrailEngine,
    segments: Sequence[Path],
    options: argparse.Namespace,
    *,
    folder: Path,
) -> dict[str, Any]:
    """Everything but the machine."""
    say("reading the log, for the right answers …")
    columns = read_log_columns(segments)
    entries_count = len(columns.received_ns)
    tasks = draw_tasks(
        columns, segments, samples_count=options.samples * options.rounds, seed=options.seed
    )
    log_facts = describe_log(columns, segments)
    del columns
    rivals, rival_facts = load_rivals(
        options.beside, segments, folder, entries_count=entries_count, say=say
    )
    engines: list[Engine] = [meshtrail, *rivals]
    try:
        times, others = ask_all(
            engines, tasks, rounds_count=options.rounds, others_percent_max=options.others_max
        )
    finally:
        for engine in engines:
            engine.close()
    questions = [
        describe_task(task, {name: of_engine[at] for name, of_engine in times.items()})
        for at, task in enumerate(tasks)
    ]
    say(format_table(questions, [engine.name for engine in engines]))
    return {
        "log": log_facts,
        "seed": options.seed,
        "rounds_count": options.rounds,
        "rivals": rival_facts,
        "others_cpu_percent_of_machine": others,
        "questions": questions,
    }


def ask_all(
    engines: Sequence[Engine],
    tasks: Sequence[Task],
    *,
    rounds_count: int,
    others_percent_max: float | None,
) -> tuple[dict[str, list[TaskTimes]], dict[str, float]]:
    """Ask every engine, in turn.

    Returns:
        The times of each task, by engine; and what others took of the machine while it was asked.
    """
    times = {engine.name: [TaskTimes() for _ in tasks] for engine in engines}
    quiet = None if others_percent_max is None else Quiet(others_percent_max)
    watches = {engine.name: OthersWatch() for engine in engines}
    for round_index in range(rounds_count):
        for engine in engines:
            say(f"asking {engine.name}, round {round_index + 1} of {rounds_count} …")
            with watches[engine.name]:
                ask_warm(
                    engine,
                    tasks,
                    times[engine.name],
                    round_index=round_index,
                    rounds_count=rounds_count,
                    quiet=quiet,
                )
    for engine in engines:
        say(f"asking {engine.name} of cold files …")
        with watches[engine.name]:
            ask_cold(engine, tasks, times[engine.name])
    return times, {name: watch.percent_of_machine for name, watch in watches.items()}


def describe_log(columns: LogColumns, segments: Sequence[Path]) -> dict[str, Any]:
    """What was searched."""
    received = columns.received_ns
    length_ns = window_ns(columns)
    span_ns = int(received[-1]) - int(received[0])
    return {
        "entries_count": len(received),
        "live_segments_count": len(segments),
        "live_segments_bytes": sum(path.stat().st_size for path in segments),
        "span_s": round(span_ns / 1e9, 1),
        "identities_count": len(columns.identities),
        "paths_count": len(columns.paths),
        "hour": {
            "seconds": round(length_ns / 1e9, 1),
            "entries_count_mean": round(len(received) * length_ns / (span_ns + 1)),
        },
    }


def describe_task(task: Task, times: dict[str, TaskTimes]) -> dict[str, Any]:
    """The figures of one task, of every engine."""
    figures = {name: one.figures() for name, one in times.items()}
    own = figures["meshtrail"]
    return {
        "name": task.name,
        "title": task.title,
        "goal_ms": task.goal_ms,
        "is_reached": own is not None and own["p95_ms"] <= task.goal_ms,
        "found_count": found_figures(task),
        **figures,
    }


def say(message: str) -> None:
    """Print progress, away from the result."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
