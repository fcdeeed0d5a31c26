"""What the runs of the latency benchmark come to: figures for a program, a summary for a person."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from bench.harness.latency_run import Run, Variant
from bench.harness.paired import Difference, compare_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

PERCENTILES = (50, 99)
P99_PERCENT_MAX = 1.0
RECORDER_CPU_SHARE_MAX = 0.3
HALF_WIDTH_PERCENT_MAX = 5.0
"""An interval that is wider holds 0 whatever recording costs: it speaks of the machine."""
CRITERION = (
    f"p99 within +{P99_PERCENT_MAX:g} % or its interval contains 0, "
    f"with the recorder under {100 * RECORDER_CPU_SHARE_MAX:g} % of the machine's CPU"
)


def summarize_pairs(pairs: Sequence[Sequence[Run]]) -> dict[str, Any]:
    """Each variant, the difference, the recorder's CPU and the verdict, over all pairs.

    Args:
        pairs: each with one run of every variant, in any order.

    Returns:
        JSON-ready.
    """
    runs = {
        variant: [run for pair in pairs for run in pair if run.variant is variant]
        for variant in Variant
    }
    differences = {
        percentile: compare_pairs(
            [run.latency_at(percentile) for run in runs[Variant.WITH]],
            [run.latency_at(percentile) for run in runs[Variant.WITHOUT]],
        )
        for percentile in PERCENTILES
    }
    shares = [run.recorder_cpu_share for run in runs[Variant.WITH]]
    return {
        "latency": {str(variant): _describe(found) for variant, found in runs.items()},
        "difference": {
            "interval": "mean of the pairs' differences, Student's t, 95 %",
            **{f"p{percentile}": found.figures() for percentile, found in differences.items()},
        },
        "recorder_cpu_percent_of_machine": {
            "mean": round(100 * statistics.fmean(shares), 2),
            "max": round(100 * max(shares), 2),
        },
        "verdict": judge(differences[99], recorder_cpu_share=max(shares)),
    }


def judge(p99: Difference, *, recorder_cpu_share: float) -> dict[str, Any]:
    """The criterion, each part by itself, and whether the interval is narrow enough to mean it."""
    half_width_percent = p99.percent(p99.high - p99.low) / 2
    return {
        "criterion": CRITERION,
        "p99_is_kept": p99.percent(p99.mean) <= P99_PERCENT_MAX or p99.contains_zero,
        "p99_interval_half_width_percent": round(half_width_percent, 2),
        "p99_interval_is_narrow": half_width_percent <= HALF_WIDTH_PERCENT_MAX,
        "recorder_cpu_is_kept": recorder_cpu_share < RECORDER_CPU_SHARE_MAX,
    }


def tell(facts: dict[str, Any]) -> str:
    """The summary for a person.

    Args:
        facts: what the benchmark prints as JSON.
    """
    options, sealed, verdict = facts["options"], facts["sealed"], facts["verdict"]
    cpu = facts["recorder_cpu_percent_of_machine"]
    rate, seconds = options["rate_per_s"], options["seconds"]
    lines = [f"{rate:g} requests/s for {seconds:g} s a run, cores {options['cores']}"]
    lines[0] += f", {options['service_ms']:g} ms in the application"
    lines.append(f"{options['pairs_count']:>2} pairs{'p50':>23}{'p99':>13}")
    for variant, found in facts["latency"].items():
        name = variant.replace("_", " ")
        lines.append(f"{name:20}{found['p50_us']:>7.0f} us{found['p99_us']:>10.0f} us")
    lines += [_tell_difference(facts, f"p{percentile}") for percentile in PERCENTILES]
    lines.append(
        f"meshtrail took {cpu['mean']:.1f} % of the machine's CPU, in no run more than "
        f"{cpu['max']:.1f} %, and sealed {sealed['requests_sealed_count']} of "
        f"{sealed['requests_sent_count']} requests"
    )
    lines.append(f"criterion: {verdict['criterion']}")
    lines.append(
        f"p99: {_mark(is_kept=verdict['p99_is_kept'])}, known to within "
        f"{verdict['p99_interval_half_width_percent']:.1f} %"
        f"{'' if verdict['p99_interval_is_narrow'] else ', too little to tell'}; "
        f"CPU: {_mark(is_kept=verdict['recorder_cpu_is_kept'])}"
    )
    return "\n".join(lines)


def _describe(runs: Sequence[Run]) -> dict[str, Any]:
    """The runs of one variant, each counting once."""
    figures = [run.figures() for run in runs]
    roles = sorted({role for one in figures for role in one["cpu_us_per_request"]})
    facts: dict[str, Any] = {}
    for percentile in PERCENTILES:
        found = [run.latency_at(percentile) for run in runs]
        facts[f"p{percentile}_us"] = _mean(found)
        facts[f"p{percentile}_us_by_run"] = [round(value, 1) for value in found]
    for name in ("sent_late_p50_us", "sent_late_p99_us"):
        facts[name] = _mean([one[name] for one in figures])
    waited = "waited_for_connection_count"
    facts[waited] = sum(one[waited] for one in figures)
    facts["cpu_us_per_request"] = {
        role: _mean([one["cpu_us_per_request"].get(role, 0.0) for one in figures]) for role in roles
    }
    others = "others_cpu_percent_of_machine"
    facts[f"{others}_max"] = max(one[others] for one in figures)
    return facts


def _tell_difference(facts: dict[str, Any], name: str) -> str:
    found = facts["difference"][name]
    low, high = found["interval_95_us"]
    low_percent, high_percent = found["interval_95_percent"]
    return (
        f"difference at {name}: {found['mean_us']:+.0f} us ({low:+.0f} to {high:+.0f}), "
        f"{found['mean_percent']:+.1f} % ({low_percent:+.1f} to {high_percent:+.1f})"
    )


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 1)


def _mark(*, is_kept: bool) -> str:
    return "kept" if is_kept else "MISSED"
