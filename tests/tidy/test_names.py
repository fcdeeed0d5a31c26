"""Names say what a thing is: files are named by their noun, tests by their claim."""

from __future__ import annotations

import ast

from tests.tidy.checkout import ROOT, all_files, files, listed, named, tree_of

BANNED = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
WORDS_MIN = 3


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    vague = [
        named(path)
        for path in all_files()
        if BANNED.intersection(part.split(".")[0] for part in path.relative_to(ROOT).parts)
    ]
    assert not vague, listed(vague)


def test_every_test_is_named_by_a_claim_of_three_words_or_more() -> None:
    short = [
        f"{named(path)}:{node.lineno} {node.name}"
        for path in files("tests", suffix=".py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")[1:]) < WORDS_MIN
    ]
    assert not short, listed(short)


def test_no_test_file_defines_the_same_test_twice() -> None:
    # The second definition silently replaces the first, which then never runs.
    twice = []
    for path in files("tests", suffix=".py"):
        for scope in ast.walk(tree_of(path)):
            if not isinstance(scope, ast.Module | ast.ClassDef):
                continue
            names = [node.name for node in scope.body if isinstance(node, ast.FunctionDef)]
            twice += [f"{named(path)} {name}" for name in set(names) if names.count(name) > 1]
    assert not twice, listed(twice)
