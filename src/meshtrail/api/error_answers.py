"""The error tree as HTTP: which status, and what the body says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from meshtrail.errors import (
    BudgetError,
    ConfigError,
    DurabilityError,
    InputError,
    MeshtrailError,
    NotFoundError,
    TamperError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUSES: Final[Mapping[type[MeshtrailError], int]] = {
    # Not 503: the same request would reach the same limit again, and 503 invites to try.
    BudgetError: 422,
    NotFoundError: 404,
    InputError: 400,
    TamperError: 500,
    DurabilityError: 503,
    UnavailableError: 503,
    ConfigError: 500,
}
"""The first that an error belongs to counts; a ``RequestError`` has a status of its own."""

RETRY_SECONDS: Final = 1
UNEXPECTED: Final = "InternalError"


def status_of(error: MeshtrailError) -> int:
    """The HTTP status of an error."""
    named = error.facts.get("http_status")
    if isinstance(named, int):
        return named
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


def make_error_answer(error: MeshtrailError) -> Response:
    """What is answered in place of what was asked for."""
    status = status_of(error)
    headers = {"retry-after": str(RETRY_SECONDS)} if status == STATUSES[UnavailableError] else {}
    allowed = error.facts.get("allow")
    if isinstance(allowed, str):
        headers["allow"] = allowed
    return Response(encode_error(error), status, headers, media_type="application/json")


def make_unexpected_answer() -> Response:
    """What is answered for a mistake of our own; its details are in the diagnostics only."""
    told = {"error": UNEXPECTED, "message": "a mistake in meshtrail; its diagnostics say more"}
    return Response(msgspec.json.encode(told), 500, media_type="application/json")


def encode_error(error: MeshtrailError) -> bytes:
    """An error as JSON: its name in the tree, its message, its plain facts."""
    facts = {name: _plain(fact) for name, fact in error.facts.items() if name != "http_status"}
    plain = {name: fact for name, fact in facts.items() if fact is not None}
    return msgspec.json.encode(
        {"error": type(error).__name__, "message": error.message, "facts": plain}
    )


def _plain(fact: object) -> object:
    match fact:
        case bytes():
            return fact.hex()
        case os.PathLike():
            return os.fspath(fact)
        case str() | int() | float():
            return fact
        case _:
            return None
