"""The documents hold together: one title each, links that lead somewhere, guards that exist."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.tidy.checkout import ROOT, files, listed, named, prose_of, text_of, tree_of

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) +(.+?) *#*$", re.MULTILINE)
TEST_NAME = re.compile(r"tests/[\w/.-]+\.py(?:::\w+)+")
NEGATIVE = re.compile(r"^(?:## Negative consequences|- Negative: )", re.MULTILINE)
ARCHITECTURE = ROOT / "ARCHITECTURE.md"


def test_every_document_has_exactly_one_title() -> None:
    wrong = [
        f"{named(path)}: {len(titles)} titles"
        for path in files(suffix=".md")
        if len(titles := [text for mark, text in headings(path) if mark == "#"]) != 1
    ]
    assert not wrong, listed(wrong)


def test_every_relative_link_leads_to_a_file_and_heading() -> None:
    broken = [
        f"{named(path)}: {link}"
        for path in files(suffix=".md")
        for link in LINK.findall(prose_of(text_of(path)))
        if not re.match(r"[a-z]+:", link) and not leads_somewhere(path, link)
    ]
    assert not broken, listed(broken)


def test_every_test_that_a_document_names_exists() -> None:
    missing = [
        f"{named(path)}: {name}"
        for path in files(suffix=".md")
        for name in TEST_NAME.findall(text_of(path))
        if not is_a_test(name)
    ]
    assert not missing, listed(missing)


@pytest.mark.skipif(not ARCHITECTURE.exists(), reason="there is no ARCHITECTURE.md yet")
def test_every_invariant_of_the_architecture_names_the_test_that_guards_it() -> None:
    _, heading, section = text_of(ARCHITECTURE).partition("\n## Invariants\n")
    assert heading, "ARCHITECTURE.md has no section 'Invariants'"
    table = [line for line in section.partition("\n## ")[0].split("\n") if line.startswith("|")]
    rows = table[2:]  # the first two are the table's head
    assert rows, "the invariants are a table, one in each row"
    assert not [row for row in rows if not TEST_NAME.search(row)]


def test_every_decision_record_states_its_negative_consequences() -> None:
    silent = [
        named(path)
        for path in files("docs/adr", suffix=".md")
        if not NEGATIVE.search(text_of(path))
    ]
    assert not silent, listed(silent)


def test_every_decision_record_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in files("docs/adr", suffix=".md")]
    assert sorted(set(numbers)) == sorted(numbers)


def headings(path: Path) -> list[tuple[str, str]]:
    return HEADING.findall(prose_of(text_of(path)))


def anchors(path: Path) -> set[str]:
    """The fragments under which a browser finds the headings, as the usual renderers make them."""
    texts = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", text) for _, text in headings(path)]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def leads_somewhere(path: Path, link: str) -> bool:
    file, _, fragment = link.partition("#")
    target = path.parent / file if file else path
    if not target.exists():
        return False
    return not fragment or target.suffix != ".md" or fragment in anchors(target)


def is_a_test(name: str) -> bool:
    file, *scopes = name.split("::")
    path = ROOT / file
    if not path.is_file():
        return False
    body: list[ast.stmt] = tree_of(path).body
    for scope in scopes:
        definitions = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name == scope
        ]
        if not definitions:
            return False
        body = definitions[0].body
    return True
