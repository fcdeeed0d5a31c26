"""The log at its C2SP paths: ``/checkpoint``, ``/tile/…``, ``/tile/entries/…``.

Source: C2SP tlog-tiles v0.1.0.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from meshtrail.errors import NotFoundError, ProofSyntaxError
from meshtrail.merkle import TILE_WIDTH, parse_bundle_path, parse_tile_path

if TYPE_CHECKING:
    from starlette.requests import Request

    from meshtrail.api.serving import Serving

_OCTETS: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_FOR_A_WHILE: Final = "public, max-age=600"
"""For what is partial: it never changes either, but is soon of no use."""


async def show_checkpoint(_request: Request, serving: Serving) -> Response:
    """The published checkpoint, verbatim, once its signature was checked."""
    head = await asyncio.to_thread(serving.log.read_head)
    headers = {"cache-control": "no-cache"}
    return Response(head.note, headers=headers, media_type="text/plain; charset=utf-8")


async def show_tile(request: Request, serving: Serving) -> Response:
    """A tile of hashes, full or partial."""
    try:
        tile = parse_tile_path(_path_of(request))
    except ProofSyntaxError as error:
        raise NotFoundError(error.message) from error
    body = await asyncio.to_thread(serving.log.read_tile, tile)
    return _answer(body, width=tile.width)


async def show_bundle(request: Request, serving: Serving) -> Response:
    """A bundle of entries, full or partial."""
    try:
        bundle = parse_bundle_path(_path_of(request))
    except ProofSyntaxError as error:
        raise NotFoundError(error.message) from error
    body = await asyncio.to_thread(serving.log.read_bundle, bundle)
    return _answer(body, width=bundle.width)


def _path_of(request: Request) -> str:
    return str(request.scope["path"]).removeprefix("/")


def _answer(body: bytes, *, width: int) -> Response:
    lasting = _FOR_EVER if width == TILE_WIDTH else _FOR_A_WHILE
    return Response(body, headers={"cache-control": lasting}, media_type=_OCTETS)
