from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import pyarrow as pa
import pytest

from tests.unit.api.exchange import Client, Exchange, serving_client
from tests.unit.search.small_log import FIRST_NS, ORIGIN, STEP_NS, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

R = TypeVar("R")

PATHS = [f"/{number}" for number in range(12)]


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    made = make_log(tmp_path / "data")
    made.add_segment([{"url_path": path, "http_response_status_code": 200} for path in PATHS[:5]])
    made.add_segment([{"url_path": path, "http_response_status_code": 503} for path in PATHS[5:]])
    return made


def asking(log: SmallLog, ask: Callable[[Client], Awaitable[R]], **options: Any) -> R:
    async def run() -> R:
        async with serving_client(log, **options) as client:
            return await ask(client)

    return asyncio.run(run())


def get(log: SmallLog, path: str, **options: Any) -> Exchange:
    return asking(log, lambda client: client.get(path), **options)


def post(log: SmallLog, body: object, **options: Any) -> Exchange:
    return asking(log, lambda client: client.post("/api/search", body), **options)


def paths_in(rows: list[dict[str, Any]]) -> list[str]:
    return [row["url_path"] for row in rows]


def test_an_answer_has_the_newest_rows_and_what_they_rest_on(log: SmallLog) -> None:
    answer = get(log, "/api/search?q=status:503&limit=3")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["meshtrail-log"] == ORIGIN
    told = answer.json
    assert paths_in(told["rows"]) == ["/11", "/10", "/9"]
    assert (told["found"], told["has_more"]) == (3, True)
    assert (told["log"], told["tree_size"]) == (ORIGIN, 12)
    checkpoint = told["checkpoint"]
    assert (checkpoint["tree_size"], len(checkpoint["root_hash"])) == (12, 64)
    assert told["completeness"] == get(log, "/api/completeness").json["summary"]
    assert answer.headers["meshtrail-completeness"] == told["completeness"]


@pytest.mark.parametrize(("limit", "has_more"), [(6, True), (7, False), (8, False)])
def test_whether_there_are_more_is_known_and_not_guessed(
    log: SmallLog, limit: int, *, has_more: bool
) -> None:
    told = get(log, f"/api/search?q=status:503&limit={limit}").json
    assert (told["found"], told["has_more"]) == (min(limit, 7), has_more)
    assert len(told["rows"]) == told["found"]


def test_every_form_has_the_same_rows(log: SmallLog) -> None:
    async def ask(client: Client) -> list[Exchange]:
        query = "/api/search?q=status:503&columns=log_index,path&limit=4&format="
        return [await client.get(query + form) for form in ("json", "ndjson", "arrow")]

    as_json, as_lines, as_arrow = asking(log, ask)
    rows = as_json.json["rows"]
    assert [list(row) for row in rows] == [["log_index", "url_path"]] * 4
    assert as_lines.lines() == rows
    assert as_lines.headers["meshtrail-tree-size"] == "12"
    reader = pa.ipc.open_stream(io.BytesIO(as_arrow.body))
    assert reader.schema.metadata[b"meshtrail.log"] == ORIGIN.encode()
    assert reader.read_all().to_pylist() == rows
    assert as_arrow.headers["content-type"] == "application/vnd.apache.arrow.stream"


def test_a_period_bounds_the_answer(log: SmallLog) -> None:
    start, end = FIRST_NS + 2 * STEP_NS, FIRST_NS + 4 * STEP_NS
    told = get(log, f"/api/search?from={start}&to={end}&columns=path").json
    assert paths_in(told["rows"]) == ["/3", "/2"]


def test_nothing_found_is_an_answer_with_its_columns(log: SmallLog, tmp_path: Path) -> None:
    empty = make_log(tmp_path / "empty")
    for one in (log, empty):
        told = get(one, "/api/search?q=path:/none&columns=path").json
        assert (told["found"], told["has_more"], told["rows"]) == (0, False, [])
        assert told["columns"] == ["url_path"]
    assert get(empty, "/api/search").json["checkpoint"] is None
    arrow = get(empty, "/api/search?columns=path&format=arrow")
    assert pa.ipc.open_stream(arrow.body).read_all().schema.names == ["url_path"]


def test_a_body_asks_as_a_query_string_does_and_sql_besides(log: SmallLog) -> None:
    body = {"q": "status:503", "limit": 2, "columns": ["path"]}
    assert paths_in(post(log, body).json["rows"]) == ["/11", "/10"]
    sql = "SELECT http_response_status_code AS status, count(*) AS n FROM events GROUP BY 1"
    rows = post(log, {"sql": f"{sql} ORDER BY 1"}).json["rows"]
    assert rows == [{"status": 200, "n": 5}, {"status": 503, "n": 7}]


def test_rows_of_sql_are_cut_at_the_limit_and_it_says_so(log: SmallLog) -> None:
    body = {"sql": "SELECT log_index FROM events ORDER BY 1", "limit": 5}
    told = post(log, body).json
    assert [row["log_index"] for row in told["rows"]] == [0, 1, 2, 3, 4]
    assert (told["found"], told["has_more"]) == (5, True)


@pytest.mark.parametrize(
    ("query", "position"), [("status:>=500 AND pth:/x", 17), ("path:/a AND", None)]
)
def test_a_query_that_is_not_understood_is_told_with_its_place(
    log: SmallLog, query: str, position: int | None
) -> None:
    answer = get(log, f"/api/search?q={quote(query)}")
    assert answer.error == (400, "QueryError")
    facts = answer.json["facts"]
    assert facts["query"] == query
    assert facts["length"] >= 1
    assert position is None or facts["position"] == position


