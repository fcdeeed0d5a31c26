"""Measure what recording costs the requests themselves: a real Envoy with and without access log.

    ./dev bench latency [--runs 10] [--rate 500] [--seconds 10] [--cores apart|shared] [--seed 1]

Prints one JSON object, and a summary on standard error; bench/README.md explains every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _checkout import ROOT  # type: ignore[import-not-found] # noqa: F401 - puts the rig on the path

from bench.harness.cores import APART, SHARED, Cores, on_cores, plan_cores
from bench.harness.latency_report import summarize_pairs, tell
from bench.harness.latency_run import LoadOptions, Rig, Run, Variant, run_load, running_rig
from bench.harness.machine import describe_machine
from bench.harness.paired import PAIRS_MAX, PAIRS_MIN, plan_order
from meshtrail.wiring.access_logs import BUFFER_BYTES, FLUSH_INTERVAL

if TYPE_CHECKING:
    from tests.rig.recorder import Recorder

NO_ENVOY_SHARE = 0.2
"""The runs without Envoy show what the load itself costs, and may be so much shorter."""
ATTEMPTS_PER_PAIR_MAX = 3
REQUESTS_MIN = 100


def main() -> None:
    """Run the pairs and print what they found."""
    options = parse_options()
    cores = options.placement
    load_average_before = os.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="meshtrail-bench-") as directory,
        on_cores(cores.recorder),
        running_rig(Path(directory), cores=cores, service_ms=options.service_ms) as rig,
    ):
        pairs, set_aside = measure_pairs(rig, options)
        say("counting what was sealed …")
        runs = [run for pair in [*pairs, *set_aside] for run in pair]
        sealed = check_sealed(rig.recorder, runs)
        exit_code = rig.recorder.stop()
    facts: dict[str, Any] = {
        "machine": describe_machine()
        | {
            "load_average_before": [round(load, 2) for load in load_average_before],
            "load_average_after": [round(load, 2) for load in os.getloadavg()],
        },
        "options": describe_options(options, cores),
        **summarize_pairs(pairs),
        "sealed": sealed,
        "exit_code_of_up": exit_code,
        "pairs_set_aside_count": len(set_aside),
        "runs": [run.figures() for run in runs],
    }
    print(json.dumps(facts, indent=2))
    say(tell(facts))


def parse_options() -> argparse.Namespace:
    """The command line; ``placement`` is what its ``--cores`` comes to on this machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="of each variant, in pairs")
    parser.add_argument("--rate", type=float, default=500.0, help="requests/s")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured in each run")
    parser.add_argument("--warm-up-s", type=float, default=2.0, help="before, in each run")
    parser.add_argument(
        "--service-ms", type=float, default=10.0, help="what the application takes for a request"
    )
    parser.add_argument("--connections", type=int, default=32, help="of the load")
    parser.add_argument(
        "--cores",
        choices=(APART, SHARED),
        default=APART,
        help="whether meshtrail has cores of its own, as on another machine, or the requests'",
    )
    parser.add_argument(
        "--others-max",
        type=float,
        default=100.0,
        metavar="PERCENT",
        help="measure a pair again when other processes took more of the machine's CPU meanwhile",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order, the paths and the ids")
    options = parser.parse_args()
    if not PAIRS_MIN <= options.runs <= PAIRS_MAX:
        parser.error(f"--runs takes {PAIRS_MIN} to {PAIRS_MAX}")
    if options.rate * options.seconds < REQUESTS_MIN:
        parser.error(f"a p99 needs more than {options.rate * options.seconds:g} requests in a run")
    try:
        available = frozenset(os.sched_getaffinity(0))
        options.placement = plan_cores(available, placement=options.cores)
    except ValueError as error:
        parser.error(str(error))
    return options


def measure_pairs(
    rig: Rig, options: argparse.Namespace
) -> tuple[list[tuple[Run, ...]], list[tuple[Run, ...]]]:
    """Run the pairs, each with a short run without Envoy before it.

    Returns:
        The pairs that count, and those that were measured again because others were busy. What
        decides is their CPU alone, never a latency. When too few were undisturbed, the last
        attempt at a pair counts as it is.
    """
    pairs, set_aside = [], []
    for place, is_with_first in enumerate(plan_order(options.runs, seed=options.seed)):
        order = (
            [Variant.WITH, Variant.WITHOUT] if is_with_first else [Variant.WITHOUT, Variant.WITH]
        )
        for attempt in range(ATTEMPTS_PER_PAIR_MAX):
            say(f"pair {place + 1} of {options.runs}: {', '.join(order)} …")
            label = f"pair-{place + 1}-{attempt + 1}"
            pair = measure_pair(rig, options, order=order, label=label)
            is_last = attempt + 1 == ATTEMPTS_PER_PAIR_MAX
            others = max(
                run.others_cpu_share for run in pair if run.variant is not Variant.NO_ENVOY
            )
            if is_last or 100 * others <= options.others_max:
                pairs.append(pair)
                break
            say(f"others took {100 * others:.0f} % of the CPU; again")
            set_aside.append(pair)
    return pairs, set_aside


def measure_pair(
    rig: Rig, options: argparse.Namespace, *, order: list[Variant], label: str
) -> tuple[Run, ...]:
    """The run without Envoy and both others, in that order."""
    lengths = {Variant.NO_ENVOY: options.seconds * NO_ENVOY_SHARE}
    return tuple(
        run_load(
            rig,
            variant,
            label=f"{label}-{variant.replace('_', '-')}",
            load=LoadOptions(
                rate_per_s=options.rate,
                seconds=lengths.get(variant, options.seconds),
                warm_up_s=options.warm_up_s,
                connections_count=options.connections,
                seed=options.seed,
            ),
        )
        for variant in [Variant.NO_ENVOY, *order]
    )


def check_sealed(recorder: Recorder, runs: list[Run]) -> dict[str, Any]:
    """Hold the log against what was sent: of each run all requests, once, or none.

    Raises:
        RuntimeError: a request is missing, is there twice, or should not be there.
    """
    sql = (
        "SELECT split_part(url_path, '/', 2) AS label, count(*) AS entries_count, "
        "count(DISTINCT request_id) AS ids_count FROM events WHERE kind = 'request' GROUP BY label"
    )
    lines = recorder.run("search", "--sql", sql, "--format", "json").split("\n")
    rows = [json.loads(line) for line in lines if line]
    sealed = {row["label"]: (row["entries_count"], row["ids_count"]) for row in rows}
    sent = {
        run.label: (run.requests_count, run.requests_count)
        for run in runs
        if run.variant is Variant.WITH
    }
    if sealed != sent:
        raise RuntimeError(f"sealed entries and ids by run are {sealed}, want {sent}")
    return {
        "requests_sent_count": sum(count for count, _ in sent.values()),
        "requests_sealed_count": sum(count for count, _ in sealed.values()),
        "verdict_of_verify": recorder.verify()["verdict"],
    }


def describe_options(options: argparse.Namespace, cores: Cores) -> dict[str, Any]:
    """What was asked for."""
    return {
        "rate_per_s": options.rate,
        "seconds": options.seconds,
        "warm_up_s": options.warm_up_s,
        "service_ms": options.service_ms,
        "pairs_count": options.runs,
        "connections_count": options.connections,
        "others_max_percent": options.others_max,
        "seed": options.seed,
        "access_log_flush_interval": FLUSH_INTERVAL,
        "access_log_buffer_bytes": BUFFER_BYTES,
        "cores": options.cores,
        "cores_of_requests": sorted(cores.requests),
        "cores_of_recorder": sorted(cores.recorder),
    }


def say(message: str) -> None:
    """Print progress, away from the result."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
