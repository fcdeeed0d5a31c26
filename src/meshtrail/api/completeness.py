"""``/api/completeness``: what ``meshtrail completeness --json`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from meshtrail.api.disconnect import run_while_connected
from meshtrail.api.search_body import read_parameters, read_period
from meshtrail.correlate.completeness import read_completeness

if TYPE_CHECKING:
    from starlette.requests import Request

    from meshtrail.api.serving import Serving


async def show_completeness(request: Request, serving: Serving) -> Response:
    """What the ledger has sealed about a period: for each reporter what came, and what is missing.

    Raises:
        RequestError: a parameter that does not exist.
        QueryError: no moments, or none between them.
        BusyError, BudgetError, TamperError: as a search.
    """
    given = read_parameters(request.query_params.multi_items(), {"from", "to"})
    now_ns = serving.clock.wall_ns()
    period = read_period(given.get("from"), given.get("to"), now_ns=now_ns)

    async def read() -> dict[str, Any]:
        async with serving.searches.place() as place:
            found = await place.call(
                lambda searcher: read_completeness(searcher, period, now_ns=now_ns)
            )
        return {**found.as_json(), "summary": found.summary(), **serving.key.as_json()}

    told = await run_while_connected(request.receive, read())
    return Response(msgspec.json.encode(told), media_type="application/json")