@pytest.mark.parametrize(
    "path",
    [
        "/api/search?limit=0",
        "/api/search?limit=100001",
        "/api/search?limit=x",
        "/api/search?querry=x",
        "/api/search?columns=nothing",
        "/api/search?from=now&to=-1h",
        "/api/search?format=xml",
        "/api/search/explain?limit=0",
        "/api/search/explain?q=pth:/x",
    ],
)
def test_a_request_that_makes_no_sense_is_a_400(log: SmallLog, path: str) -> None:
    assert get(log, path).status == 400


def test_a_plan_is_shown_without_being_run(log: SmallLog) -> None:
    told = get(log, "/api/search/explain?q=status:503&limit=5").json
    assert (told["log"], told["tree_size"], told["limit"]) == (ORIGIN, 12, 5)
    assert told["segments_live"] == 2


def test_other_methods_are_refused_with_those_that_are_not(log: SmallLog) -> None:
    async def ask(client: Client) -> list[Exchange]:
        return [
            await client.ask(method, "/api/search")
            for method in ("PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
        ]

    for answer in asking(log, ask):
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, POST"
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_body_of_another_kind_or_too_long_is_refused(log: SmallLog) -> None:
    async def ask(client: Client) -> list[Exchange]:
        return [
            await client.post("/api/search", b"{}", kind="text/plain"),
            await client.post("/api/search", {"q": "x" * 2_000}),
        ]

    kind, length = asking(log, ask, body_bytes_max=1_000)
    assert kind.error == (415, "RequestError")
    assert length.error == (413, "RequestError")


def test_a_json_answer_that_would_be_too_large_is_refused_whole(log: SmallLog) -> None:
    answer = get(log, "/api/search", answer_bytes_max=3_000)
    assert answer.error == (422, "BudgetError")
    lines = get(log, "/api/search?format=ndjson", answer_bytes_max=3_000)
    assert len(lines.lines()) == 12


SLOW = "SELECT sum(a.i * b.i) AS s FROM range(300000) a(i), range(300000) b(i)"


def test_a_search_that_takes_too_long_ends_with_its_budget(log: SmallLog) -> None:
    begun = time.monotonic()

    async def ask(client: Client) -> list[Exchange]:
        return [
            await client.post("/api/search", {"sql": SLOW}),
            await client.get("/api/search?q=status:503"),
        ]

    slow, after = asking(log, ask, search_seconds_max=1)
    assert slow.error == (422, "BudgetError")
    assert time.monotonic() - begun < 15
    assert after.json["found"] == 7


def test_a_client_that_goes_stops_its_search_and_frees_its_place(log: SmallLog) -> None:
    async def ask(client: Client) -> None:
        exchange = Exchange()
        body = json.dumps({"sql": SLOW}).encode()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                client.run(
                    exchange,
                    "POST",
                    "/api/search",
                    headers={"content-type": "application/json"},
                    body=body,
                )
            )
            await until(lambda: client.serving.sql.running_count == 1)
            await until(lambda: any(one.name.startswith("sql") for one in threading.enumerate()))
            exchange.leave()
        assert exchange.status == 0
        assert client.serving.sql.running_count == 0
        after = await client.get("/api/search?q=status:503")
        assert after.json["found"] == 7
        metrics = (await client.get("/metrics")).body.decode()
        assert 'meshtrail_searches_total{outcome="cancelled"} 1.0' in metrics

    begun = time.monotonic()
    asking(log, ask, searches_max=1, search_seconds_max=60)
    assert time.monotonic() - begun < 15


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - a thread does it: there is nothing to wait on
            await asyncio.sleep(0.005)  # between two looks


def test_more_searches_than_may_wait_are_told_to_come_back(log: SmallLog) -> None:
    async def ask(client: Client) -> Exchange:
        async with client.serving.searches.place():
            return await client.get("/api/search")

    answer = asking(log, ask, searches_max=1, searches_waiting_max=0)
    assert answer.error == (503, "BusyError")
    assert answer.headers["retry-after"] == "1"


def test_a_segment_that_is_gone_is_tampering_and_an_alarm(log: SmallLog) -> None:
    async def ask(client: Client) -> None:
        next(log.layout.segments.iterdir()).unlink()
        answer = await client.get("/api/search")
        assert answer.error == (500, "MissingFileError")
        assert client.diag.names() == ["tampering_found"]
        metrics = (await client.get("/metrics")).body.decode()
        assert 'meshtrail_errors_total{error="MissingFileError"} 1.0' in metrics
        assert 'meshtrail_searches_total{outcome="tamper"} 1.0' in metrics

    asking(log, ask)


def test_a_reader_that_takes_nothing_of_an_answer_is_cut_off(log: SmallLog) -> None:
    async def ask(client: Client) -> None:
        exchange = Exchange()
        exchange.held.clear()
        await client.run(exchange, "GET", "/api/search?format=ndjson")
        assert exchange.was_cut
        assert not exchange.is_over
        metrics = (await client.get("/metrics")).body.decode()
        assert 'meshtrail_http_readers_cut_total{reason="slow_reader"} 1.0' in metrics
        assert client.serving.searches.running_count == 0

    asking(log, ask, reader_seconds_max=1)
