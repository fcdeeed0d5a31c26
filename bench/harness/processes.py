"""CPU and memory of the running processes, from /proc."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.5
SETTLED_SHARE = 1 / 3
"""Memory's slope is taken after this share of the samples: before it, caches still fill."""
ROLES = ("collect", "ledger", "seal", "derive", "serve")


@dataclass(slots=True)
class Usage:
    """One process over time.

    Attributes:
        cpu_s: CPU seconds since its start, user and system, at each sample.
        rss_bytes: resident memory at each sample.
        times: monotonic seconds of each sample.
    """

    role: str
    times: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)

    @property
    def spent_s(self) -> float:
        """CPU seconds from the first sample to the last."""
        return self.cpu_s[-1] - self.cpu_s[0]

    def figures(self, *, entries_count: int, records_bytes: float) -> dict[str, Any]:
        """JSON-ready: CPU for each entry and MiB of records, and memory's peak and slope."""
        spent_s = self.spent_s
        elapsed_s = self.times[-1] - self.times[0]
        return {
            "cpu_us_per_entry": round(spent_s / max(entries_count, 1) * 1e6, 2),
            "cpu_us_per_mib": round(spent_s / max(records_bytes, 1) * 2**20 * 1e6),
            "cpu_share_of_one_core": round(spent_s / elapsed_s, 3) if elapsed_s else 0.0,
            "rss_peak_mib": round(max(self.rss_bytes) / 2**20, 1),
            "rss_slope_mib_per_min": round(self._slope() * 60 / 2**20, 2),
        }

    def _slope(self) -> float:
        """Least squares, bytes a second, over the settled part."""
        first = int(len(self.times) * SETTLED_SHARE)
        times, sizes = self.times[first:], self.rss_bytes[first:]
        count = len(times)
        if count < 2:  # noqa: PLR2004 - a line needs two points
            return 0.0
        mean_time, mean_size = sum(times) / count, sum(sizes) / count
        spread = sum((time - mean_time) ** 2 for time in times)
        pairs = zip(times, sizes, strict=True)
        return sum((time - mean_time) * (size - mean_size) for time, size in pairs) / spread


class ProcessWatch:
    """Samples a process and all that it started, by role, until stopped."""

    def __init__(self, root_pid: int) -> None:
        self._root_pid = root_pid
        self._usages: dict[int, Usage] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._sample()
        self._thread.start()

    def stop(self) -> dict[str, Usage]:
        """Take a last sample; the usage of each process by its role."""
        self._stopping.set()
        self._thread.join()
        self._sample()
        named: dict[str, Usage] = {}
        for pid, usage in self._usages.items():
            named[usage.role if usage.role not in named else f"{usage.role}-{pid}"] = usage
        return named

    def _run(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        for pid in descendants(self._root_pid):
            try:
                cpu_s, rss_bytes = read_usage(pid)
                usage = self._usages.setdefault(pid, Usage(role_of(pid, self._root_pid)))
            except (FileNotFoundError, ProcessLookupError):
                continue
            usage.times.append(time.monotonic())
            usage.cpu_s.append(cpu_s)
            usage.rss_bytes.append(rss_bytes)


def descendants(root_pid: int) -> list[int]:
    """The process and every process under it that is alive."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8")
            except (FileNotFoundError, ProcessLookupError):
                continue
            # The name in parentheses may hold spaces; the fields behind it may not.
            parent_pid = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent_pid, []).append(int(entry.name))
    found = [root_pid]
    for pid in found:
        found += children.get(pid, [])
    return found


def read_usage(pid: int) -> tuple[float, int]:
    """CPU seconds, user and system, and resident bytes."""
    fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    pages = int((PROC / str(pid) / "statm").read_text(encoding="utf-8").split()[1])
    return cpu_s, pages * os.sysconf("SC_PAGE_SIZE")


def role_of(pid: int, root_pid: int) -> str:
    """Which of the processes this is, by the words of its command line."""
    if pid == root_pid:
        return "supervisor"
    words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    for role in ROLES:
        if any(role in word.split("/")[-1] for word in words):
            return role
    return f"process-{pid}"
