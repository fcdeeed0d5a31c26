"""Which cores the requests take, and which the recorder."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

APART = "apart"
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores by their numbers; the same set twice where they are shared."""

    requests: frozenset[int]
    recorder: frozenset[int]


def plan_cores(available: frozenset[int], *, placement: str) -> Cores:
    """Share all cores, or give the lower half to the requests and the upper to the recorder.

    Raises:
        ValueError: there is one core only, which cannot be parted.
    """
    if placement == SHARED:
        return Cores(available, available)
    if len(available) < 2:  # noqa: PLR2004 - one for each
        raise ValueError("one core cannot be parted: measure with --cores shared")
    ordered = sorted(available)
    half = len(ordered) // 2
    return Cores(frozenset(ordered[:half]), frozenset(ordered[half:]))


@contextlib.contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Run on these cores; a process or thread that is started within the block stays on them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
