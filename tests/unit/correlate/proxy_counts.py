"""What an account of a proxy is given: its pushes, and when its records ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshtrail.correlate.proxy_account import Ends
from meshtrail.correlate.pushes import Push

if TYPE_CHECKING:
    from meshtrail.correlate.proxy_account import Loss, ProxyAccount

MS = 1_000_000
S = 1_000 * MS


def push(
    at_s: float,
    written: int,
    *,
    dropped: int = 0,
    unwritten: int = 0,
    connections: int = 0,
    started_s: float = 0,
    epoch: int = 0,
) -> Push:
    """A push: requests that were written, that were dropped, and that were neither."""
    at_ns = int(at_s * S)
    return Push(
        at_ns=at_ns,
        received_ns=at_ns + 3 * MS,
        stream=int(started_s * 1_000) + epoch,
        requests=written + dropped + unwritten,
        connections=connections,
        written=written,
        dropped=dropped,
        epoch=epoch,
        uptime_s=int(at_s - started_s),
    )


Times = np.ndarray[tuple[int], np.dtype[np.int64]]


def times(*seconds: float) -> Times:
    return (np.array(seconds) * S).astype(np.int64)


def ends(*seconds: float) -> Ends:
    """Requests that ended, each with its record over a gRPC access log."""
    return Ends(requests=times(*seconds), connections=times(), written=times(*seconds))


def closed(*seconds: float) -> Ends:
    """Connections that ended."""
    return Ends(requests=times(), connections=times(*seconds), written=times())


def settle(account: ProxyAccount, *pushes: Push) -> list[Loss]:
    for one in pushes:
        account.add_push(one)
    return account.settle(received_before_ns=10**6 * S)
