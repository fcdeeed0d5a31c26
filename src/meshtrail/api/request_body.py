"""The body of a request, read within bounds of size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from meshtrail.errors import RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

BODY_SECONDS_MAX: Final = 10.0
_JSON: Final = "application/json"


async def read_json_body(
    request: Request, *, bytes_max: int, seconds_max: float = BODY_SECONDS_MAX
) -> bytes:
    """The bytes of a body that says it is JSON.

    Raises:
        RequestError: it says something else (415), is too long (413), or takes too long (408).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page in a browser may send other kinds to any address without asking first.
    if kind != _JSON:
        raise RequestError(
            f"a body of {_JSON} is wanted, got {kind[:80] or 'none'!r}", http_status=415
        )
    data = bytearray()
    try:
        async with asyncio.timeout(seconds_max):
            async for part in request.stream():
                data += part
                if len(data) > bytes_max:
                    raise RequestError(
                        f"a body has at most {bytes_max} bytes",
                        http_status=413,
                        bytes_max=bytes_max,
                    )
    except TimeoutError as error:
        raise RequestError(
            f"the body did not come within {seconds_max:g} s", http_status=408
        ) from error
    return bytes(data)
