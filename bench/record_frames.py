"""Record the benchmarks' frames from real Envoys: exact bytes, both ends, unique ids.

    ./dev bench record_frames [--requests 250000] [--seed 1] [--out bench/data/frames.bin]

Prints what the recording holds as one JSON object, and keeps it beside it as ``frames.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from _checkout import DATA  # type: ignore[import-not-found]  # beside the script

from bench.harness.recorder import record


def main() -> None:
    """Record, count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=250_000, help="each gives two records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=DATA / "frames.bin")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    print(f"recording {options.requests} requests, about 3 minutes …", file=sys.stderr, flush=True)
    facts = record(options.out, requests_count=options.requests, seed=options.seed)
    text = json.dumps(facts, indent=2)
    options.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
