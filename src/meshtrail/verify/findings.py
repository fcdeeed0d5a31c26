"""What an audit found: each finding once, bounded in number, and which of them is the verdict.

A finding is tampering (its check is the name of a ``TamperError``), something that recovery
explains, or a note. Must not know how anything is checked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from meshtrail.errors import (
    ClockError,
    ConsistencyError,
    DigestError,
    EventError,
    InclusionError,
    LeafError,
    ManifestError,
    MissingFileError,
    RollbackError,
    SignatureError,
    StreamError,
    TamperError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FINDINGS_MAX: Final = 100
"""Findings kept of each check; more are only counted."""

_HEX_DIGITS: Final = 16

VERDICT_ORDER: Final[tuple[type[TamperError], ...]] = (
    SignatureError,
    RollbackError,
    LeafError,
    ConsistencyError,
    MissingFileError,
    ManifestError,
    DigestError,
    InclusionError,
    StreamError,
    ClockError,
    EventError,
)
"""Which finding names the verdict: causes stand before what follows from them.

A forged manifest also names other files, and a second history lacks checkpoints of the first; the
first class here that has a finding says what was done, its first finding says where.
"""


class Severity(StrEnum):
    """What a finding means for the verdict."""

    TAMPERED = "tampered"
    EXPLAINED = "explained"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that an audit has to say.

    Attributes:
        severity: whether it is tampering.
        check: name of the ``TamperError`` class, or of what explains it.
        subject: which object: a path in DATA, ``entry 7``, ``stream 5``, ``checkpoint 12``.
        message: one sentence with what was wanted and what was got.
        facts: the same for programs.
    """

    severity: Severity
    check: str
    subject: str
    message: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain facts; bytes as hex."""
        return {
            "severity": str(self.severity),
            "check": self.check,
            "subject": self.subject,
            "message": self.message,
            "facts": {name: plain(value) for name, value in self.facts.items()},
        }


def tampered(error: TamperError, subject: str) -> Finding:
    """The finding that an error is."""
    return Finding(
        severity=Severity.TAMPERED,
        check=type(error).__name__,
        subject=subject,
        message=error.message,
        facts=error.facts,
    )


def explained(check: str, subject: str, message: str, **facts: object) -> Finding:
    """A finding that a crash, or a sealer at work, explains."""
    return Finding(
        severity=Severity.EXPLAINED, check=check, subject=subject, message=message, facts=facts
    )


def noted(check: str, subject: str, message: str, **facts: object) -> Finding:
    """Something that a reader of the report should know, and that is no fault."""
    return Finding(
        severity=Severity.NOTE, check=check, subject=subject, message=message, facts=facts
    )


class Findings:
    """All findings of one audit, in the order in which they were made."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._counts: Counter[tuple[Severity, str]] = Counter()

    def add(self, finding: Finding) -> None:
        """Keep a finding, or count it when there are too many of its kind."""
        key = (finding.severity, finding.check)
        self._counts[key] += 1
        if self._counts[key] <= FINDINGS_MAX:
            self._kept.append(finding)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Keep several."""
        for finding in findings:
            self.add(finding)

    def take(self, found: PieceFindings) -> None:
        """Keep what a worker found."""
        self.extend(found.kept)
        for check, count in found.uncounted.items():
            self._counts[Severity.TAMPERED, check] += count

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The kept findings of a severity, in order."""
        return tuple(finding for finding in self._kept if finding.severity is severity)

    @property
    def counts(self) -> dict[str, int]:
        """How much tampering each check found, also what was not kept."""
        return {
            check: count
            for (severity, check), count in self._counts.items()
            if severity is Severity.TAMPERED
        }


@dataclass(slots=True)
class PieceFindings:
    """What one worker found in one piece of the log; travels between processes."""

    kept: list[Finding] = field(default_factory=list)
    uncounted: Counter[str] = field(default_factory=Counter)

    def add_rows(self, rows: Sequence[int], describe: Callable[[int], Finding]) -> None:
        """Report rows; the first of them one by one, the others as a number."""
        described = [describe(int(row)) for row in rows[:FINDINGS_MAX]]
        self.kept += described
        if len(rows) > len(described):
            self.uncounted[described[0].check] += len(rows) - len(described)


def verdict_of(findings: Iterable[Finding]) -> tuple[type[TamperError], Finding] | None:
    """The finding that names what was done, see ``VERDICT_ORDER``; None when there is none."""
    first: dict[str, Finding] = {}
    for finding in findings:
        if finding.severity is Severity.TAMPERED:
            first.setdefault(finding.check, finding)
    for error in VERDICT_ORDER:
        if error.__name__ in first:
            return error, first[error.__name__]
    return None


def plain(value: object) -> object:
    """A fact as JSON has it: bytes as hex, everything unknown as its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value)


def short(value: bytes | None) -> str:
    """The beginning of a hash, as messages show it."""
    return value.hex()[:_HEX_DIGITS] if value is not None else "none"
