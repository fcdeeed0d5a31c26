from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshtrail.api.routes import ROUTES
from tests.unit.api.exchange import Exchange, serving_client
from tests.unit.search.small_log import make_log

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "api.md"
DOCUMENTED = re.compile(r"^## `(GET|POST) (\S+)`", re.MULTILINE)


def ask(folder: Path, requests: Sequence[tuple[str, str]]) -> list[Exchange]:
    async def run() -> list[Exchange]:
        log = make_log(folder / "data")
        log.add_segment([{}] * 3)
        async with serving_client(log) as client:
            return [await client.ask(method, path) for method, path in requests]

    return asyncio.run(run())


def test_every_route_has_a_heading_in_the_documentation_and_no_other_has() -> None:
    found = DOCUMENTED.findall(DOCUMENT.read_text(encoding="utf-8"))
    documented = [(method, path.replace(":path", "")) for method, path in found]
    routes = [(route.method, route.path.replace(":path", "")) for route in ROUTES]
    assert documented == routes


def test_only_get_and_post_are_in_the_table_and_post_only_for_searches() -> None:
    assert [route.path for route in ROUTES if route.method != "GET"] == ["/api/search"]


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/healthz/", "/api/search/", "//healthz"])
def test_a_path_that_is_not_in_the_table_is_not_found(tmp_path: Path, path: str) -> None:
    (answer,) = ask(tmp_path, [("GET", path)])
    assert answer.error == (404, "NotFoundError")


def test_head_is_answered_where_an_answer_is_cheap(tmp_path: Path) -> None:
    paths = ["/healthz", "/checkpoint", "/tile/0/000.p/3", "/api/status", "/metrics"]
    for answer in ask(tmp_path, [("HEAD", path) for path in paths]):
        assert answer.status == 200
    for answer in ask(tmp_path, [("HEAD", "/api/search"), ("HEAD", "/api/tail")]):
        assert answer.status == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_nothing_else_is_for_any_other_method(tmp_path: Path, method: str) -> None:
    for answer in ask(tmp_path, [(method, "/checkpoint"), (method, "/api/status")]):
        assert answer.error == (405, "RequestError")
        assert answer.headers["allow"] == "GET, HEAD"
