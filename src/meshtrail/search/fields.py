"""The fields that a query may name: each event column, by its name or its short one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from meshtrail.errors import QueryError
from meshtrail.model.columns import COLUMNS, Column
from meshtrail.model.event import Decision, Kind, TimeQuality, TlsFailure, Trust

if TYPE_CHECKING:
    from collections.abc import Sequence


class FieldKind(Enum):
    """How the text of a value becomes what the column holds."""

    TEXT = auto()
    NUMBER = auto()
    TIME = auto()
    DURATION = auto()
    SPIFFE_ID = auto()
    IP = auto()
    HEX_ID = auto()
    REQUEST_ID = auto()
    TRUTH = auto()


_TEXT_KINDS: Final = {FieldKind.TEXT, FieldKind.SPIFFE_ID, FieldKind.IP}
_CLOSED_LISTS: Final = {
    "kind": tuple(Kind),
    "time_quality": tuple(TimeQuality),
    "decision": tuple(Decision),
    "dry_run_decision": tuple(Decision),
    "tls_failure": tuple(TlsFailure),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column as a query sees it.

    Attributes:
        choices: every value that the column can hold, where that is a closed list.
    """

    column: Column
    kind: FieldKind
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def is_text(self) -> bool:
        """Whether wildcards and regular expressions make sense."""
        return self.kind in _TEXT_KINDS

    @property
    def id_bytes(self) -> int:
        """Length of an id; only for ids."""
        return int(self.column.type.byte_width)


def find_field(name: str, *, query: str = "", position: int = 0) -> Field:
    """The field that a query calls ``name``.

    Args:
        name: a column name or a short one.
        query: the whole query, for the error.
        position: where the name stands in it, from 0.

    Raises:
        QueryError: there is no such field; names the nearest one.
    """
    field = FIELDS.get(name)
    if field is None:
        near = suggest(name, [*FIELDS, *EITHER_END])
        hint = f"did you mean {near}?" if near else "`meshtrail search --fields` lists them all"
        raise QueryError(
            f"no field is called {name!r}: {hint}",
            query=query,
            position=position,
            length=len(name),
        )
    return field


def find_fields(name: str, *, query: str = "", position: int = 0) -> tuple[Field, ...]:
    """The fields that a term of a query is about: one, or that of either end.

    Raises:
        QueryError: as for ``find_field``.
    """
    ends = EITHER_END.get(name)
    return ends if ends is not None else (find_field(name, query=query, position=position),)


def suggest(name: str, known: Sequence[str]) -> str:
    """The known name that is nearest to a mistyped one; empty when none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return near[0] if near else ""


def _kind_of(column: Column) -> FieldKind:
    if column.name == "request_id":
        return FieldKind.REQUEST_ID
    if pa.types.is_fixed_size_binary(column.type):
        return FieldKind.HEX_ID
    if column.unit == "ns":
        is_moment = column.name == "time" or column.name.endswith("_time")
        return FieldKind.TIME if is_moment else FieldKind.DURATION
    if not pa.types.is_string(column.type):
        return FieldKind.TRUTH if pa.types.is_boolean(column.type) else FieldKind.NUMBER
    if column.name.endswith("_spiffe_id"):
        return FieldKind.SPIFFE_ID
    return FieldKind.IP if column.name.endswith("_ip") else FieldKind.TEXT


def _choices_of(column: Column) -> tuple[str, ...]:
    if pa.types.is_boolean(column.type):
        return "true", "false"
    choices = tuple(Trust) if column.name.endswith("_trust") else _CLOSED_LISTS.get(column.name, ())
    return tuple(str(choice) for choice in choices)


def _fields() -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for column in COLUMNS:
        field = Field(column, _kind_of(column), _choices_of(column))
        for name in filter(None, (column.name, column.short)):
            assert name not in fields, f"two columns answer to {name}"  # noqa: S101 - our own table
            fields[name] = field
    return fields


FIELDS: Final = _fields()
"""Every field by column name and by short name."""

EITHER_END: Final = {
    name: (FIELDS[f"src.{name}"], FIELDS[f"dst.{name}"])
    for name in ("spiffe", "domain", "namespace", "sa", "ip", "port")
}
"""Names for the caller's field or the callee's, whichever matches."""
