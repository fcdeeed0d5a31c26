from __future__ import annotations

import asyncio
import contextlib
from contextlib import ExitStack

import pytest

from meshtrail.collect.in_flight import InFlight
from meshtrail.errors import BusyError


def test_no_more_requests_are_under_way_than_the_bound() -> None:
    async def scene() -> None:
        in_flight = InFlight(requests_max=4, bytes_max=100)
        with ExitStack() as stack:
            for sender in ("a", "a", "b", "b"):
                stack.enter_context(in_flight.request(sender))
            with pytest.raises(BusyError, match="4 requests are under way"), in_flight.request("c"):
                pytest.fail("a fifth request was begun")
        assert in_flight.requests_count == 0
        with in_flight.request("c"):
            assert in_flight.requests_count == 1

    asyncio.run(scene())


def test_one_sender_gets_half_of_the_requests() -> None:
    async def scene() -> None:
        in_flight = InFlight(requests_max=4, bytes_max=100)
        with in_flight.request("a"), in_flight.request("a"):
            with pytest.raises(BusyError, match="2 requests of this sender"):
                in_flight.request("a").__enter__()
            with in_flight.request("b"):
                assert in_flight.requests_count == 3

    asyncio.run(scene())


def test_bytes_are_bounded_in_all_and_for_each_sender_and_given_back() -> None:
    async def scene() -> None:
        in_flight = InFlight(requests_max=8, bytes_max=100)
        with in_flight.request("a") as first, in_flight.request("a") as second:
            first.grow(30)
            second.grow(20)
            with pytest.raises(BusyError, match="50 of one sender"):
                second.grow(1)
            with in_flight.request("b") as other:
                other.grow(50)
                with in_flight.request("c") as last, pytest.raises(BusyError, match="at most 100"):
                    last.grow(1)
            assert in_flight.bytes_count == 50
        assert in_flight.bytes_count == 0
        with in_flight.request("a") as again:
            again.grow(50)

    asyncio.run(scene())


def test_a_request_that_fails_gives_back_what_it_held() -> None:
    async def scene() -> None:
        in_flight = InFlight(requests_max=2, bytes_max=100)
        for _ in range(5):
            with contextlib.suppress(ValueError), in_flight.request("a") as held:
                held.grow(40)
                raise ValueError("failed")
        assert (in_flight.requests_count, in_flight.bytes_count) == (0, 0)

    asyncio.run(scene())


def test_the_end_of_all_requests_is_waited_for_but_not_for_ever() -> None:
    async def scene() -> None:
        in_flight = InFlight(requests_max=2, bytes_max=100)
        await in_flight.ended(60)
        with in_flight.request("a"):
            await in_flight.ended(0.001)
            assert in_flight.requests_count == 1
            waiting = asyncio.ensure_future(in_flight.ended(60))  # noqa: TID251 - awaited below
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    asyncio.run(scene())
