"""Write the column table of docs/formats/event.md from the schema; a test holds the two together.

./dev python tools/event_columns.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from meshtrail.model.columns import COLUMNS, Column  # noqa: E402 - the path comes first

DOCUMENT = ROOT / "docs" / "formats" / "event.md"
BEGIN = "<!-- columns: made by tools/event_columns.py -->\n"
END = "<!-- columns: end -->\n"


def render() -> str:
    """The table of all columns."""
    lines = [
        "| id | column | short | type | null | about |\n",
        "|---|---|---|---|---|---|\n",
    ]
    lines += [_row(column) for column in COLUMNS]
    return "".join(lines)


def _row(column: Column) -> str:
    short = f"`{column.short}`" if column.short else ""
    unit = f" {column.unit}" if column.unit else ""
    null = "yes" if column.nullable else "no"
    bloom = "; Bloom filter" if column.bloom else ""
    kind = str(column.type).replace("fixed_size_binary[", "binary(").replace("]", ")")
    cells = (column.field_id, f"`{column.name}`", short, kind + unit, null, column.about + bloom)
    return f"| {' | '.join(map(str, cells))} |\n"


def insert(document: str) -> str:
    """The document with its table made anew."""
    head, rest = document.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + render() + END + tail


if __name__ == "__main__":
    DOCUMENT.write_text(insert(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
