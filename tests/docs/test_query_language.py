from __future__ import annotations

import html
import re
import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from tests.unit.search.small_log import make_log

if TYPE_CHECKING:
    from tests.unit.search.small_log import SmallLog

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "query-language.md"
_ROW = re.compile(r"^\| `(?P<query>.+?)` \| ", re.MULTILINE)


def shown_queries() -> list[str]:
    """The first cell of every row of a table of queries."""
    queries, _ = DOCUMENT.read_text(encoding="utf-8").split("## Grammar")
    return [html.unescape(match["query"]) for match in _ROW.finditer(queries)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SmallLog:
    log = make_log(tmp_path_factory.mktemp("log") / "data")
    log.add_segment([{"url_path": "/admin/x", "decision": "denied"}])
    return log


def test_the_document_shows_many_queries() -> None:
    assert len(shown_queries()) > 30


@pytest.mark.parametrize("query", shown_queries())
def test_every_query_that_is_shown_runs(
    log: SmallLog, query: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _, options = query.partition(" --")
    words = shlex.split(f"--{options}") if options else []
    status = main(["search", text, *words, "--data", str(log.layout.root), "--json"])
    said = capsys.readouterr().err
    assert (status, said.partition(":")[0]) == (exit_codes.OK, "completeness")


def test_the_table_of_fields_is_the_schema_as_it_is() -> None:
    """`./dev python tools/query_fields.py` makes the table anew."""
    tool = runpy.run_path(str(ROOT / "tools" / "query_fields.py"))
    document = tool["DOCUMENT"].read_text(encoding="utf-8")
    assert tool["insert"](document) == document
