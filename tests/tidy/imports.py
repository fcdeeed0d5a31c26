"""Which modules of src a Python file uses, read from its syntax tree without running it."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

from tests.tidy.checkout import SOURCE, files, module_of, tree_of

if TYPE_CHECKING:
    from pathlib import Path


@cache
def modules() -> dict[str, Path]:
    """Every module of src by its dotted name."""
    return {module_of(path): path for path in files("src", suffix=".py")}


def used_by(path: Path) -> set[str]:
    """The modules that the file imports, or names in a string as lazy imports and data files do."""
    used: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            used.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            used.add(node.module)
            used.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            used.update(named_in(node.value, path))
    return used & modules().keys()


def named_in(text: str, path: Path) -> set[str]:
    """The module that a string names: `meshtrail.a.b:main`, or `b.py` beside this file."""
    names = {text.partition(":")[0]}
    if text.endswith(".py") and path.is_relative_to(SOURCE):
        names.add(module_of(path.with_name(text.rpartition("/")[2])))
    return names
