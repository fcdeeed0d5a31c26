from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeAlias

import pytest

from meshtrail.api.search_pool import SearchPool
from meshtrail.errors import BudgetError, BusyError, QueryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class FakeSearcher:
    """Stops what runs when it is closed, as an engine does."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()
        self.thread = threading.get_ident()

    def close(self) -> None:
        self.is_closed.set()


Pool: TypeAlias = "SearchPool[FakeSearcher]"


class FakeRows:
    def __init__(self) -> None:
        self.closed_on: list[int] = []

    def close(self) -> None:
        self.closed_on.append(threading.get_ident())


class Makes:
    """Makes searchers, and keeps them."""

    def __init__(self) -> None:
        self.made: list[FakeSearcher] = []

    def __call__(self) -> FakeSearcher:
        self.made.append(FakeSearcher())
        return self.made[-1]


def run(test: Callable[[Pool, Makes], Awaitable[None]], **options: int) -> Makes:
    makes = Makes()

    async def inside() -> None:
        named = {"places_count": 1, "waiting_max": 1, **options}
        pool: Pool = SearchPool(makes, name="test", **named)
        async with asyncio.timeout(20):
            await test(pool, makes)
        pool.close()

    asyncio.run(inside())
    return makes


def test_a_place_keeps_its_searcher_and_its_thread() -> None:
    async def use(pool: Pool, _: Makes) -> None:
        for _turn in range(3):
            async with pool.place() as place:
                thread = await place.call(lambda _: threading.get_ident())
                assert thread == await place.call(lambda searcher: searcher.thread)

    makes = run(use)
    (made,) = makes.made
    assert made.is_closed.is_set()
    assert made.thread != threading.get_ident()


def test_the_warmest_place_is_taken_first() -> None:
    async def use(pool: Pool, makes: Makes) -> None:
        for _turn in range(4):
            async with pool.place() as place:
                await place.call(lambda _: None)
        assert len(makes.made) == 1

    run(use, places_count=3)


def test_more_than_may_wait_are_refused_and_those_who_wait_get_their_turn() -> None:
    async def use(pool: Pool, _: Makes) -> None:
        order: list[str] = []

        async def wait_for_turn() -> None:
            async with pool.place():
                order.append("waited")

        async with asyncio.TaskGroup() as tasks, pool.place():
            tasks.create_task(wait_for_turn())
            await asyncio.sleep(0)
            assert (pool.running_count, pool.waiting_count) == (1, 1)
            with pytest.raises(BusyError, match="1 searches run and 1 wait"):
                async with pool.place():
                    order.append("refused")
            order.append("first")
        assert order == ["first", "waited"]
        assert (pool.running_count, pool.waiting_count) == (0, 0)

    run(use)


def test_a_wait_that_is_given_up_leaves_its_place_in_the_queue() -> None:
    async def use(pool: Pool, _: Makes) -> None:
        async def wait_for_turn() -> None:
            async with pool.place():
                raise AssertionError("it never gets its turn")

        async with pool.place():
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(wait_for_turn())
                await asyncio.sleep(0)
                waiting.cancel()
            assert pool.waiting_count == 0
        async with pool.place() as place:
            await place.call(lambda _: None)

    run(use)


def test_a_call_that_is_cancelled_stops_the_searcher_and_waits_for_its_thread() -> None:
    async def use(pool: Pool, makes: Makes) -> None:
        begun, ended = threading.Event(), threading.Event()

        def work(searcher: FakeSearcher) -> None:
            begun.set()
            assert searcher.is_closed.wait(20)
            ended.set()
            raise QueryError("interrupted")

        async def search() -> None:
            async with pool.place() as place:
                await place.call(work)

        async with asyncio.TaskGroup() as tasks:
            searching = tasks.create_task(search())
            await asyncio.to_thread(begun.wait, 20)
            searching.cancel()
        assert ended.is_set()
        async with pool.place() as place:
            await place.call(lambda _: None)
        assert [made.is_closed.is_set() for made in makes.made] == [True, False]

    run(use)


@pytest.mark.parametrize(("error", "made_count"), [(QueryError("x"), 1), (BudgetError("x"), 2)])
def test_a_searcher_goes_after_an_error_unless_it_was_the_askers(
    error: Exception, made_count: int
) -> None:
    async def use(pool: Pool, _: Makes) -> None:
        def fail(_: object) -> None:
            raise error

        with pytest.raises(type(error)):
            async with pool.place() as place:
                await place.call(fail)
        async with pool.place() as place:
            await place.call(lambda _: None)

    assert len(run(use).made) == made_count


@pytest.mark.parametrize("error", [None, QueryError("x"), BudgetError("x")])
def test_rows_are_closed_on_the_places_thread_whatever_happens(error: Exception | None) -> None:
    rows = FakeRows()

    async def use(pool: Pool, makes: Makes) -> None:
        try:
            async with pool.place() as place:
                await place.call(lambda _: None)
                place.adopt(rows)
                if error is not None:
                    raise error
        except (QueryError, BudgetError):
            pass
        assert rows.closed_on == [makes.made[0].thread]

    run(use)


def test_a_searcher_that_cannot_be_made_leaves_the_place_to_the_next() -> None:
    async def inside() -> None:
        def fail() -> FakeSearcher:
            raise BudgetError("no memory")

        pool = SearchPool(fail, name="test", places_count=1, waiting_max=0)
        for _turn in range(2):
            with pytest.raises(BudgetError):
                async with pool.place() as place:
                    await place.call(lambda _: None)
        pool.close()

    asyncio.run(inside())
