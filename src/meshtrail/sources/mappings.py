"""Which records become events how: one line for each payload format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_events import map_http_records, map_tcp_records
from meshtrail.sources.otlp_logs import map_otlp_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.streams import Reporters

MAPPINGS: Final[dict[PayloadFormat, Callable[[pa.Array, Reporters], EventColumns]]] = {
    PayloadFormat.ALS_HTTP: map_http_records,
    PayloadFormat.ALS_TCP: map_tcp_records,
    PayloadFormat.OTLP_LOG: map_otlp_logs,
}
"""By payload format: records, binary[n], with the sender of each, to their event columns."""

_SOURCES: Final = {"ALS": "envoy-als", "OTLP": "otlp", "ENVOY": "envoy-metrics"}
SOURCE_NAMES: Final = {
    int(code): _SOURCES.get(code.name.partition("_")[0], "meshtrail") for code in PayloadFormat
}
"""The kind of telemetry that a payload format belongs to."""

FORMAT_NAMES: Final = {int(code): code.name.lower().replace("_", "-") for code in PayloadFormat}
"""Payload formats as docs/formats/entry.md calls them."""
