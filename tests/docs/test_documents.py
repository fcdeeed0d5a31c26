"""Every command that a document shows works, in order, and prints what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import parse_commands
from tests.docs.session import Session

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    path
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    if "```console" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_prints_what_it_shows(document: Path, tmp_path: Path) -> None:
    commands = parse_commands(document.read_text(encoding="utf-8"))
    session = Session(ROOT, tmp_path)
    try:
        for command in commands:
            session.run(command)
    finally:
        session.close()
