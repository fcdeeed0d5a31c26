from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_event_document_shows_the_schema_as_it_is() -> None:
    """`./dev python tools/event_columns.py` makes the table anew."""
    tool = runpy.run_path(str(ROOT / "tools" / "event_columns.py"))
    document = tool["DOCUMENT"].read_text(encoding="utf-8")
    assert tool["insert"](document) == document
