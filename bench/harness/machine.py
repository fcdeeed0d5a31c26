"""What the figures were measured on, and what else ran there."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from bench.harness.processes import PROC, TICKS_PER_S, descendants


def describe_machine() -> dict[str, Any]:
    """The processor, its cores, the Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores_count": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def read_bystanders_cpu_s(own_root_pid: int) -> float:
    """CPU seconds, so far, of every process on the machine but one and all that it started.

    Those of children that have ended are in their parents' sums. Two readings tell what others
    took in between; the kernel's own threads are among them.
    """
    own = set(descendants(own_root_pid))
    ticks = 0
    for entry in PROC.iterdir():
        if not entry.name.isdecimal() or int(entry.name) in own:
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        # utime, stime, cutime, cstime; the name in parentheses before may hold spaces.
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / TICKS_PER_S
