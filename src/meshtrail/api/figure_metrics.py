"""A log's figures as Prometheus metrics; every name is documented in docs/metrics.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from meshtrail.api.known_labels import (
    ALARMS,
    DEATH_CAUSES,
    FINDING_CAUSES,
    GAP_CAUSES,
    count_from_zero,
)
from meshtrail.note import format_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from meshtrail.app.figures import Figures
    from meshtrail.app.run_file import RunFacts
    from meshtrail.note import VerifierKey

_NANOS: Final = 1_000_000_000
_SUPERVISOR: Final = "up"


class FigureMetrics:
    """What one look at the files says; a Prometheus collector."""

    def __init__(
        self,
        figures: Figures | None,
        *,
        key: VerifierKey,
        own_alarms: Mapping[str, int],
    ) -> None:
        """Take what to show.

        Args:
            figures: None when the log cannot be read, or is not what it says it is.
            key: of the log.
            own_alarms: of the serve process, which writes no file.
        """
        self._figures = figures
        self._key = key
        self._own_alarms = own_alarms

    def collect(self) -> Iterator[Metric]:
        """Every metric, with its samples."""
        figures = self._figures
        yield _info(self._key)
        yield _gauge(
            "log_readable",
            "1 when the log reads back as what it says it is.",
            int(figures is not None),
        )
        run = figures.run if figures is not None else {}
        yield _alarms(run, self._own_alarms)
        if figures is None:
            return
        yield from _sealed(figures)
        yield from _journals(figures)
        yield from _merges(figures)
        yield from _disk(figures)
        yield from _received(figures)
        yield from _missing(figures)
        yield from _processes(figures)


def _info(key: VerifierKey) -> Metric:
    family = GaugeMetricFamily(
        "meshtrail_log_info",
        "1, with the log's name and the fingerprint of its key in its labels.",
        labels=["origin", "fingerprint"],
    )
    family.add_metric([key.name, format_fingerprint(key)], 1)
    return family


def _alarms(run: Mapping[str, RunFacts], own: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "meshtrail_alarms",
        "Diagnostics of level error, by the process that said them and by name.",
        labels=["process", "alarm"],
    )
    said = {name: facts.facts.get("alarms", {}) for name, facts in run.items()}
    for process, alarms in sorted({**said, "serve": own}.items()):
        for alarm, count in count_from_zero(alarms, ALARMS.get(process, ())).items():
            family.add_metric([process, alarm], count)
    return family


def _sealed(figures: Figures) -> Iterator[Metric]:
    status = figures.status
    yield _gauge("tree_size", "Entries that the published checkpoint covers.", status.tree_size)
    yield CounterMetricFamily(
        "meshtrail_sealed_entries",
        "Entries that were ever sealed; its rate is the rate of sealing.",
        value=status.sealed_size,
    )
    if status.sealer != "unknown":
        yield _gauge(
            "sealer_running",
            "1 when a sealer holds the data directory.",
            int(status.sealer == "running"),
        )
    yield _gauge(
        "seal_lag_seconds",
        "How long the oldest durable entry has been waiting to be sealed; 0 when none waits.",
        figures.seal_lag_seconds,
    )
    if status.last_received_ns is not None:
        yield _gauge(
            "last_received_timestamp_seconds",
            "When the last sealed entry arrived.",
            status.last_received_ns / _NANOS,
        )
    seal = figures.run.get("seal")
    if seal is not None:
        yield CounterMetricFamily(
            "meshtrail_seal_ticks", "Ticks of the sealer.", value=seal.facts.get("ticks", 0)
        )
        yield CounterMetricFamily(
            "meshtrail_seal_tick_seconds",
            "Seconds spent in ticks; a rate near 1 is a sealer at its limit.",
            value=seal.facts.get("tick_seconds", 0.0),
        )


def _journals(figures: Figures) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "meshtrail_journal_unsealed_bytes",
        "Bytes of a journal that are not sealed yet.",
        labels=["writer"],
    )
    files = GaugeMetricFamily(
        "meshtrail_journal_files", "Files of a journal that are there.", labels=["writer"]
    )
    for journal in figures.status.journals:
        depth.add_metric([journal.writer], journal.unsealed_bytes)
        files.add_metric([journal.writer], journal.files_count)
    yield depth
    yield files


def _merges(figures: Figures) -> Iterator[Metric]:
    live = GaugeMetricFamily(
        "meshtrail_live_segments",
        "Live segments, by the tier of entries that they fill; 0 for those below the lowest.",
        labels=["tier"],
    )
    for tier, count in figures.segments_by_tier.items():
        live.add_metric([str(tier)], count)
    yield live
    yield _gauge("merges_due", "Merges that are due and not done.", figures.backlog.merges_count)
    yield _gauge(
        "merge_due_entries",
        "Entries that these merges will write again.",
        figures.backlog.entries_count,
    )


def _disk(figures: Figures) -> Iterator[Metric]:
    folders = GaugeMetricFamily(
        "meshtrail_folder_bytes",
        "Bytes in a folder of the data directory, superseded files included.",
        labels=["folder"],
    )
    for folder, bytes_count in figures.folder_bytes.items():
        folders.add_metric([folder], bytes_count)
    yield folders
    yield _gauge(
        "disk_free_bytes",
        "Bytes that may still be written on the data directory's disk.",
        figures.disk_free_bytes,
    )
    yield _gauge("disk_bytes", "Size of that disk.", figures.disk_bytes)


def _received(figures: Figures) -> Iterator[Metric]:
    entries = CounterMetricFamily(
        "meshtrail_received_entries",
        "Entries that a collector made durable since it was started.",
        labels=["writer"],
    )
    bytes_ = CounterMetricFamily(
        "meshtrail_received_bytes", "Bytes of the frames that they came in.", labels=["writer"]
    )
    refused = CounterMetricFamily(
        "meshtrail_senders_refused",
        "How often a sender was not let in since a collector was started.",
        labels=["writer"],
    )
    streams = GaugeMetricFamily(
        "meshtrail_streams_open", "Streams that are open now, its own included.", labels=["writer"]
    )
    for name, told in figures.run.items():
        if "entries" not in told.facts:
            continue
        entries.add_metric([name], told.facts["entries"])
        bytes_.add_metric([name], told.facts["bytes"])
        refused.add_metric([name], told.facts["senders_refused"])
        if not told.is_stale(figures.now_ns):
            streams.add_metric([name], told.facts["streams"])
    yield entries
    yield bytes_
    yield refused
    yield streams


def _missing(figures: Figures) -> Iterator[Metric]:
    """What the ledger said since its start."""
    ledger = figures.run.get("ledger")
    if ledger is None:
        return
    told = ledger.facts
    for name, fact, known, about in (
        ("missing_records", "missing", GAP_CAUSES, "Records that are missing, at least, by cause."),
        ("gaps", "gaps", GAP_CAUSES, "Statements that records are missing, by cause."),
        ("findings", "findings", FINDING_CAUSES, "What somebody should look at, by cause."),
    ):
        family = CounterMetricFamily(f"meshtrail_{name}", about, labels=["cause"])
        for cause, count in count_from_zero(told[fact], known).items():
            family.add_metric([cause], count)
        yield family
    yield _gauge("reporters", "Reporters that the ledger keeps account of.", told["reporters"])
    yield _gauge("reporters_silent", "Reporters whose counts no longer come.", told["silent"])
    if told["passed_ns"]:
        lag = max(figures.now_ns - told["passed_ns"], 0) / _NANOS
        yield _gauge("ledger_lag_seconds", "How far the ledger is behind the clock.", lag)


def _processes(figures: Figures) -> Iterator[Metric]:
    running = GaugeMetricFamily(
        "meshtrail_process_up", "1 when a process of `up` does its work.", labels=["process"]
    )
    started = GaugeMetricFamily(
        "meshtrail_process_start_timestamp_seconds",
        "When a process of `up` was started.",
        labels=["process"],
    )
    deaths = CounterMetricFamily(
        "meshtrail_process_deaths",
        "How often a process of `up` died and was started again, by the error or signal.",
        labels=["process", "cause"],
    )
    for name, told in figures.run.items():
        started.add_metric([name], told.started_ns / _NANOS)
    supervisor = figures.run.get(_SUPERVISOR)
    if supervisor is not None:
        is_there = not supervisor.is_stale(figures.now_ns)
        running.add_metric([_SUPERVISOR], int(is_there))
        for name, process in supervisor.facts.get("processes", {}).items():
            running.add_metric([name], int(is_there and process["is_ready"]))
            died = {
                death["cause"]: death["count"]
                for death in supervisor.facts.get("deaths", [])
                if death["process"] == name
            }
            for cause, count in count_from_zero(died, DEATH_CAUSES).items():
                deaths.add_metric([name, cause], count)
    yield running
    yield started
    yield deaths


def _gauge(name: str, about: str, value: float) -> Any:  # noqa: ANN401 - a family, which is untyped
    return GaugeMetricFamily(f"meshtrail_{name}", about, value=value)
