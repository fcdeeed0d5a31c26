"""Conditions to SQL: text of a query never becomes SQL, its values are bound."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import QueryError
from meshtrail.search.addresses import compile_network
from meshtrail.search.fields import Field, FieldKind, suggest
from meshtrail.search.moments import parse_duration, parse_moment, parse_span
from meshtrail.search.query import (
    And,
    Comparison,
    Node,
    Not,
    Or,
    Pattern,
    Query,
    Range,
    Regex,
    Term,
    Wildcard,
)
from meshtrail.search.regex_literal import required_text
from meshtrail.search.where import Where, all_of, any_of, equals, negated
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.units import UnixNanos

REGEX_CHARACTERS_MAX: Final = 1_000

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORT_TRACE_DIGITS: Final = 16
_ORDERED: Final = {FieldKind.NUMBER, FieldKind.TIME, FieldKind.DURATION}


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles the conditions of one query.

    Attributes:
        query: the whole of it, for errors.
        now_ns: what relative times count back from.
    """

    query: Query
    now_ns: UnixNanos

    def compile(self, node: Node) -> Where:
        """A condition in SQL.

        Raises:
            QueryError: a value that its field cannot have; ``position`` and ``length`` say where.
        """
        match node:
            case Term():
                return self._compile_term(node)
            case Not():
                return negated(self.compile(node.node))
            case And():
                return all_of(self.compile(one) for one in node.nodes)
            case Or():
                return any_of(self.compile_alternatives(node))

    def compile_alternatives(self, node: Node) -> list[Where]:
        """The conditions of which one has to hold; one alone for a node that is no OR.

        Values of one column become one list: a hundred ids are looked up in one pass.
        """
        if not isinstance(node, Or):
            return [self.compile(node)]
        listed: dict[str, list[object]] = {}
        others: list[Where] = []
        for one in node.nodes:
            where = self.compile(one)
            if where.looked_up is None:
                others.append(where)
            else:
                listed.setdefault(where.looked_up, []).extend(where.values)
        return [*(equals(name, *values) for name, values in listed.items()), *others]

    def _compile_term(self, term: Term) -> Where:
        try:
            return _compile_value(term, self.now_ns)
        except QueryError as error:
            raise QueryError(
                error.message, query=self.query.text, position=term.position, length=term.length
            ) from error


def _compile_value(term: Term, now_ns: UnixNanos) -> Where:
    field = term.field
    match term.value:
        case Pattern() as pattern:
            return _compile_pattern(field, pattern, now_ns)
        case Comparison(operator, text):
            _check_ordered(field, operator)
            return _compare(field, operator, parse_number(text, field.kind, now_ns))
        case Range() as asked:
            return _compile_range(field, asked, now_ns)
        case Regex(pattern):
            return _compile_regex(field, pattern)


def _compile_pattern(field: Field, pattern: Pattern, now_ns: UnixNanos) -> Where:
    if pattern.is_any:
        return _has_value(field)
    literal = pattern.literal
    if literal is None:
        return _compile_wildcards(field, pattern)
    if field.kind is FieldKind.TIME:
        start, end = parse_span(literal, now_ns=now_ns)
        return all_of([_compare(field, ">=", start), _compare(field, "<", end)])
    if field.kind is FieldKind.REQUEST_ID:
        return _compile_request_id(literal)
    if field.kind is FieldKind.IP and "/" in literal:
        return compile_network(field.name, literal)
    return equals(field.name, _parse_value(literal, field, now_ns))


def _parse_value(text: str, field: Field, now_ns: UnixNanos) -> object:
    """A whole value as its column holds it."""
    match field.kind:
        case FieldKind.HEX_ID:
            return _parse_hex_id(text, field.id_bytes)
        case FieldKind.NUMBER | FieldKind.DURATION:
            return parse_number(text, field.kind, now_ns)
        case FieldKind.SPIFFE_ID:
            return _checked_spiffe_id(text)
        case FieldKind.TRUTH:
            return _checked_choice(text, field) == "true"
        case _:
            return _checked_choice(text, field)


def _compile_range(field: Field, asked: Range, now_ns: UnixNanos) -> Where:
    _check_ordered(field, "a range")
    bounds = []
    if asked.low is not None:
        low = parse_number(asked.low, field.kind, now_ns)
        bounds.append(_compare(field, ">=" if asked.is_low_included else ">", low))
    if asked.high is not None:
        high = parse_number(asked.high, field.kind, now_ns)
        bounds.append(_compare(field, "<=" if asked.is_high_included else "<", high))
    return all_of(bounds) if bounds else _has_value(field)


