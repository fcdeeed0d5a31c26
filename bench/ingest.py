"""Measure ingest: a sender and ``meshtrail up`` on this machine, frames of a real Envoy.

    ./dev bench ingest [--seconds 60] [--rate 0] [--find-max] [--data DIR] [--out FILE]

Prints one JSON object; bench/README.md explains every figure. Needs a recording: run
``./dev bench record_frames`` first.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from _checkout import DATA, ROOT  # type: ignore[import-not-found]  # beside the script

from bench.harness.disk import live_files, measure_disk
from bench.harness.floor import measure_floor
from bench.harness.frames import read_recording
from bench.harness.machine import describe_machine
from bench.harness.phase import Phase, run_phase
from bench.harness.publication import read_latencies
from tests.rig.recorder import Recorder, running_recorder

LATENCY_S = 20.0
PROBE_S = 15.0
PROBES_COUNT = 5
PROBE_BACKLOG_S_MAX = 1.0
"""A rate is sustained when no more than this much sending was waiting at the end."""


def main() -> None:
    """Run the phases and print what they found."""
    options = parse_options()
    facts: dict[str, Any] = {
        "machine": describe_machine(),
        "recording": json.loads(options.recording.with_suffix(".json").read_text("utf-8")),
    }
    with tempfile.TemporaryDirectory(prefix="meshtrail-bench-") as temporary:
        directory = options.data or Path(temporary)
        with running_recorder(directory) as recorder:
            facts |= measure(recorder, options, record_bytes_mean=mean_record(facts))
    if not options.no_floor:
        say("measuring the one-thread floor …")
        recording = read_recording(options.recording)
        facts["floor"] = measure_floor(recording, path=options.recording, root=ROOT)
    text = json.dumps(facts, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recording", type=Path, default=DATA / "frames.bin")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the main phase")
    parser.add_argument("--rate", type=float, default=0.0, help="entries/s; 0: as fast as possible")
    parser.add_argument("--find-max", action="store_true", help="look for the highest kept rate")
    parser.add_argument("--no-floor", action="store_true", help="leave the one-thread floor out")
    parser.add_argument("--data", type=Path, help="keep the log, in DIR/data, for bench verify")
    parser.add_argument("--out", type=Path, help="also write the result here")
    options = parser.parse_args()
    if not options.recording.exists():
        parser.error(f"there is no {options.recording}; run ./dev bench record_frames first")
    return options


def measure(
    recorder: Recorder, options: argparse.Namespace, *, record_bytes_mean: float
) -> dict[str, Any]:
    """The phases against one running recorder."""
    say(f"ingest for {options.seconds:.0f} s …")
    main_phase = phase(recorder, options, seconds=options.seconds, rate=options.rate)
    half_rate = main_phase.sealed_per_s / 2
    say(f"latency at {half_rate:.0f} entries/s for {LATENCY_S:.0f} s …")
    latency_phase = phase(recorder, options, seconds=LATENCY_S, rate=half_rate)
    facts: dict[str, Any] = {
        "ingest": main_phase.facts,
        "latency_at_half_rate": latency_phase.facts
        | {"received_to_searchable": latencies(recorder, latency_phase)},
    }
    if options.find_max:
        facts["highest_kept_rate"] = find_max(recorder, options, start=main_phase.sealed_per_s)
    say("counting what was sealed …")
    facts["found_by_search"] = count_by_kind(recorder)
    facts["exit_code_of_up"] = recorder.stop()
    facts["disk"] = measure_disk(recorder.data, record_bytes_mean=record_bytes_mean)
    return facts


def phase(recorder: Recorder, options: argparse.Namespace, *, seconds: float, rate: float) -> Phase:
    """One phase with the recording of the options."""
    return run_phase(recorder, recording=options.recording, root=ROOT, seconds=seconds, rate=rate)


def latencies(recorder: Recorder, measured: Phase) -> dict[str, Any]:
    """Received to searchable, of every entry of a phase."""
    segments, _ = live_files(recorder.data)
    return read_latencies(
        segments, measured.seen, from_ns=measured.from_ns, until_ns=measured.until_ns
    )


def find_max(recorder: Recorder, options: argparse.Namespace, *, start: float) -> dict[str, Any]:
    """Halve in on the highest rate whose backlog stays small.

    Unpaced, the sender takes CPU that the sealer could use, so the highest kept rate may lie above
    what was sealed then.
    """
    kept, broken = 0.0, start * 2
    rate = start * 1.1
    tried = []
    for _ in range(PROBES_COUNT):
        say(f"trying {rate:.0f} entries/s for {PROBE_S:.0f} s …")
        probe = phase(recorder, options, seconds=PROBE_S, rate=rate)
        is_kept = probe.backlog_s <= PROBE_BACKLOG_S_MAX and probe.sealed_per_s > rate * 0.97
        tried.append({"rate": round(rate), "is_kept": is_kept, **probe.facts})
        kept, broken = (rate, broken) if is_kept else (kept, rate)
        rate = (kept + broken) / 2 if kept else rate * 0.9
    return {"entries_per_s": round(kept), "tried": tried}


def count_by_kind(recorder: Recorder) -> dict[str, int]:
    """How many entries of each kind a search finds."""
    sql = "SELECT kind, count(*) AS entries_count FROM events GROUP BY kind ORDER BY kind"
    lines = recorder.run("search", "--sql", sql, "--format", "json").split("\n")
    rows = [json.loads(line) for line in lines if line]
    return dict(Counter({row["kind"]: row["entries_count"] for row in rows}))


def mean_record(facts: dict[str, Any]) -> float:
    """Mean length of a record as Envoy sent it."""
    mean: float = facts["recording"]["record_bytes_mean"]
    return mean


def say(message: str) -> None:
    """Print progress, away from the result."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
