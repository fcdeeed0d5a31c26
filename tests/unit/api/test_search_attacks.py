from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.unit.api.exchange import serving_client
from tests.unit.api.sql_attacks import EXHAUSTING, REFUSED, filled
from tests.unit.search.small_log import make_log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api.exchange import Client

SECRET = "known to nobody outside"


def state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def attack(folder: Path, statements: tuple[str, ...], *, status: int) -> None:
    """Try each, and search as usual after each."""
    log = make_log(folder / "data")
    log.add_segment([{"url_path": f"/{number}"} for number in range(12)])
    secret = folder / "secret"
    secret.write_text(SECRET)
    segment = next(log.layout.segments.iterdir())
    before = state(folder)

    async def try_one(client: Client, sql: str) -> None:
        answer = await client.post("/api/search", {"sql": sql})
        assert answer.status == status, (sql[:80], answer.status, answer.body[:300])
        assert SECRET.encode() not in answer.body
        after = await client.get("/api/search?q=path:/7")
        assert after.json["found"] == 1, sql[:80]
        assert state(folder) == before, sql[:80]

    async def run() -> None:
        async with serving_client(log, search_seconds_max=1, search_memory_mib=64) as client:
            for sql in statements:
                await try_one(client, filled(sql, folder=folder, segment=segment, secret=secret))

    asyncio.run(run())


@pytest.mark.parametrize("at", range(0, len(REFUSED), 10))
def test_sql_that_wants_more_than_to_read_events_is_refused(tmp_path: Path, at: int) -> None:
    attack(tmp_path, REFUSED[at : at + 10], status=400)


@pytest.mark.parametrize("sql", EXHAUSTING)
def test_sql_that_would_never_end_or_fit_ends_with_its_budget(tmp_path: Path, sql: str) -> None:
    attack(tmp_path, (sql,), status=422)
