from __future__ import annotations

import inspect

import pytest

from meshtrail import errors
from meshtrail.cli import exit_codes
from meshtrail.errors import MeshtrailError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, MeshtrailError) and kind is not MeshtrailError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_belongs_to_exactly_one_branch(kind: type[MeshtrailError]) -> None:
    branches = [branch for branch in exit_codes.BRANCHES if issubclass(kind, branch)]
    assert len(branches) == 1
    assert exit_codes.exit_code(kind("x")) == exit_codes.BRANCHES[branches[0]]


def test_every_branch_has_a_status_of_its_own_that_no_uncaught_exception_has() -> None:
    codes = list(exit_codes.BRANCHES.values())
    assert len(set(codes)) == len(codes)
    # 1 is what Python gives for an uncaught exception, 0 is success, 2 a usage error.
    assert not set(codes) & {0, 1, 2}


def test_tampering_is_status_3_as_documented_in_the_tree() -> None:
    assert exit_codes.exit_code(errors.LeafError("x")) == 3
    assert "exit 3" in (errors.__doc__ or "")


def test_every_status_has_a_meaning() -> None:
    named = {
        value
        for name, value in vars(exit_codes).items()
        if name.isupper() and isinstance(value, int)
    }
    assert named == set(exit_codes.MEANINGS)


def test_the_tree_in_the_documentation_names_every_error() -> None:
    for kind in CLASSES:
        assert kind.__name__ in (errors.__doc__ or "")
