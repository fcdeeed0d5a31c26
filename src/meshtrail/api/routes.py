"""Every path that is answered, in one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router

from meshtrail.api.completeness import show_completeness
from meshtrail.api.door import ROUTE, Door
from meshtrail.api.health import show_health, show_readiness, show_status
from meshtrail.api.log import show_bundle, show_checkpoint, show_tile
from meshtrail.api.metrics import show_metrics
from meshtrail.api.search import explain_search, search_by_body, search_by_query
from meshtrail.api.tail import follow_log
from meshtrail.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from meshtrail.api.serving import Serving

Handler = Callable[[Request, "Serving"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path by one method.

    Attributes:
        method: ``GET`` or ``POST``.
        path: with ``{names}`` for what differs.
        has_head: whether HEAD is answered as GET is, without the body.
    """

    method: str
    path: str
    handler: Handler
    has_head: bool = True


ROUTES: Final = (
    Route("GET", "/healthz", show_health),
    Route("GET", "/readyz", show_readiness),
    Route("GET", "/metrics", show_metrics),
    Route("GET", "/checkpoint", show_checkpoint),
    Route("GET", "/tile/entries/{index:path}", show_bundle),
    Route("GET", "/tile/{level}/{index:path}", show_tile),
    Route("GET", "/api/status", show_status),
    Route("GET", "/api/completeness", show_completeness),
    Route("GET", "/api/search/explain", explain_search),
    Route("GET", "/api/search", search_by_query, has_head=False),
    Route("POST", "/api/search", search_by_body, has_head=False),
    Route("GET", "/api/tail", follow_log, has_head=False),
)


def make_application(serving: Serving) -> ASGIApp:
    """The whole of it."""
    routes = [
        StarletteRoute(path, _Dispatch(path, _handlers(same), serving))
        for path, same in groupby(ROUTES, key=lambda one: one.path)
    ]
    return Door(Router(routes, redirect_slashes=False, default=_refuse_path), serving)


class _Dispatch:
    """The methods of one path."""

    def __init__(self, path: str, handlers: dict[str, Handler], serving: Serving) -> None:
        self._path = path
        self._handlers = handlers
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise RequestError(
                f"{self._path} is not for {scope['method'][:20]}",
                http_status=405,
                allow=", ".join(self._handlers),
            )
        request = Request(scope, receive)
        answer = await handler(request, self._serving)
        await answer(scope, receive, send)


def _handlers(routes: Iterable[Route]) -> dict[str, Handler]:
    found: dict[str, Handler] = {}
    for route in routes:
        found[route.method] = route.handler
        if route.has_head:
            found["HEAD"] = route.handler
    return found


async def _refuse_path(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFoundError(f"there is nothing at {scope['path'][:200]!r}")
