"""Work that is worth doing only while its client is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Receive

R = TypeVar("R")


async def run_while_connected(receive: Receive, work: Coroutine[object, object, R]) -> R:
    """Do the work, and cancel it when the client goes.

    Args:
        receive: of the request, whose body was read.
        work: what to do.

    Raises:
        ClientDisconnect: the client went first.
        BaseException: whatever the work raises.
    """
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_kept(work))
        watching = tasks.create_task(_wait_for_disconnect(receive))
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        watching.cancel()
    if working.cancelled():
        raise ClientDisconnect
    result, error = working.result()
    if error is not None:
        raise error
    # What the work returned; only its error would have left this empty.
    (value,) = result
    return value


async def _kept(
    work: Coroutine[object, object, R],
) -> tuple[tuple[R, ...], Exception | None]:
    """The result or the error of some work: a task group would wrap the error in a group."""
    try:
        return (await work,), None
    except Exception as error:  # noqa: BLE001 - handed on as it is
        return (), error


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
