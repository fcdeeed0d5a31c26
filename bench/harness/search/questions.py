"""What is asked, in no engine's language, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LIMIT: Final = 100
"""Rows that a question for the newest asks for."""

Pair = tuple[str | None, str | None]
Answer = tuple[int, ...] | dict[Pair, int]
"""Leaf indexes, newest first; or how many entries each pair of identities has."""


@dataclass(frozen=True, slots=True)
class Window:
    """Received in ``[from_ns, to_ns)``."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ById:
    """The entries with one id.

    Attributes:
        column: ``trace_id`` or ``request_id``.
        value: its 16 bytes.
        is_wide: whether all event columns are wanted, not those of the readable table alone.
    """

    column: str
    value: bytes
    is_wide: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCaller:
    """The newest entries whose caller has an identity, within a window."""

    identity: str
    window: Window


@dataclass(frozen=True, slots=True)
class ByPrincipal:
    """The newest entries with an identity at either end."""

    identity: str


@dataclass(frozen=True, slots=True)
class PairCounts:
    """How many entries each pair of caller and callee has within a window."""

    window: Window


@dataclass(frozen=True, slots=True)
class ByPath:
    """The newest entries whose whole path matches.

    Attributes:
        pattern: means the same to Python, RE2 and Rust; has neither quotes nor backslashes, and
            matches no quotation mark.
    """

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Prove an entry, check the proof; the answer is its leaf index and when it was received.

    Attributes:
        is_anew: whether the log is opened for it, as a command does.
    """

    leaf_index: int
    is_anew: bool


Question = ById | ByCaller | ByPrincipal | PairCounts | ByPath | Proof


@dataclass(frozen=True, slots=True)
class Sample:
    """A question with the only right answer."""

    question: Question
    want: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Questions of one kind, no question twice where the log has enough to ask for.

    Attributes:
        title: for people.
        goal_ms: what the 95th percentile is held against.
        warm_up: asked before the clock runs.
        samples: asked while files are in the page cache.
        cold: each asked of files that are not.
    """

    name: str
    title: str
    goal_ms: float
    warm_up: tuple[Sample, ...]
    samples: tuple[Sample, ...]
    cold: tuple[Sample, ...]


class Engine(Protocol):
    """What answers questions.

    Attributes:
        name: as figures call it.
        samples_max: it is asked no more of each kind; None asks all.
        facts: what making it ready took, JSON-ready.
    """

    name: str
    samples_max: int | None
    facts: Mapping[str, Any]

    def ask(self, question: Question) -> Answer | None:
        """The answer; None for a kind of question that it has no means for."""
        ...

    def warm(self) -> None:
        """Read its files, so that they are in the page cache."""
        ...

    def cool(self) -> None:
        """Drop its files from the page cache, and all that it keeps of them itself."""
        ...

    def close(self) -> None:
        """Let go of files and processes."""
        ...
