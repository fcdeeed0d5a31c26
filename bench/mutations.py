"""Mutation campaigns: hostile records, messages, exports and texts through decode and collect.

    ./dev bench mutations [--records 1000000] [--frames 100000] [--exports 100000]
                          [--readers 1000000] [--seed N]

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

_ITEMS = {"records": 1_000_000, "frames": 100_000, "exports": 100_000, "readers": 1_000_000}
_PROGRESS_S = 10


def main() -> None:
    """Run the campaigns and print what they came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, items in _ITEMS.items():
        parser.add_argument(f"--{name}", type=int, default=items)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wanted = {name: getattr(options, name) for name in _ITEMS}
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
