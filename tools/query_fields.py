"""Write the table of fields of docs/query-language.md; a test holds the two together.

./dev python tools/query_fields.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from meshtrail.model.columns import COLUMNS  # noqa: E402 - the path comes first
from meshtrail.search.fields import EITHER_END, Field, FieldKind, find_field  # noqa: E402 - the same

DOCUMENT = ROOT / "docs" / "query-language.md"
BEGIN = "<!-- fields: made by tools/query_fields.py -->\n"
END = "<!-- fields: end -->\n"
_KINDS = {
    FieldKind.TEXT: "text",
    FieldKind.SPIFFE_ID: "SPIFFE ID",
    FieldKind.IP: "address or network",
    FieldKind.NUMBER: "number",
    FieldKind.TIME: "time",
    FieldKind.DURATION: "duration",
    FieldKind.HEX_ID: "hex id",
    FieldKind.REQUEST_ID: "UUID or text",
}


def render() -> str:
    """The table of all fields."""
    lines = ["| field | column | value | about |\n", "|---|---|---|---|\n"]
    lines += [_row(find_field(column.name)) for column in COLUMNS]
    for name, (src, dst) in EITHER_END.items():
        both = f"`{src.column.short}` or `{dst.column.short}`"
        lines.append(f"| `{name}` |  | {_KINDS[src.kind]} | {both} |\n")
    return "".join(lines)


def _row(field: Field) -> str:
    column = field.column
    name = f"`{column.short or column.name}`"
    kind = ", ".join(field.choices) if field.choices else _KINDS[field.kind]
    return f"| {name} | `{column.name}` | {kind} | {column.about} |\n"


def insert(document: str) -> str:
    """The document with its table made anew."""
    head, rest = document.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + render() + END + tail


if __name__ == "__main__":
    DOCUMENT.write_text(insert(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
