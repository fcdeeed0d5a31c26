"""Measure ingest of OTLP beside the access log service: the same requests of the same Envoys.

    ./dev bench otlp [--seconds 30] [--rounds 1] [--requests 20000] [--no-floor] [--out FILE]

Prints one JSON object; bench/README.md explains every figure. Records first, if there is no
recording of that many requests: about a minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from _checkout import DATA, ROOT  # type: ignore[import-not-found]  # beside the script

from bench.harness.exports import Exported
from bench.harness.floor import measure_floor, measure_otlp_floor
from bench.harness.frames import read_recording
from bench.harness.machine import describe_machine
from bench.harness.otlp_recorder import ALS, NAMES, record_otlp, recording_path
from bench.harness.phase import SENDER, run_phase
from tests.rig.recorder import running_recorder

EXPORT_SENDER = "bench.harness.export_sender"
LOGS_HTTP = "logs_http"
PHASES = (*NAMES, LOGS_HTTP)


def main() -> None:
    """Run the phases and print what they found."""
    options = parse_options()
    facts: dict[str, Any] = {"machine": describe_machine(), "recording": find_recording(options)}
    rounds = []
    for number in range(1, options.rounds + 1):
        say(
            f"round {number} of {options.rounds}: {', '.join(PHASES)}, {options.seconds:g} s each …"
        )
        rounds.append({name: measure(name, options) for name in PHASES})
    facts["rounds"] = rounds
    facts["otlp_share_percent_of_als_bytes"] = {
        name: compare(rounds, name) for name in PHASES if name != ALS
    }
    facts["ledger_share_of_cpu_percent"] = {
        name: statistics.median(one[name]["ledger_share_of_cpu_percent"] for one in rounds)
        for name in PHASES
    }
    if not options.no_floor:
        say("measuring the one-thread floor …")
        facts["floor"] = {name: floor(name, options) for name in NAMES}
    text = json.dumps(facts, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each phase")
    parser.add_argument("--rate", type=float, default=0.0, help="entries/s; 0: as fast as possible")
    parser.add_argument("--rounds", type=int, default=1, help="of all phases; shares are medians")
    parser.add_argument("--requests", type=int, default=20_000, help="each gives two records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recordings", type=Path, default=DATA, help="where recordings are kept")
    parser.add_argument("--no-floor", action="store_true", help="leave the one-thread floor out")
    parser.add_argument("--out", type=Path, help="also write the result here")
    return parser.parse_args()


def find_recording(options: argparse.Namespace) -> dict[str, Any]:
    """What the recordings hold; they are made where there are none of these requests."""
    described: Path = options.recordings / "otlp.json"
    wanted = {"requests_count": options.requests, "seed": options.seed}
    if described.exists():
        facts: dict[str, Any] = json.loads(described.read_text(encoding="utf-8"))
        if wanted.items() <= facts.items():
            return facts
    say(f"recording {options.requests} requests …")
    options.recordings.mkdir(parents=True, exist_ok=True)
    described.unlink(missing_ok=True)
    facts = record_otlp(options.recordings, requests_count=options.requests, seed=options.seed)
    described.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One phase against a recorder of its own, on a fresh directory."""
    say(f"{name} …")
    recorded = Exported.LOGS.value if name == LOGS_HTTP else name
    words = [] if name == ALS else [recorded]
    with (
        tempfile.TemporaryDirectory(prefix="meshtrail-bench-") as directory,
        running_recorder(Path(directory)) as recorder,
    ):
        phase = run_phase(
            recorder,
            recording=recording_path(options.recordings, recorded),
            root=ROOT,
            seconds=options.seconds,
            rate=options.rate,
            sender=SENDER if name == ALS else EXPORT_SENDER,
            port=recorder.otlp_http_port if name == LOGS_HTTP else None,
            words=[*words, "--http"] if name == LOGS_HTTP else words,
        )
        return phase.facts | {"exit_code_of_up": recorder.stop()}


def compare(rounds: list[dict[str, Any]], name: str) -> dict[str, float | None]:
    """Percent of what the access log service had in the same round; the median of the rounds.

    None where the rounds were so short that nothing of it was sealed meanwhile.
    """

    def share(what: str) -> float | None:
        shares: list[float] = [
            100 * one[name][what] / one[ALS][what] for one in rounds if one[ALS][what]
        ]
        return round(statistics.median(shares), 1) if shares else None

    return {
        "of_records_sealed": share("sealed_record_bytes_per_s"),
        "of_messages_sealed": share("sealed_message_bytes_per_s"),
        "of_records_for_the_same_cpu": share("record_bytes_per_cpu_s"),
    }


def floor(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The floor under a phase."""
    path = recording_path(options.recordings, name)
    recording = read_recording(path)
    if name == ALS:
        return measure_floor(recording, path=path, root=ROOT)
    return measure_otlp_floor(recording, Exported(name))


def say(message: str) -> None:
    """Print progress, away from the result."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
