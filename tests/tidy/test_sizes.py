"""Files and functions stay small enough to be read in one go."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.tidy.checkout import files, listed, named, text_of, tree_of

if TYPE_CHECKING:
    from pathlib import Path

# Tests and benchmarks are lists of cases more often than lines of thought, so they may be longer.
FILE_LINES_MAX = {"src": 400, "tools": 400, "tests": 500, "bench": 500}
FUNCTION_LINES_MAX = {"src": 70, "tools": 70, "tests": 100, "bench": 100}
ADR_LINES_MAX = 60


def test_no_python_file_is_longer_than_its_folder_allows() -> None:
    long = [
        f"{named(path)}: {lines} lines, at most {limit}"
        for folder, limit in FILE_LINES_MAX.items()
        for path in files(folder, suffix=".py")
        if (lines := text_of(path).count("\n")) > limit
    ]
    assert not long, listed(long)


def test_no_function_is_longer_than_its_folder_allows() -> None:
    long = [
        f"{named(path)}:{node.lineno} {node.name}: {lines} lines, at most {limit}"
        for folder, limit in FUNCTION_LINES_MAX.items()
        for path in files(folder, suffix=".py")
        for node in functions(path)
        if (lines := length(node)) > limit
    ]
    assert not long, listed(long)


def test_no_decision_record_is_longer_than_a_page() -> None:
    long = [
        f"{named(path)}: {lines} lines, at most {ADR_LINES_MAX}"
        for path in files("docs/adr", suffix=".md")
        if (lines := text_of(path).count("\n")) > ADR_LINES_MAX
    ]
    assert not long, listed(long)


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last line, docstring left out: explaining must not cost room."""
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines
