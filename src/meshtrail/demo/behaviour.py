"""What a service of the demo does, as data: its routes, and the calls that each of them makes.

Pure: a request's method and path in, the route and its parameters out; ``service`` does the I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BAD_GATEWAY = 502
_ERRORS = 400
_SERVER_ERRORS = 500


class Call(msgspec.Struct, frozen=True):
    """A call that a route makes before it answers.

    Attributes:
        to: the service that is called.
        method: of the request.
        path: of the request; ``{name}`` stands for a parameter of the route.
    """

    to: str
    method: str
    path: str


class Route(msgspec.Struct, frozen=True):
    """One kind of request that a service answers.

    Attributes:
        method: of the request.
        path: of the request; ``{name}`` takes any one segment.
        status: of the answer, if no call fails.
        calls: made one after the other.
        row: a line of the answer, in which ``{row}`` is its number; without one the answer says
            what was asked.
        rows_count: lines of the answer.
    """

    method: str
    path: str
    status: int = 200
    calls: tuple[Call, ...] = ()
    row: str = ""
    rows_count: int = 0


class Behaviour(msgspec.Struct, frozen=True):
    """A service: where it listens and calls from, and what it answers.

    Attributes:
        name: of the workload.
        ip: where it listens, and where its calls leave from.
        port: where it listens.
        outbound_port: of its sidecar at the same address, through which it calls others.
        hosts: the host name of each service.
        routes: the first that fits counts.
    """

    name: str
    ip: str
    port: int
    outbound_port: int
    hosts: dict[str, str]
    routes: tuple[Route, ...]


def find_route(
    routes: Sequence[Route], *, method: str, path: str
) -> tuple[Route, dict[str, str]] | None:
    """The first route that a request fits, and what stands for its parameters."""
    for route in routes:
        if route.method == method and (found := _pattern(route.path).fullmatch(path)):
            return route, found.groupdict()
    return None


def fill(template: str, parameters: Mapping[str, str]) -> str:
    """A path with parameters in the place of their names."""
    return re.sub(r"{(\w+)}", lambda name: parameters[name[1]], template)


def answer_status(route: Route, call_statuses: Sequence[int]) -> int:
    """The status of an answer: a failed call is the caller's failure too.

    Args:
        route: of the request.
        call_statuses: what its calls were answered with.
    """
    for status in call_statuses:
        if status >= _SERVER_ERRORS:
            return _BAD_GATEWAY
        if status >= _ERRORS:
            return status
    return route.status


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", path)
    texts, names = parts[::2], parts[1::2]
    groups = [f"(?P<{name}>[^/]+)" for name in names]
    pieces = zip(texts, [*groups, ""], strict=True)
    return re.compile("".join(re.escape(text) + group for text, group in pieces))
