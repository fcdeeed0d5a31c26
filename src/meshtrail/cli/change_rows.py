"""A change of configuration as JSON and as the cells of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.search.json_lines import plain_value
from meshtrail.search.moments import format_moment
from meshtrail.search.table import NULL, escape

if TYPE_CHECKING:
    from meshtrail.correlate.config_history import Change

_HASH_DIGITS: Final = 8


def change_json(change: Change) -> dict[str, Any]:
    """Plain facts: the event, and what follows from what stood before."""
    return {
        **plain_row(change.row),
        "before_hash": change.before_hash.hex() if change.before_hash is not None else None,
        "security": list(change.security),
        "is_removal": change.is_removal,
        "is_effectless": change.is_effectless,
    }


def change_cells(change: Change) -> tuple[str, ...]:
    """Time, actor, verb, object, effect, hashes, entry."""
    row, key = change.row, change.key
    name = "/".join(filter(None, (key.namespace, key.name)))
    acted = f" as {row['actor_impersonated']}" if row["actor_impersonated"] else ""
    cells = (
        format_moment(change.at_ns),
        f"{row['actor']}{acted}" if row["actor"] is not None else NULL,
        row["operation"],
        " ".join(filter(None, (key.kind, name, key.cluster and f"({key.cluster})"))),
        "none" if change.is_effectless else ", ".join(change.security) or NULL,
        f"{_short(change.before_hash)}>{_short(row['spec_hash'])}",
        str(row["log_index"]),
    )
    return tuple(escape(cell) for cell in cells)


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its nulls, as JSON can hold it."""
    return {name: plain_value(name, value) for name, value in row.items() if value is not None}


def _short(digest: bytes | None) -> str:
    return digest.hex()[:_HASH_DIGITS] if digest is not None else NULL
