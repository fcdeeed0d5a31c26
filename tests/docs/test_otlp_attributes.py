from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_document_shows_the_attributes_as_they_are() -> None:
    """`./dev python tools/otlp_attributes.py` makes the table anew."""
    tool = runpy.run_path(str(ROOT / "tools" / "otlp_attributes.py"))
    document = tool["DOCUMENT"].read_text(encoding="utf-8")
    assert tool["insert"](document) == document
