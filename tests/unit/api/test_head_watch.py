from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meshtrail.api.entry_reader import EntryReader
from meshtrail.api.head_watch import HeadWatch
from meshtrail.api.published_log import PublishedLog
from meshtrail.errors import SignatureError
from meshtrail.store.manifest_follower import ManifestFollower
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def watching(log: SmallLog, test: Callable[[HeadWatch, asyncio.Event], Awaitable[None]]) -> None:
    async def run() -> None:
        verifier = log.signer.verifier
        published = PublishedLog(
            log.layout,
            verifier,
            ManifestFollower(log.layout, verifier, origin=ORIGIN),
            EntryReader(log.layout.root),
            origin=ORIGIN,
        )
        stopping = asyncio.Event()
        heads = HeadWatch(log.layout.published, published.read_head, stopping=stopping)
        async with asyncio.timeout(20):
            await test(heads, stopping)

    asyncio.run(run())


def test_the_size_is_that_of_the_checkpoint_and_0_before_it(log: SmallLog) -> None:
    async def test(heads: HeadWatch, _: asyncio.Event) -> None:
        assert await heads.read_size() == 0
        log.add_segment([{}] * 3)
        assert await heads.read_size() == 3
        log.add_segment([{}], is_published=False)
        assert await heads.read_size() == 3
        log.publish()
        assert await heads.read_size() == 4

    watching(log, test)


def test_whoever_waits_hears_of_growth_and_at_once_of_what_is_there(log: SmallLog) -> None:
    async def test(heads: HeadWatch, _: asyncio.Event) -> None:
        log.add_segment([{}] * 2)
        assert await heads.wait_beyond(1, seconds_max=20) == 2
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(heads.wait_beyond(2, seconds_max=20))
            await asyncio.sleep(0)
            log.add_segment([{}])
        assert waiting.result() == 3

    watching(log, test)


def test_a_wait_ends_with_its_time_and_with_the_process(log: SmallLog) -> None:
    async def test(heads: HeadWatch, stopping: asyncio.Event) -> None:
        log.add_segment([{}])
        assert await heads.wait_beyond(1, seconds_max=0.01) is None
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(heads.wait_beyond(1, seconds_max=20))
            await asyncio.sleep(0)
            stopping.set()
        assert waiting.result() is None
        # What is there already is still told, so that nobody misses the last of it.
        assert await heads.wait_beyond(0, seconds_max=20) == 1

    watching(log, test)


def test_a_checkpoint_that_does_not_hold_is_told_to_whoever_waits(log: SmallLog) -> None:
    async def test(heads: HeadWatch, _: asyncio.Event) -> None:
        log.add_segment([{}])
        note = log.layout.published.read_bytes()
        log.layout.published.unlink()
        log.layout.published.write_bytes(note.replace(b"\n1\n", b"\n9\n"))
        for _turn in range(2):
            with pytest.raises(SignatureError):
                await heads.wait_beyond(1, seconds_max=20)

    watching(log, test)
