"""Runs a campaign in a worker and survives it: of a crash or a hang, the culprit is searched."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parents[2]
BATCH_S_MAX: Final = 120
"""A batch that takes longer hangs."""
PEAK_MIB_MAX: Final = 1_536
"""More than any batch may take."""
_FAULTS_MAX: Final = 20


@dataclass
class Campaign:
    """What a campaign came to.

    Attributes:
        totals: the numbers that batches report, added up.
        faults: crashes, hangs and differences, each with what is needed to see it again.
        rss_mib: resident memory of the worker after each batch.
        peak_mib: the most that it ever had during one.
    """

    name: str
    seed: int
    totals: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    batches: int = 0
    elapsed_s: float = 0.0

    def summary(self) -> dict[str, Any]:
        """The totals and whether memory stayed flat."""
        quarter = max(1, len(self.rss_mib) // 4)
        return {
            "seed": self.seed,
            "batches": self.batches,
            **{name: round(value, 1) for name, value in self.totals.items()},
            "elapsed_s": round(self.elapsed_s, 1),
            f"{self.name}_per_s": round(self.totals[self.name] / max(self.elapsed_s, 0.001)),
            "rss_peak_mib": self.peak_mib,
            "rss_median_mib_by_quarter": [
                sorted(part)[len(part) // 2]
                for part in (
                    self.rss_mib[at : at + quarter] for at in range(0, 4 * quarter, quarter)
                )
                if part
            ],
            "faults": self.faults,
        }


def run_campaign(
    name: str, *, seed: int, items_min: int, progress: Callable[[int], None] | None = None
) -> Campaign:
    """Run batches until ``items_min`` items were checked.

    Args:
        name: module of the campaign, and what its items are called.
        seed: of everything.
        items_min: how many.
        progress: hears the number of items now and then.
    """
    campaign = Campaign(name, seed)
    started = time.monotonic()
    while campaign.totals[name] < items_min and len(campaign.faults) < _FAULTS_MAX:
        _run_worker(campaign, items_min, progress)
    campaign.elapsed_s = time.monotonic() - started
    return campaign


def _run_worker(campaign: Campaign, items_min: int, progress: Callable[[int], None] | None) -> None:
    """Read one worker's reports until there is enough or it dies."""
    worker = _start(campaign.name, "--seed", str(campaign.seed), "--first", str(campaign.batches))
    assert worker.stdout is not None
    running: dict[str, Any] = {}
    try:
        while campaign.totals[campaign.name] < items_min:
            line = _read_line(worker.stdout, BATCH_S_MAX)
            if not line:
                campaign.faults.append(_find_culprit(campaign, running, _how(worker, line)))
                campaign.batches += 1
                return
            report = json.loads(line)
            if "begin" in report:
                running = report
                continue
            campaign.batches += 1
            campaign.rss_mib.append(report.pop("rss_mib"))
            peak_mib = report.pop("peak_mib")
            campaign.peak_mib = max(campaign.peak_mib, peak_mib)
            if peak_mib > PEAK_MIB_MAX:
                fault = {"fault": "memory", "batch": report["end"], "peak_mib": peak_mib}
                campaign.faults.append(fault)
            campaign.faults += report.pop("differences")
            del report["end"]
            campaign.totals.update(report)
            if progress is not None:
                progress(campaign.totals[campaign.name])
            if len(campaign.faults) >= _FAULTS_MAX:
                return
    finally:
        _stop(worker)


def _find_culprit(campaign: Campaign, running: dict[str, Any], how: str) -> dict[str, Any]:
    """The smallest run of items of the batch that still ends a worker."""
    fault: dict[str, Any] = {"fault": how, "seed": campaign.seed, "batch": running.get("begin")}
    if "begin" not in running:
        return fault
    begin, end = 0, int(running["items"])
    while end - begin > 1:
        middle = (begin + end) // 2
        if _is_deadly(campaign, running["begin"], begin, middle):
            end = middle
        elif _is_deadly(campaign, running["begin"], middle, end):
            begin = middle
        else:
            break
    return {**fault, "rows": [begin, end]}


def _is_deadly(campaign: Campaign, number: int, begin: int, end: int) -> bool:
    options = ("--seed", str(campaign.seed), "--first", str(number))
    worker = _start(campaign.name, *options, "--rows", str(begin), str(end))
    try:
        return worker.wait(timeout=BATCH_S_MAX) != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        _stop(worker)


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "RUST_BACKTRACE": "0",
    }
    command = [sys.executable, "-m", "tests.campaigns.worker", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, bufsize=0)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


def _read_line(stream: IO[bytes], timeout_s: float) -> bytes:
    """The next whole line; empty when the stream ended or nothing came in time."""
    line = b""
    deadline = time.monotonic() + timeout_s
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        part = stream.readline() if ready else b""
        if not part:
            return b""
        line += part
    return line


def _how(worker: subprocess.Popen[bytes], line: bytes) -> str:
    """How a worker ended that sent no more lines."""
    assert not line
    try:
        status = worker.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return f"hang: no answer in {BATCH_S_MAX} s"
    return f"crash: {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
