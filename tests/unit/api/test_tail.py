from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.api import tail
from tests.unit.api.exchange import Client, serving_client
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    made = make_log(tmp_path / "data")
    made.add_segment([{"url_path": f"/{number}"} for number in range(4)])
    return made


def following(log: SmallLog, test: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with serving_client(log, **options) as client:
            await test(client)

    asyncio.run(run())


def add(log: SmallLog, *paths: str) -> None:
    log.add_segment([{"url_path": path} for path in paths])


def test_what_is_sealed_from_now_on_comes_as_events_that_match(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        async with client.open("/api/tail?q=path:/new*&columns=path") as exchange:
            await exchange.until(b"retry")
            add(log, "/new/1", "/old")
            await exchange.until_events(1)
            add(log, "/new/2")
            await exchange.until_events(2)
        assert exchange.status == 200
        assert exchange.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert exchange.headers["cache-control"] == "no-store"
        assert exchange.events() == [(4, {"url_path": "/new/1"}), (6, {"url_path": "/new/2"})]

    following(log, test)


def test_whoever_comes_back_goes_on_without_loss_or_repeat(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        seen: list[tuple[int, dict[str, Any]]] = []
        headers = {"last-event-id": "-1"}
        for turn in range(4):
            async with client.open("/api/tail?columns=path", headers=headers) as exchange:
                await exchange.until_events(log.tree_size - len(seen))
            seen += exchange.events()
            headers = {"last-event-id": str(seen[-1][0])}
            # While nobody listens.
            add(log, f"/{turn}/a", f"/{turn}/b")
        assert [index for index, _ in seen] == list(range(10))
        assert seen[4][1] == {"url_path": "/0/a"}

    following(log, test)


def test_the_position_is_told_before_the_first_event_and_while_nothing_matches(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "HEARTBEAT_SECONDS", 0.05)

    async def test(client: Client) -> None:
        async with client.open("/api/tail?q=path:/never") as exchange:
            await exchange.until(b"retry: 1000\nid: 3\n\n")
            add(log, "/x", "/y")
            await exchange.until(b": heartbeat\nid: 5\n\n")
        assert exchange.events() == []

    following(log, test)


def test_a_tail_can_begin_at_an_entry(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        async with client.open("/api/tail?from_index=2&columns=log_index") as exchange:
            await exchange.until_events(2)
        assert [index for index, _ in exchange.events()] == [2, 3]
        # The reader's own position counts more than where it once began.
        async with client.open(
            "/api/tail?from_index=0", headers={"last-event-id": "2"}
        ) as exchange:
            await exchange.until_events(1)
        assert [index for index, _ in exchange.events()] == [3]

    following(log, test)


def test_a_log_that_is_empty_still_is_followed_from_its_first_entry(tmp_path: Path) -> None:
    log = make_log(tmp_path / "data")

    async def test(client: Client) -> None:
        async with client.open("/api/tail") as exchange:
            await exchange.until(b"id: -1\n")
            add(log, "/first")
            await exchange.until_events(1)
        assert [index for index, _ in exchange.events()] == [0]

    following(log, test)


@pytest.mark.parametrize(
    "path",
    [
        "/api/tail?q=pth:/x",
        "/api/tail?query=x",
        "/api/tail?columns=nothing",
        "/api/tail?from_index=-1",
        "/api/tail?from_index=x",
        "/api/tail?from_index=9223372036854775807",
    ],
)
def test_a_tail_that_makes_no_sense_is_refused_before_it_begins(log: SmallLog, path: str) -> None:
    async def test(client: Client) -> None:
        assert (await client.get(path)).status == 400
        headers = {"last-event-id": "4 OR 1"}
        assert (await client.get("/api/tail", headers)).error == (400, "RequestError")

    following(log, test)


def test_no_more_tails_than_may_are_opened_and_one_that_ends_makes_room(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        async with client.open("/api/tail") as exchange:
            await exchange.until(b"retry")
            assert (await client.get("/api/tail")).error == (503, "BusyError")
        async with client.open("/api/tail") as exchange:
            await exchange.until(b"retry")
        metrics = (await client.get("/metrics")).body.decode()
        assert 'meshtrail_tails_ended_total{reason="client_gone"} 2.0' in metrics
        assert "meshtrail_tails_open 0.0" in metrics

    following(log, test, tails_max=1)


def test_a_reader_that_takes_nothing_is_cut_off_with_its_reason(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        async with client.open("/api/tail", is_leaving=False) as exchange:
            await exchange.until(b"retry")
            exchange.held.clear()
            add(log, "/x")
        assert exchange.was_cut
        assert ("reader_cut", "slow_reader") in [
            (name, facts["reason"]) for name, facts in client.diag.said
        ]
        metrics = (await client.get("/metrics")).body.decode()
        assert 'meshtrail_tails_ended_total{reason="slow_reader"} 1.0' in metrics

    following(log, test, reader_seconds_max=1)


def test_a_reader_far_behind_is_served_in_spans_and_its_memory_is_bounded(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshtrail.api.span_reader.SPAN_ENTRIES", 3)
    add(log, *(f"/{number}" for number in range(20)))

    async def test(client: Client) -> None:
        async with client.open("/api/tail?from_index=0") as exchange:
            await exchange.until_events(24)
        assert [index for index, _ in exchange.events()] == list(range(24))

    following(log, test)


def test_the_end_of_the_process_is_told_after_the_last_of_what_is_sealed(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        async with client.open("/api/tail", is_leaving=False) as exchange:
            await exchange.until(b"retry")
            add(log, "/last")
            client.serving.stopping.set()
        assert [index for index, _ in exchange.events()] == [4]
        assert exchange.body.endswith(b'event: end\ndata: {"reason":"stopping"}\n\n')
        assert exchange.is_over

    following(log, test)


def test_tampering_while_it_follows_ends_a_tail_with_its_name(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        async with client.open("/api/tail", is_leaving=False) as exchange:
            await exchange.until(b"retry")
            note = log.layout.published.read_bytes()
            log.layout.published.unlink()
            log.layout.published.write_bytes(note.replace(b"\n4\n", b"\n5\n"))
        _, _, last = exchange.body.decode().rstrip().rpartition("event: problem\ndata: ")
        assert json.loads(last)["error"] == "SignatureError"
        assert "tampering_found" in client.diag.names()
        # What is on its way to the reader must not be dropped.
        assert not exchange.was_cut

    following(log, test)
