"""Measure ``meshtrail verify`` on a log that ``bench ingest --data DIR`` left behind.

    ./dev bench verify --data DIR [--rounds 1] [--no-deep]

Prints one JSON object: entries a second of the plain and of the deep audit, CPU and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from _checkout import ROOT  # type: ignore[import-not-found] # noqa: F401 - puts the rig on the path

from bench.harness.publication import published_size
from tests.rig.recorder import Recorder


AUDIT_S_MAX = 3_600.0
"""A deep audit of some ten million entries takes minutes."""


def main() -> None:
    """Audit and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="what ingest was given")
    parser.add_argument("--rounds", type=int, default=1, help="the fastest of so many counts")
    parser.add_argument("--no-deep", action="store_true")
    options = parser.parse_args()
    recorder = Recorder(options.data, command_s_max=AUDIT_S_MAX)
    facts: dict[str, Any] = {
        "entries_count": published_size(recorder.data),
        "cores_count": len(os.sched_getaffinity(0)),
        "verify": audit(recorder, rounds=options.rounds),
    }
    if not options.no_deep:
        facts["verify_deep"] = audit(recorder, "--deep", rounds=1)
    print(json.dumps(facts, indent=2))


def audit(recorder: Recorder, *flags: str, rounds: int) -> dict[str, Any]:
    """Run one audit; its exit code must be 0."""
    entries_count = published_size(recorder.data)
    best_s, cpu_s = float("inf"), 0.0
    report: dict[str, Any] = {}
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        report = recorder.verify(*flags)
        elapsed_s = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if elapsed_s < best_s:
            best_s = elapsed_s
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "elapsed_s": round(best_s, 2),
        "entries_per_s": round(entries_count / best_s),
        "cpu_us_per_entry": round(cpu_s / entries_count * 1e6, 2),
        "rss_peak_mib": round(usage.ru_maxrss / 1024, 1),
        "report": report,
    }


if __name__ == "__main__":
    main()
