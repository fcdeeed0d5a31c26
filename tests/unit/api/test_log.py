from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meshtrail.merkle import bundles_for_size, decode_bundle, tiles_for_size
from meshtrail.note import open_checkpoint
from tests.naive_rfc6962 import naive_root
from tests.unit.api.exchange import Client, Exchange, serving_client
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def get_all(log: SmallLog, *paths: str) -> list[Exchange]:
    async def run() -> list[Exchange]:
        async with serving_client(log) as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(run())


@pytest.mark.parametrize("sizes", [[1], [255], [256], [300, 4, 1], [256, 512]])
def test_an_audit_of_what_is_answered_finds_the_signed_root(
    log: SmallLog, sizes: list[int]
) -> None:
    for size in sizes:
        log.add_segment([{}] * size)

    async def audit() -> None:
        async with serving_client(log) as client:
            note = await client.get("/checkpoint")
            checkpoint = open_checkpoint(note.body, log.signer.verifier, origin=ORIGIN)
            entries: list[bytes] = []
            for bundle in bundles_for_size(checkpoint.tree_size):
                body = (await client.get(f"/{bundle.path}")).body
                entries += decode_bundle(body, width=bundle.width)
            assert naive_root(entries) == checkpoint.root_hash
            await check_tiles(client, checkpoint.tree_size, entries)

    asyncio.run(audit())


async def check_tiles(client: Client, tree_size: int, entries: list[bytes]) -> None:
    """Each hash of each tile is the root of its leaves."""
    for tile in tiles_for_size(tree_size):  # type: ignore[arg-type] # a plain number
        body = (await client.get(f"/{tile.path}")).body
        assert len(body) == 32 * tile.width
        for at in range(tile.width):
            start = (tile.start + at) << 8 * tile.level
            leaves = entries[start : start + (1 << 8 * tile.level)]
            assert body[32 * at : 32 * at + 32] == naive_root(leaves)


def test_full_tiles_may_be_kept_for_ever_and_the_checkpoint_not_at_all(log: SmallLog) -> None:
    log.add_segment([{}] * 257)
    checkpoint, *full, partial, bundle = get_all(
        log,
        "/checkpoint",
        "/tile/0/000",
        "/tile/entries/000",
        "/tile/0/001.p/1",
        "/tile/entries/001.p/1",
    )
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "no-cache"
    for answer in full:
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
    for answer in (partial, bundle):
        assert answer.status == 200
        assert "immutable" not in answer.headers["cache-control"]


def test_partial_tiles_of_every_smaller_size_are_still_there(log: SmallLog) -> None:
    log.add_segment([{}] * 300)
    widths = range(1, 256)
    answers = get_all(log, "/tile/0/000", *(f"/tile/0/000.p/{width}" for width in widths))
    full = answers[0].body
    assert [answer.body for answer in answers[1:]] == [full[: 32 * width] for width in widths]


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/001",
        "/tile/0/000.p/9",
        "/tile/1/000.p/1",
        "/tile/64/000",
        "/tile/0/0",
        "/tile/00/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/x000/000",
        "/tile/entries/001",
        "/tile/entries/000.p/9",
        "/tile/entries/../../checkpoint",
        "/tile/0/%2e%2e/000",
        "/tile/0/000/",
        "/tile/0",
        "/tile",
        "/tile/data/000",
    ],
)
def test_what_is_no_tile_of_the_published_tree_is_not_found(log: SmallLog, path: str) -> None:
    log.add_segment([{}] * 8)
    (answer,) = get_all(log, path)
    assert answer.error == (404, "NotFoundError")
    assert answer.headers["cache-control"] == "no-store"


def test_a_log_without_checkpoint_has_none_to_show(log: SmallLog) -> None:
    (answer,) = get_all(log, "/checkpoint")
    assert answer.error == (404, "NotFoundError")


def test_a_checkpoint_that_another_key_signed_is_an_alarm_and_is_not_shown(log: SmallLog) -> None:
    log.add_segment([{}])
    note = log.layout.published.read_bytes()
    log.layout.published.write_bytes(note.replace(b"\n1\n", b"\n2\n"))

    async def run() -> None:
        async with serving_client(log) as client:
            answer = await client.get("/checkpoint")
            assert answer.error == (500, "SignatureError")
            assert client.diag.names() == ["tampering_found"]

    asyncio.run(run())
