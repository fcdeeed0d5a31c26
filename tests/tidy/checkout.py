"""The files of the checkout, as the tidy tests read them; there may be no git to ask."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
FOLDERS = (".ci", "bench", "console", "deploy", "docs", "requirements", "src", "tests", "tools")
MADE = {"__pycache__", "node_modules"}
START_BYTES = 4096


@cache
def all_files() -> tuple[Path, ...]:
    """Every file that someone wrote: those at the top, and those in the project's folders."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return tuple(
        sorted(
            path
            for path in [*ROOT.iterdir(), *inside]
            if path.is_file() and not MADE.intersection(path.parts)
        )
    )


def files(*folders: str, suffix: str) -> list[Path]:
    """The files under the folders (all, where none is named) whose names end so."""
    roots = [ROOT / folder for folder in folders] or [ROOT]
    return [
        path
        for path in all_files()
        if path.suffix == suffix and any(path.is_relative_to(root) for root in roots)
    ]


@cache
def text_files() -> tuple[Path, ...]:
    """Every file without zero bytes at its start: recorded data and golden bytes are no text."""
    return tuple(path for path in all_files() if b"\0" not in start_of(path))


def start_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(START_BYTES)


def named(path: Path) -> str:
    """The path as a person writes it, from the top of the checkout."""
    return path.relative_to(ROOT).as_posix()


def listed(complaints: list[str]) -> str:
    """One complaint a line, for the message of an assert."""
    return "\n" + "\n".join(complaints)


@cache
def text_of(path: Path) -> str:
    """The file's text; bytes that are no UTF-8 stand as they are, for those tests that look."""
    return path.read_bytes().decode("utf-8", errors="surrogateescape")


@cache
def tree_of(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(text_of(path), filename=str(path))


def module_of(path: Path) -> str:
    """The dotted name under which a file of src is imported."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def prose_of(markdown: str) -> str:
    """The text without its fenced code blocks, whose lines stay as empty ones."""
    prose: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        stripped = line.lstrip()
        mark = stripped[: len(stripped) - len(stripped.lstrip("`"))]
        if not fence and len(mark) >= 3:
            fence = mark
            prose.append("")
        elif fence:
            if stripped.startswith(fence) and not stripped.strip("`").strip():
                fence = ""
            prose.append("")
        else:
            prose.append(line)
    return "\n".join(prose)
