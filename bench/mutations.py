"""Mutation campaigns: hostile records and messages through decode and collect.

    ./dev bench mutations [--records 1000000] [--frames 100000] [--seed N]

Prints one JSON object; ``faults`` must be empty, else the exit status is 1. A short form runs with
the tests (tests/faults/test_mutations.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from _checkout import ROOT  # type: ignore[import-not-found] # noqa: F401 - makes tests importable

from tests.campaigns.watch import run_campaign

if TYPE_CHECKING:
    from collections.abc import Callable

_PROGRESS_S = 10


def main() -> None:
    """Run both campaigns and print what they came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wanted = {"records": options.records, "frames": options.frames}
    facts = {
        name: run_campaign(
            name, seed=options.seed, items_min=items, progress=_report(name, items)
        ).summary()
        for name, items in wanted.items()
        if items
    }
    print(json.dumps(facts, indent=2))
    sys.exit(any(campaign["faults"] for campaign in facts.values()))


def _report(name: str, items_min: int) -> Callable[[int], None]:
    said = time.monotonic()

    def report(items: int) -> None:
        nonlocal said
        if time.monotonic() - said > _PROGRESS_S:
            said = time.monotonic()
            print(f"{name}: {items} of {items_min}", file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    main()
