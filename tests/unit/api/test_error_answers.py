from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from meshtrail import errors
from meshtrail.api.error_answers import encode_error, make_error_answer, status_of
from meshtrail.errors import (
    BudgetError,
    BusyError,
    DigestError,
    MeshtrailError,
    NotFoundError,
    QueryError,
    RequestError,
)

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, MeshtrailError) and kind is not MeshtrailError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_of_the_tree_has_the_status_of_its_branch(kind: type[MeshtrailError]) -> None:
    branches: dict[type[MeshtrailError], set[int]] = {
        errors.InputError: {400, 404},
        errors.TamperError: {500},
        errors.DurabilityError: {503},
        errors.UnavailableError: {503, 422},
        errors.ConfigError: {500},
    }
    (wanted,) = [found for branch, found in branches.items() if issubclass(kind, branch)]
    assert status_of(kind("x")) in wanted


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueryError("x"), 400),
        (NotFoundError("x"), 404),
        (BudgetError("x"), 422),
        (BusyError("x"), 503),
        (RequestError("x"), 400),
        (RequestError("x", http_status=413), 413),
    ],
)
def test_leaves_that_differ_from_their_branch_have_their_own_status(
    error: MeshtrailError, status: int
) -> None:
    assert make_error_answer(error).status_code == status


def test_only_what_may_be_tried_again_says_when() -> None:
    assert make_error_answer(BusyError("x")).headers["retry-after"] == "1"
    assert "retry-after" not in make_error_answer(BudgetError("x")).headers
    assert "retry-after" not in make_error_answer(QueryError("x")).headers


def test_a_refused_method_is_told_with_those_that_are_not() -> None:
    answer = make_error_answer(RequestError("x", http_status=405, allow="GET, HEAD"))
    assert answer.headers["allow"] == "GET, HEAD"


def test_an_error_is_json_with_its_plain_facts() -> None:
    error = DigestError("segment 1", path=Path("a/b"), want=b"\x01\xff", got=7, other=object())
    assert json.loads(encode_error(error)) == {
        "error": "DigestError",
        "message": "segment 1",
        "facts": {"path": "a/b", "want": "01ff", "got": 7},
    }
