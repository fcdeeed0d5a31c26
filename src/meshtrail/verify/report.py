"""The result of an audit, as plain facts and as text for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshtrail.verify.findings import Finding
    from meshtrail.verify.pins import TrustedKey

_ALIKE_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What was checked, and what was found.

    Attributes:
        tree_size: entries of the log that was audited.
        checkpoints_count: signed checkpoints in checkpoints/.
        heads_checked: distinct signed tree heads that are those of the entries.
        files_count: live segments and tiles files that were hashed.
        entries_count: entries that were hashed.
        derived_count, sampled_count: events derived again, and by the second decoder too.
        index_range: the leaves that were examined, when not all.
        findings: tampering; the first 100 of each check.
        explained: what a crash or a sealer at work explains.
        counts: how much tampering each check found.
    """

    origin: str
    tree_size: int
    root_hash: bytes | None
    published_size: int | None
    trusted: TrustedKey
    checkpoints_count: int
    heads_checked: int
    lock_heads_count: int | None
    manifests_count: int
    files_count: int
    blobs_count: int
    entries_count: int
    streams_opened: int
    streams_closed: int
    streams_open: int
    is_deep: bool
    derived_count: int
    sampled_count: int
    index_range: tuple[int, int] | None
    findings: tuple[Finding, ...]
    explained: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    counts: dict[str, int]
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing was tampered with, as far as was checked."""
        return not self.counts

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return {
            "verdict": "clean" if self.is_clean else "tampered",
            "origin": self.origin,
            "tree_size": self.tree_size,
            "root_hash": self.root_hash.hex() if self.root_hash is not None else None,
            "published_size": self.published_size,
            **self.trusted.as_json(),
            "checkpoints": self.checkpoints_count,
            "heads_checked": self.heads_checked,
            "lock_heads": self.lock_heads_count,
            "manifests": self.manifests_count,
            "files": self.files_count,
            "blobs": self.blobs_count,
            "entries": self.entries_count,
            "streams_opened": self.streams_opened,
            "streams_closed": self.streams_closed,
            "streams_open": self.streams_open,
            "deep": self.is_deep,
            "derived": self.derived_count,
            "sampled": self.sampled_count,
            "range": list(self.index_range) if self.index_range else None,
            "counts": self.counts,
            "findings": [finding.as_json() for finding in self.findings],
            "explained": [finding.as_json() for finding in self.explained],
            "notes": [finding.as_json() for finding in self.notes],
            "seconds": round(self.seconds, 3),
        }

    def render(self) -> str:
        """Some lines for people; ends in a newline."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"log {self.origin}, {self.tree_size} entries"
        if self.root_hash is not None:
            yield f"root {self.root_hash.hex()}"
        yield self.trusted.render()
        yield (
            f"checked: {self.checkpoints_count} signed checkpoints, {self.manifests_count} "
            f"manifests, {self.files_count} files, {self.blobs_count} blobs, {self._entries()}"
        )
        yield (
            f"streams: {self.streams_opened} opened, {self.streams_closed} closed, "
            f"{self.streams_open} open"
        )
        if self.lock_heads_count is not None:
            yield f"lock record: {self.lock_heads_count} signed heads"
        if self.is_deep:
            yield (
                f"deep: {self.derived_count} events derived again, {self.sampled_count} of them "
                "by a second decoder"
            )
        yield from _listed("TAMPERED", self.findings)
        yield from _listed_in_part("explained", self.explained)
        yield from _listed("note", self.notes)
        unlisted = sum(self.counts.values()) - len(self.findings)
        if unlisted:
            yield f"TAMPERED and {unlisted} more of the same"
        verdict = "nothing was changed" if self.is_clean else "TAMPERED WITH"
        yield f"{verdict} ({self.seconds:.1f} s)"

    def _entries(self) -> str:
        if self.index_range is None:
            return f"{self.entries_count} entries"
        start, end = self.index_range
        return f"{self.entries_count} entries, of the range {start}-{end} only"


def _listed(word: str, findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{word} {finding.check}: {finding.message}"


def _listed_in_part(word: str, findings: Iterable[Finding]) -> Iterator[str]:
    """Lines of the first few of each kind, then how many more there are; the JSON has all."""
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.check] += 1
        if counts[finding.check] <= _ALIKE_SHOWN:
            yield f"{word} {finding.check}: {finding.message}"
    for check, count in counts.items():
        if count > _ALIKE_SHOWN:
            yield f"{word} {check}: {count - _ALIKE_SHOWN} more like it"
