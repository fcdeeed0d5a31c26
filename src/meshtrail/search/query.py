r"""The query language, first form: ``field:value`` terms joined by ``AND``.

    query  = [ term { "AND" term } ]
    term   = field ":" [ ">=" | ">" | "<=" | "<" ] value
    value  = bare | '"' quoted '"'

A bare value ends at a space; ``*`` in it stands for any characters, ``?`` for one, and a value of
``*`` alone for "has a value". A backslash takes the next character as it is. In a quoted value
nothing stands for anything else; only ``\"`` and ``\\`` are escapes. An empty query finds
everything.

Pure text work: what a value means for its column is ``compile``'s part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from meshtrail.errors import QueryError
from meshtrail.search.fields import Field, find_field

QUERY_CHARACTERS_MAX: Final = 10_000
TERMS_MAX: Final = 100

_SPACE = re.compile(r"[ \t\r\n]*")
_FIELD = re.compile(r"[A-Za-z0-9_.@-]+")
_WORD = re.compile(r"[^ \t\r\n]+")
_RESERVED: Final = '()[]{}"'
_LATER: Final = ("OR", "NOT", "&&", "||", "!", "-")


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A place in a value that stands for other characters: any number of them, or one."""

    is_one: bool


Piece = str | Wildcard


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One ``field:value``.

    Attributes:
        comparison: ``=``, ``>=``, ``>``, ``<=`` or ``<``.
        pieces: the value, literal text and wildcards in turn; an empty value has none.
        position: where the value stands in the query, from 0.
        length: characters of the value there.
    """

    field: Field
    comparison: str
    pieces: tuple[Piece, ...]
    position: int
    length: int

    @property
    def literal(self) -> str | None:
        """The value, or None when it has wildcards."""
        if any(isinstance(piece, Wildcard) for piece in self.pieces):
            return None
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def is_any(self) -> bool:
        """Whether it asks for any value at all."""
        return self.pieces == (Wildcard(is_one=False),)


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all hold."""

    text: str
    terms: tuple[Term, ...]


def parse_query(text: str) -> Query:
    """Read a query.

    Raises:
        QueryError: not in the language, or a field that does not exist; ``position`` and ``length``
            say where.
    """
    if len(text) > QUERY_CHARACTERS_MAX:
        raise QueryError(
            f"a query has at most {QUERY_CHARACTERS_MAX} characters, got {len(text)}", query=""
        )
    return _Parser(text).parse()


class _Parser:
    """One pass over the text, left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> Query:
        terms: list[Term] = []
        self._skip_space()
        while self._at < len(self._text):
            if terms:
                self._read_and()
            terms.append(self._read_term())
            self._skip_space()
            if len(terms) > TERMS_MAX:
                raise self._error(f"a query has at most {TERMS_MAX} terms", self._at)
        return Query(self._text, tuple(terms))

    def _read_and(self) -> None:
        word = self._word()
        if word != "AND":
            what = f"{word} is not understood yet" if word in _LATER else f"{word!r} stands alone"
            raise self._error(f"{what}: join terms with AND", self._at, len(word))
        self._at += len(word)
        self._skip_space()

    def _read_term(self) -> Term:
        name = _FIELD.match(self._text, self._at)
        word = self._word()
        if name is None or self._text[name.end() : name.end() + 1] != ":":
            raise self._error(
                f"{word!r} is not field:value" if word else "the query ends where a term is due",
                self._at,
                len(word),
            )
        if name[0].startswith("-"):
            raise self._error("- is not understood yet: join terms with AND", self._at, 1)
        field = find_field(name[0], query=self._text, position=self._at)
        self._at = name.end() + 1
        start = self._at
        comparison = self._read_comparison()
        pieces = self._read_quoted() if self._peek() == '"' else self._read_bare()
        if not pieces and self._text[self._at - 1] != '"':
            raise self._error(f'{name[0]}: has no value; an empty one is written ""', start)
        return Term(
            field=field,
            comparison=comparison,
            pieces=pieces,
            position=start,
            length=self._at - start,
        )

    def _read_comparison(self) -> str:
        for comparison in (">=", "<=", ">", "<"):
            if self._text.startswith(comparison, self._at):
                self._at += len(comparison)
                return comparison
        return "="

    def _read_quoted(self) -> tuple[Piece, ...]:
        start = self._at
        self._at += 1
        value: list[str] = []
        while (character := self._peek()) != '"':
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in {'"', "\\"}:
                self._at += 1
                character = self._peek()
            if not character:
                raise self._error("a quoted value has no closing quote", start, self._at - start)
            value.append(character)
            self._at += 1
        self._at += 1
        if self._peek().strip():
            raise self._error("a space is due behind a closing quote", self._at)
        return ("".join(value),) if value else ()

    def _read_bare(self) -> tuple[Piece, ...]:
        pieces: list[Piece] = []
        literal: list[str] = []
        while (character := self._peek()).strip():
            if character in _RESERVED:
                raise self._error(
                    f"{character} in a value needs quotes around it, or a backslash before",
                    self._at,
                )
            if character in "*?":
                if literal:
                    pieces.append("".join(literal))
                    literal = []
                pieces.append(Wildcard(is_one=character == "?"))
            else:
                literal.append(self._escaped() if character == "\\" else character)
            self._at += 1
        if literal:
            pieces.append("".join(literal))
        return tuple(pieces)

    def _escaped(self) -> str:
        """The character behind a backslash."""
        self._at += 1
        if not self._peek():
            raise self._error("the query ends behind a backslash", self._at - 1)
        return self._peek()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _word(self) -> str:
        match = _WORD.match(self._text, self._at)
        return match[0] if match else ""

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # noqa: S101 - the pattern takes nothing as well
        self._at = match.end()

    def _error(self, message: str, position: int, length: int = 1) -> QueryError:
        return QueryError(message, query=self._text, position=position, length=max(length, 1))
