"""Terms to SQL: a WHERE clause and the values bound to it; text of a query never becomes SQL."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import QueryError
from meshtrail.search.fields import FieldKind, suggest
from meshtrail.search.moments import parse_duration, parse_moment
from meshtrail.search.query import Wildcard
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.search.query import Query, Term
    from meshtrail.units import UnixNanos

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORT_TRACE_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Where:
    """A condition in SQL.

    Attributes:
        sql: never empty; ``TRUE`` when everything matches.
        values: bound to its question marks, in order.
    """

    sql: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Half-open range of ``received_time``; None leaves an end open."""

    from_ns: UnixNanos | None = None
    to_ns: UnixNanos | None = None

    def __post_init__(self) -> None:
        """Raise QueryError when it holds no moment."""
        if self.from_ns is not None and self.to_ns is not None and self.from_ns >= self.to_ns:
            raise QueryError("--from is not before --to: no moment lies between them")


def compile_query(query: Query, period: Period, *, now_ns: UnixNanos) -> Where:
    """The condition that all terms and the period hold.

    Raises:
        QueryError: a value that its field cannot have; ``position`` and ``length`` say where.
    """
    parts: list[str] = []
    values: list[object] = []
    for moment, comparison in ((period.from_ns, ">="), (period.to_ns, "<")):
        if moment is not None:
            parts.append(f'"received_time" {comparison} ?')
            values.append(moment)
    for term in query.terms:
        part = _compile_term(term, query.text, now_ns)
        parts.append(part.sql)
        values += part.values
    return Where(" AND ".join(parts) or "TRUE", tuple(values))


def _compile_term(term: Term, query: str, now_ns: UnixNanos) -> Where:
    try:
        return _compile_value(term, now_ns)
    except QueryError as error:
        raise QueryError(
            error.message, query=query, position=term.position, length=term.length
        ) from error


def _compile_value(term: Term, now_ns: UnixNanos) -> Where:
    field = term.field
    if term.comparison != "=" and not _is_ordered(field.kind):
        raise QueryError(f"{field.name} is no number: it cannot be compared with {term.comparison}")
    if term.is_any and term.comparison == "=":
        return _has_value(field.kind, field.name)
    literal = term.literal
    if literal is None:
        return _compile_pattern(term)
    match field.kind:
        case FieldKind.TEXT:
            return _equals(field.name, _checked_choice(literal, field.name, field.choices))
        case FieldKind.HEX_ID:
            return _equals(field.name, _parse_hex_id(literal, field.id_bytes))
        case FieldKind.REQUEST_ID:
            return _compile_request_id(literal)
        case _:
            number = _parse_number(literal, field.kind, now_ns)
            return Where(f'"{field.name}" {term.comparison} ?', (number,))


def _compile_request_id(text: str) -> Where:
    """Lower-case UUIDs are kept as 16 bytes, everything else as the text that it was."""
    if _UUID.fullmatch(text):
        return _equals("request_id", uuid.UUID(text).bytes)
    as_text = _equals("request_id_text", text)
    if not _UUID.fullmatch(text.lower()):
        return as_text
    # Somebody else's tool may have raised the case: both are looked up, at the price of pruning.
    as_id = _equals("request_id", uuid.UUID(text).bytes)
    return Where(f"({as_text.sql} OR {as_id.sql})", as_text.values + as_id.values)


def _compile_pattern(term: Term) -> Where:
    if term.comparison != "=" or term.field.kind is not FieldKind.TEXT:
        raise QueryError(f"{term.field.name} takes a whole value, or * alone for any")
    pattern = "".join(
        ("_" if piece.is_one else "%") if isinstance(piece, Wildcard) else _escape_like(piece)
        for piece in term.pieces
    )
    return Where(f"\"{term.field.name}\" LIKE ? ESCAPE '\\'", (pattern,))


def _has_value(kind: FieldKind, name: str) -> Where:
    if kind is FieldKind.REQUEST_ID:
        return Where('("request_id" IS NOT NULL OR "request_id_text" IS NOT NULL)', ())
    return Where(f'"{name}" IS NOT NULL', ())


def _equals(name: str, value: object) -> Where:
    # Plain equality with a value of the column's own type: what Bloom filters and statistics need.
    return Where(f'"{name}" = ?', (value,))


def _escape_like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _is_ordered(kind: FieldKind) -> bool:
    return kind in {FieldKind.NUMBER, FieldKind.TIME, FieldKind.DURATION}


def _checked_choice(value: str, name: str, choices: tuple[str, ...]) -> str:
    if choices and value not in choices:
        near = suggest(value, choices)
        hint = f"did you mean {near}?" if near else f"it is one of {', '.join(choices)}"
        raise QueryError(f"{name} is never {value!r}: {hint}")
    return value


def _parse_hex_id(text: str, id_bytes: int) -> bytes:
    is_short_trace = id_bytes * 2 > len(text) == _SHORT_TRACE_DIGITS
    digits = text.rjust(id_bytes * 2, "0") if is_short_trace else text
    if not re.fullmatch(r"[0-9a-fA-F]+", text) or len(digits) != id_bytes * 2:
        raise QueryError(f"an id of {id_bytes * 2} hex digits is wanted, got {text[:80]!r}")
    return bytes.fromhex(digits)


def _parse_number(text: str, kind: FieldKind, now_ns: UnixNanos) -> int:
    if kind is FieldKind.TIME:
        return parse_moment(text, now_ns=now_ns)
    if kind is FieldKind.DURATION:
        return parse_duration(text)
    if not _INTEGER.fullmatch(text) or not -INT64_MAX <= int(text) <= INT64_MAX:
        raise QueryError(f"a whole number is wanted, got {text[:80]!r}")
    return int(text)
