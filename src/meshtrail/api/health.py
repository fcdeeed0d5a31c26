"""Is the process alive, does the recorder do its work, and what does the log say of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from meshtrail.api.search_body import read_parameters
from meshtrail.app.run_file import select_live, select_tail
from meshtrail.errors import MeshtrailError

if TYPE_CHECKING:
    from starlette.requests import Request

    from meshtrail.api.serving import Serving
    from meshtrail.app.figures import Figures

_JSON = "application/json"


async def show_health(_request: Request, _serving: Serving) -> Response:
    """Alive: the event loop answers. Says nothing of the log."""
    return Response(b'{"alive":true}', media_type=_JSON)


async def show_readiness(_request: Request, serving: Serving) -> Response:
    """Ready: the log reads back and is signed, a sealer works on it, and it keeps up."""
    lag_seconds_max = serving.options.ready_lag_seconds_max
    try:
        reasons = find_reasons(await serving.figures.read(), lag_seconds_max=lag_seconds_max)
    except (MeshtrailError, OSError) as error:
        serving.metrics.errors.labels(type(error).__name__).inc()
        reasons = [{"check": "log", "reason": f"{type(error).__name__}: {error}"}]
    body = msgspec.json.encode({"ready": not reasons, "reasons": reasons})
    return Response(body, 503 if reasons else 200, media_type=_JSON)


async def show_status(request: Request, serving: Serving) -> Response:
    """What ``meshtrail status --json`` prints.

    Raises:
        RequestError: it has no parameters.
    """
    read_parameters(request.query_params.multi_items(), set())
    figures = await serving.figures.read()
    told = {
        **figures.status.as_json(),
        "ledger": select_live(figures.run, "ledger", now_ns=figures.now_ns),
        "tail": select_tail(figures.run, now_ns=figures.now_ns),
        "data": str(serving.layout.root),
        **serving.key.as_json(),
    }
    return Response(msgspec.json.encode(told), media_type=_JSON)


def find_reasons(figures: Figures, *, lag_seconds_max: float) -> list[dict[str, str]]:
    """Why a log is not ready, by check; empty when it is."""
    status = figures.status
    reasons = []
    if status.root_hash is None:
        reasons.append({"check": "published", "reason": "no checkpoint is published yet"})
    if status.sealer == "not running":
        reasons.append({"check": "sealer", "reason": "no sealer holds the data directory"})
    lag_seconds = figures.seal_lag_seconds
    if lag_seconds > lag_seconds_max:
        reason = (
            f"the oldest entry has been waiting to be sealed for {lag_seconds:.1f} s, "
            f"at most {lag_seconds_max:g} s are in order"
        )
        reasons.append({"check": "lag", "reason": reason})
    return reasons
