"""What a body is cut into before it is journaled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.model.entry import PayloadFormat

if TYPE_CHECKING:
    from meshtrail.journal import Framing

COUNTER_FORMATS: Final = {
    False: PayloadFormat.OTLP_METRICS,
    True: PayloadFormat.OTLP_METRICS_JSON,
}
"""By whether the export that the counters came in is JSON."""


class Piece(NamedTuple):
    """Bytes that become one frame."""

    data: bytes
    records_count: int
    framing: Framing
    payload_format: PayloadFormat

    @property
    def is_counters(self) -> bool:
        """Whether it is what a proxy counted, and no record."""
        return self.payload_format in COUNTER_FORMATS.values()
