"""Query text to its tree; what is not understood is refused where it stands, with what to write.

Pure text work: what a value means for its column is ``compile``'s part.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from lark import Lark, Token, Tree, UnexpectedInput, UnexpectedToken

from meshtrail.errors import QueryError
from meshtrail.search.fields import find_fields
from meshtrail.search.grammar import GRAMMAR
from meshtrail.search.query import (
    And,
    Comparison,
    Node,
    Not,
    Or,
    Pattern,
    Piece,
    Query,
    Range,
    Regex,
    Term,
    Value,
    Wildcard,
)

if TYPE_CHECKING:
    from meshtrail.search.fields import Field

QUERY_CHARACTERS_MAX: Final = 65_536
TERMS_MAX: Final = 1_000
DEPTH_MAX: Final = 50
"""How deeply ANDs, ORs and NOTs may stand in one another."""

_PIECE: Final = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)
_ESCAPED_QUOTE: Final = re.compile(r'\\(["\\])')
_GUESSES: Final = (
    (re.compile(r"[0-9a-fA-F]{32}"), "trace"),
    (re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "request"),
    (re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"), "ip"),
    (re.compile(r"[1-5][0-9]{2}"), "status"),
    (re.compile(r"/.*"), "path"),
    (re.compile(r"[a-z][a-z0-9-]*"), "sa"),
)
"""What a value without a field most likely is."""

_VALUES: Final = {"BARE", "ITEM", "LOOSE", "BOUND"}
_DUE: Final[tuple[tuple[set[str], str], ...]] = (
    ({"_TO"}, "a range is written [LOW TO HIGH]: TO is missing"),
    ({"RANGE_TO"}, "a range ends with ] or }}, and has two bounds"),
    ({"BOUND"}, "a range is written [LOW TO HIGH]; * leaves an end open"),
    ({"FIELD"}, "{spoken} where a term is due"),
    (_VALUES, '{spoken} where a value is due; an empty one is written ""'),
    ({"QUOTED"}, 'a regular expression is written in quotes: field:~"…"'),
    (set(), "{spoken} where AND, OR, a comma or ) is due"),
)
"""What to say by the words that the grammar would take; the first that fits counts."""

_Tree = Tree[Token]


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
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _misunderstood(text, error) from error
    roots = _subtrees(tree)
    return Query(text, _Reading(text).read(roots[0]) if roots else None)


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", start="query")


class _Reading:
    """One walk over a syntax tree."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._terms_count = 0

    def read(self, tree: _Tree, fields: tuple[Field, ...] = (), depth: int = 0) -> Node:
        """The node that a syntax tree stands for.

        Args:
            tree: what is joined, or one term; in a list, one value.
            fields: those that the values of a list are for; empty outside of one.
            depth: how deeply it is nested.
        """
        if depth > DEPTH_MAX:
            raise self._error(f"a query is nested at most {DEPTH_MAX} deep", 0, len(self._text))
        children = _subtrees(tree)
        match tree.data:
            case "conjunction" | "disjunction":
                if len(children) == 1:
                    return self.read(children[0], fields, depth)
                nodes = tuple(self.read(child, fields, depth + 1) for child in children)
                return And(nodes) if tree.data == "conjunction" else Or(nodes)
            case "not_":
                return Not(self.read(children[0], fields, depth + 1))
            case "list":
                return self.read(children[0], fields, depth + 1)
            case "term":
                return self.read(children[0], self._read_fields(_tokens(tree)[0]), depth)
            case "fieldless":
                raise self._fieldless(_tokens(tree)[0])
            case _:
                return self._read_term(tree, fields)

    def _read_fields(self, token: Token) -> tuple[Field, ...]:
        return find_fields(token[:-1], query=self._text, position=_start(token))

    def _read_term(self, tree: _Tree, fields: tuple[Field, ...]) -> Node:
        self._terms_count += 1
        if self._terms_count > TERMS_MAX:
            raise self._error(f"a query has at most {TERMS_MAX} terms", 0, len(self._text))
        tokens = _tokens(tree)
        start, end = _start(tokens[0]), _start(tokens[-1]) + len(tokens[-1])
        value = _read_value(tree)
        terms = tuple(
            Term(field=field, value=value, position=start, length=end - start) for field in fields
        )
        return terms[0] if len(terms) == 1 else Or(terms)

    def _fieldless(self, token: Token) -> QueryError:
        text, start = str(token), _start(token)
        if text in {"AND", "OR", "&&", "||"}:
            return self._error(f"{text} needs a term on both sides", start, len(text))
        if text.endswith(":"):
            return self._error(
                f'{text} has no value: write it behind the colon; an empty one is ""',
                start + len(text),
            )
        name = next((name for form, name in _GUESSES if form.fullmatch(text)), "")
        hint = f": did you mean {name}:{text}?" if name else ""
        return self._error(f"{text} is not field:value{hint}", start, len(text))

    def _error(self, message: str, position: int, length: int = 1) -> QueryError:
        return QueryError(message, query=self._text, position=position, length=length)


