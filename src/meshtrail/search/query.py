"""A query as a tree: what ``parse`` makes of text, and ``compile`` turns into SQL.

Positions are those of the text, from 0, so that an error found later still points at its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshtrail.search.fields import Field


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A place in a value that stands for other characters: any number of them, or one."""

    is_one: bool


Piece = str | Wildcard


@dataclass(frozen=True, slots=True)
class Pattern:
    """A value as a whole, literal text and wildcards in turn; an empty value has no pieces."""

    pieces: tuple[Piece, ...]

    @property
    def literal(self) -> str | None:
        """The value, or None when it has wildcards."""
        texts = [piece for piece in self.pieces if isinstance(piece, str)]
        return "".join(texts) if len(texts) == len(self.pieces) else None

    @property
    def is_any(self) -> bool:
        """Whether it asks for any value at all."""
        return self.pieces == (Wildcard(is_one=False),)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``>=``, ``>``, ``<=`` or ``<`` a value."""

    operator: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Between two values; None leaves an end open."""

    low: str | None
    high: str | None
    is_low_included: bool
    is_high_included: bool


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression in RE2's syntax that matches anywhere in the value."""

    pattern: str


Value = Pattern | Comparison | Range | Regex


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One ``field:value``.

    Attributes:
        position: where the value stands in the query, from 0.
        length: characters of the value there.
    """

    field: Field
    value: Value
    position: int
    length: int


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where its node does not; also where a value is missing."""

    node: Node


@dataclass(frozen=True, slots=True)
class And:
    """Holds where all of its nodes do."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Holds where one of its nodes does."""

    nodes: tuple[Node, ...]


Node = Term | Not | And | Or


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query; one without a root finds everything."""

    text: str
    root: Node | None


def conjuncts(node: Node | None) -> tuple[Node, ...]:
    """The conditions that all have to hold."""
    if node is None:
        return ()
    return node.nodes if isinstance(node, And) else (node,)
