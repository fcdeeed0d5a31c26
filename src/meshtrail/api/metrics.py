"""``GET /metrics``: the log's figures and this process's counters, as Prometheus text."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.responses import Response

from meshtrail.api.figure_metrics import FigureMetrics
from meshtrail.errors import MeshtrailError

if TYPE_CHECKING:
    from starlette.requests import Request

    from meshtrail.api.serving import Serving


async def show_metrics(_request: Request, serving: Serving) -> Response:
    """All metrics. A log that does not hold is one of them, and no reason to show none."""
    try:
        figures = await serving.figures.read()
    except (MeshtrailError, OSError) as error:
        serving.metrics.errors.labels(type(error).__name__).inc()
        figures = None
    of_log = FigureMetrics(figures, key=serving.key.verifier, own_alarms=serving.alarms)

    def format_all() -> bytes:
        own = generate_latest(serving.metrics.registry)
        return own + generate_latest(of_log)

    body = await asyncio.to_thread(format_all)
    return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)