def _read_value(tree: _Tree) -> Value:
    tokens = _tokens(tree)
    match tree.data:
        case "comparison":
            return Comparison(str(tokens[0]), _plain(tokens[1]))
        case "regex":
            return Regex(_unquoted(tokens[-1]))
        case "range":
            opening, low, high, closing = tokens
            return Range(
                low=None if low == "*" else _plain(low),
                high=None if high == "*" else _plain(high),
                is_low_included=opening == "[",
                is_high_included=closing == "]",
            )
        case _:
            return Pattern(_pieces(tokens[0]))


def _pieces(token: Token) -> tuple[Piece, ...]:
    """Literal text and wildcards in turn; in quotes nothing stands for anything else."""
    if token.type == "QUOTED":
        text = _unquoted(token)
        return (text,) if text else ()
    pieces: list[Piece] = []
    for escaped, wildcard, literal in _PIECE.findall(token):
        if wildcard:
            pieces.append(Wildcard(is_one=wildcard == "?"))
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += escaped or literal
        else:
            pieces.append(escaped or literal)
    return tuple(pieces)


def _plain(token: Token) -> str:
    return _unquoted(token) if token.type == "QUOTED" else str(token)


def _unquoted(token: Token) -> str:
    return _ESCAPED_QUOTE.sub(r"\1", token[1:-1])


def _subtrees(tree: _Tree) -> list[_Tree]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: _Tree) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]


def _start(token: Token) -> int:
    assert token.start_pos is not None  # noqa: S101 - the lexer always sets it
    return token.start_pos


def _misunderstood(text: str, error: UnexpectedInput) -> QueryError:
    """What is wrong where the parser stopped, and what to write instead."""
    if isinstance(error, UnexpectedToken):
        token, wanted = error.token, set(error.accepts)
        if token.type == "$END" or not (token.type in _VALUES and wanted & _VALUES):
            position = len(text.rstrip()) if token.type == "$END" else _start(token)
            message = _unexpected(token, wanted)
            return QueryError(message, query=text, position=position, length=max(len(token), 1))
        # A word of another place: what would be one here begins with it and goes wrong later.
        start = _start(token)
    else:
        start = int(getattr(error, "pos_in_stream", 0))
    position, message = _unreadable(text, start)
    return QueryError(message, query=text, position=position, length=1)


def _unexpected(token: Token, wanted: set[str]) -> str:
    """A word of the language where it cannot stand."""
    if token.type == "RPAR":
        return "there is no ( for this )" if "$END" in wanted else "a term is due before this )"
    if token.type == "$END" and "RPAR" in wanted:
        return "a ( is not closed"
    spoken = "the query ends" if token.type == "$END" else f"{token} stands"
    due = next(due for words, due in _DUE if not words or words & wanted)
    return due.format(spoken=spoken)


def _unreadable(text: str, position: int) -> tuple[int, str]:
    """Characters that are no word of the language: where, and why."""
    if text[position : position + 1] == '"':
        end = _closing_quote(text, position)
        if end is None:
            return position, "a quoted value has no closing quote"
        return end + 1, "a space is due behind a closing quote"
    at = position
    while at < len(text) and not text[at].isspace():
        if text[at] == "\\":
            if at + 1 == len(text):
                return at, "the query ends behind a backslash"
            at += 2
            continue
        if text[at] in '()[]{}"':
            return at, f"{text[at]} in a value needs quotes around it, or a backslash before"
        at += 1
    return position, f"{text[position:at][:40]!r} is not understood here"


def _closing_quote(text: str, opening: int) -> int | None:
    at = opening + 1
    while at < len(text):
        if text[at] == '"':
            return at
        at += 2 if text[at] == "\\" else 1
    return None
