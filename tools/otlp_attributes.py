"""Write the tables of docs/formats/otlp-attributes.md from the code; a test holds them together.

./dev python tools/otlp_attributes.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from meshtrail.model.otlp_attributes import (  # noqa: E402 - the path comes first
    ATTRIBUTES,
    WHO_REPORTS,
    Attribute,
    Told,
)

DOCUMENT = ROOT / "docs" / "formats" / "otlp-attributes.md"
BEGIN = "<!-- attributes: made by tools/otlp_attributes.py -->\n"
END = "<!-- attributes: end -->\n"
_OF = {Told.REQUEST: "requests", Told.CONNECTION: "connections", Told.BOTH: "both"}


def render() -> str:
    """The table of all attributes."""
    lines = ["| attribute | Envoy's format operator | of | fills |\n", "|---|---|---|---|\n"]
    lines += [_row(attribute) for attribute in ATTRIBUTES]
    lines += [
        f"| `{key}` | `%{operator}%` | both (Istio) | |\n" for key, operator in WHO_REPORTS.items()
    ]
    return "".join(lines)


def _row(attribute: Attribute) -> str:
    fills = ", ".join(f"`{name}`" for name in attribute.fills)
    return f"| `{attribute.key}` | `%{attribute.operator}%` | {_OF[attribute.told]} | {fills} |\n"


def insert(document: str) -> str:
    """The document with its table made anew."""
    head, rest = document.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + render() + END + tail


if __name__ == "__main__":
    DOCUMENT.write_text(insert(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
