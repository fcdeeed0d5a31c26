"""meshtrail itself: one Searcher and one ProvenLog in this process, as a serving process keeps."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.harness.search.page_cache import drop_cached, read_through
from bench.harness.search.questions import (
    LIMIT,
    Answer,
    ByCaller,
    ById,
    ByPath,
    ByPrincipal,
    PairCounts,
    Proof,
)
from meshtrail.search import catalogue as catalogue_module
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.search.table import event_columns
from meshtrail.units import UnixNanos
from meshtrail.verify import check_file, prove
from meshtrail.verify.evidence import ProvenLog
from meshtrail.verify.pins import KeySource, TrustedKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.harness.search.questions import Pair, Question, Window
    from meshtrail.app.data import OpenData

PAIRS_SQL: Final = (
    "SELECT src_spiffe_id, dst_spiffe_id, count(*) AS entries_count FROM events GROUP BY ALL"
)


class MeshtrailEngine:
    """Answers as `meshtrail search`, `prove` and `check` do, without their printing."""

    name = "meshtrail"
    samples_max: int | None = None

    def __init__(self, data: OpenData) -> None:
        """Open the log; its own key is believed, a benchmark measures its own log."""
        self.facts: Mapping[str, Any] = {}
        self._data = data
        self._trusted = TrustedKey(verifier=data.claimed_key, source=KeySource.CLAIM)
        self._proofs = tempfile.TemporaryDirectory(prefix="meshtrail-bench-")
        self._searcher, self._proven = self._open()

    def segments(self) -> list[Path]:
        """The live segments, ascending."""
        return [segment.path for segment in self._searcher.pin().segments]

    def ask(self, question: Question) -> Answer | None:
        """The answer."""
        match question:
            case PairCounts(window):
                return self._count_pairs(window)
            case Proof():
                return self._prove(question)
            case _:
                return self._find(make_request(question))

    def warm(self) -> None:
        """Read all files of the log, and an entry of each segment."""
        read_through(self._files())
        # One after the other, the largest last: the log keeps the footers that it read last.
        names = (segment.named for segment in self._searcher.pin().segments)
        for named in sorted(names, key=lambda one: one.end - one.start):
            list(self._proven.prove([named.start], has_events=False))

    def cool(self) -> None:
        """Drop all files of the log, and take a new Searcher."""
        self._searcher.close()
        # Times of segments are kept for the life of the process, which here goes on.
        catalogue_module._read_received_range.cache_clear()  # noqa: SLF001 - nothing else may
        drop_cached(self._files())
        self._searcher, self._proven = self._open()

    def close(self) -> None:
        """Let go of the log."""
        self._searcher.close()
        self._proofs.cleanup()

    def _open(self) -> tuple[Searcher, ProvenLog]:
        layout, key, origin = self._data.layout, self._data.claimed_key, self._data.origin
        searcher = Searcher(layout, key, origin=origin, limits=SearchLimits())
        return searcher, ProvenLog(layout.root, self._trusted)

    def _files(self) -> list[Path]:
        """Every file that a search or a proof may read."""
        segments = self.segments()
        root = self._data.layout.root
        folders = ("tiles", "manifest", "published")
        return [*segments, *(path for folder in folders for path in (root / folder).iterdir())]

    def _find(self, request: SearchRequest) -> tuple[int, ...]:
        plan = self._searcher.plan(request, now_ns=UnixNanos(0))
        batches = list(self._searcher.find(plan))
        return tuple(index for batch in batches for index in batch["log_index"].to_pylist())

    def _count_pairs(self, window: Window) -> dict[Pair, int]:
        answer = self._searcher.run_sql(PAIRS_SQL, _period(window))
        return {
            (caller, callee): count
            for batch in answer.batches
            for caller, callee, count in zip(*batch.to_pydict().values(), strict=True)
        }

    def _prove(self, question: Proof) -> tuple[int, int]:
        """Write a proof and check it, both through files."""
        index, out = question.leaf_index, Path(self._proofs.name)
        path = out / f"{index}.tlog-proof"
        if question.is_anew:
            root = self._data.layout.root
            prove(root, [index], trusted=self._trusted, out=out, is_overwriting=True)
        else:
            (evidence,) = self._proven.prove([index], has_events=False)
            path.write_bytes(evidence.proof)
            path.with_suffix(".entry").write_bytes(evidence.entry)
        report = check_file(path, key_option=self._trusted.vkey, pins_file=out / "no-pins")
        (entry,) = report.entries
        return entry.leaf_index, entry.header.received_ns


def make_request(question: ById | ByCaller | ByPrincipal | ByPath) -> SearchRequest:
    """A question in the query language, with the columns of the readable table or all."""
    is_wide = isinstance(question, ById) and question.is_wide
    return SearchRequest(
        query=_format_query(question),
        period=_period(question.window) if isinstance(question, ByCaller) else Period(),
        columns=() if is_wide else tuple(event_columns()),
        limit=LIMIT,
    )


def _format_query(question: ById | ByCaller | ByPrincipal | ByPath) -> str:
    match question:
        case ById():
            if question.column == "trace_id":
                return f"trace:{question.value.hex()}"
            return f"request:{uuid.UUID(bytes=question.value)}"
        case ByCaller():
            return f'src.spiffe:"{question.identity}"'
        case ByPrincipal():
            return f'spiffe:"{question.identity}"'
        case ByPath():
            return f'path:~"^{question.pattern}$"'


def _period(window: Window) -> Period:
    return Period(from_ns=UnixNanos(window.from_ns), to_ns=UnixNanos(window.to_ns))