def _compile_regex(field: Field, pattern: str) -> Where:
    if not field.is_text:
        raise QueryError(f"{field.name} is no text: it takes no regular expression")
    if len(pattern) > REGEX_CHARACTERS_MAX:
        raise QueryError(f"a regular expression has at most {REGEX_CHARACTERS_MAX} characters")
    try:
        # Arrow and DuckDB both use RE2, whose time is linear in the text: none can be a trap.
        pc.match_substring_regex(pa.scalar(""), pattern=pattern)
    except pa.ArrowInvalid as error:
        reason = str(error).rpartition("Invalid regular expression: ")[2]
        raise QueryError(f"no regular expression of RE2's: {reason}") from error
    matches = Where(f'regexp_matches("{field.name}", ?)', (pattern,))
    text = required_text(pattern)
    if text is None:
        return matches
    return all_of([Where(f'contains("{field.name}", ?)', (text,)), matches])


def _compile_request_id(text: str) -> Where:
    """Lower-case UUIDs are kept as 16 bytes, everything else as the text that it was."""
    if _UUID.fullmatch(text):
        return equals("request_id", uuid.UUID(text).bytes)
    as_text = equals("request_id_text", text)
    if not _UUID.fullmatch(text.lower()):
        return as_text
    # Somebody else's tool may have raised the case: both are looked up, at the price of pruning.
    return any_of([as_text, equals("request_id", uuid.UUID(text).bytes)])


def _compile_wildcards(field: Field, pattern: Pattern) -> Where:
    if not field.is_text:
        hint = "; a range is written [500 TO 599]" if field.kind is FieldKind.NUMBER else ""
        raise QueryError(f"{field.name} takes a whole value, or * alone for any{hint}")
    like = "".join(
        ("_" if piece.is_one else "%") if isinstance(piece, Wildcard) else _escape_like(piece)
        for piece in pattern.pieces
    )
    return Where(f"\"{field.name}\" LIKE ? ESCAPE '\\'", (like,))


def _has_value(field: Field) -> Where:
    if field.kind is FieldKind.REQUEST_ID:
        return Where('("request_id" IS NOT NULL OR "request_id_text" IS NOT NULL)', ())
    return Where(f'"{field.name}" IS NOT NULL', ())


def _compare(field: Field, operator: str, number: int) -> Where:
    return Where(f'"{field.name}" {operator} ?', (number,))


def _check_ordered(field: Field, what: str) -> None:
    if field.kind not in _ORDERED:
        raise QueryError(f"{field.name} is no number: it cannot be compared with {what}")


def _escape_like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _checked_choice(value: str, field: Field) -> str:
    if field.choices and value not in field.choices:
        near = suggest(value, field.choices)
        hint = f"did you mean {near}?" if near else f"it is one of {', '.join(field.choices)}"
        raise QueryError(f"{field.name} is never {value!r}: {hint}")
    return value


def _checked_spiffe_id(text: str) -> str:
    if text and not text.startswith("spiffe://"):
        name = text.rpartition("/")[2]
        raise QueryError(
            f"a SPIFFE ID begins with spiffe://, got {text[:80]!r}: with a wildcard, */sa/{name}, "
            "it need not be whole"
        )
    return text


def _parse_hex_id(text: str, id_bytes: int) -> bytes:
    is_short_trace = id_bytes * 2 > len(text) == _SHORT_TRACE_DIGITS
    digits = text.rjust(id_bytes * 2, "0") if is_short_trace else text
    if not re.fullmatch(r"[0-9a-fA-F]+", text) or len(digits) != id_bytes * 2:
        raise QueryError(f"an id of {id_bytes * 2} hex digits is wanted, got {text[:80]!r}")
    return bytes.fromhex(digits)


def parse_number(text: str, kind: FieldKind, now_ns: UnixNanos) -> int:
    """A moment, duration or number as its column holds it.

    Raises:
        QueryError: it is none.
    """
    if kind is FieldKind.TIME:
        return parse_moment(text, now_ns=now_ns)
    if kind is FieldKind.DURATION:
        return parse_duration(text)
    if not _INTEGER.fullmatch(text) or not -INT64_MAX <= int(text) <= INT64_MAX:
        raise QueryError(f"a whole number is wanted, got {text[:80]!r}")
    return int(text)
