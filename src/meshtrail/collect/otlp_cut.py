"""The body of an OTLP export to the pieces that are journaled: framing only, for both doors.

What cannot be cut is kept as a whole; what can is kept as slices of the body, by resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshtrail.collect.export import Cut, CutPart, StreamKind
from meshtrail.collect.opening import Claims
from meshtrail.collect.pieces import COUNTER_FORMATS, Piece
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.counters import cut_otlp_metrics
from meshtrail.sources.otlp_frame import Signal, cut_export
from meshtrail.sources.otlp_json import cut_json_export
from meshtrail.sources.otlp_resource import decode_json_resource, decode_resource

OTLP_SOURCE: Final = "otlp"
"""What tokens for exports of OTLP are good for."""

SERVICES: Final = {
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
}

_PROTOBUF: Final = {
    Signal.LOGS: PayloadFormat.OTLP_LOG,
    Signal.TRACES: PayloadFormat.OTLP_SPAN,
}
_JSON: Final = {
    Signal.LOGS: PayloadFormat.OTLP_LOG_JSON,
    Signal.TRACES: PayloadFormat.OTLP_SPAN_JSON,
}


_NO_RESOURCE: Final = "the export carries no resource"
_CLAIMS: Final = {
    False: Claims(decode=decode_resource, none_said=_NO_RESOURCE),
    True: Claims(decode=decode_json_resource, none_said=_NO_RESOURCE),
}
"""By whether the export is JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpExport:
    """An export of OTLP.

    Attributes:
        body: as it came.
        signal: what the sender says that it is about.
        is_json: whether the sender says that it is JSON; else it is protobuf.
    """

    body: bytes
    signal: Signal
    is_json: bool

    @property
    def name(self) -> str:
        """The signal."""
        return self.signal.name.lower()

    @property
    def label(self) -> str:
        """Signal and encoding."""
        return f"{self.signal.name} {self._encoding}"

    @property
    def kind(self) -> StreamKind:
        """Of its streams: one for each signal and encoding."""
        return StreamKind(SERVICES[self.signal], self._encoding, _CLAIMS[self.is_json])

    def cut(self) -> Cut:
        """Cut it by its resources; whatever is wrong with it stands in what is returned."""
        try:
            return Cut(_cut(self))
        except InputError as error:
            return Cut([self.keep_whole()], error)

    def keep_whole(self) -> CutPart:
        """The body as it came, of no resource that could be told."""
        return CutPart(None, [_whole(self.body)])

    @property
    def _encoding(self) -> str:
        return "json" if self.is_json else "protobuf"


def _cut(export: OtlpExport) -> list[CutPart]:
    if export.signal is Signal.METRICS:
        return _cut_metrics(export)
    return _cut_json(export) if export.is_json else _cut_protobuf(export)


def _cut_protobuf(export: OtlpExport) -> list[CutPart]:
    payload_format = _PROTOBUF[export.signal]
    found = cut_export(export.body)
    parts = [
        CutPart(part.resource, [Piece(part.message, count, Framing.OTLP, payload_format)])
        if (count := part.records_count)
        else CutPart(part.resource, [])
        for part in found
    ]
    return _with_whole(export, parts, [part.is_plain for part in found])


def _cut_json(export: OtlpExport) -> list[CutPart]:
    payload_format = _JSON[export.signal]
    found = cut_json_export(export.body, export.signal)
    parts = [
        CutPart(
            part.resource,
            [Piece(payload, 1, Framing.WHOLE, payload_format) for payload in part.payloads],
        )
        for part in found
    ]
    return _with_whole(export, parts, [part.is_plain for part in found])


def _cut_metrics(export: OtlpExport) -> list[CutPart]:
    """Metrics: what records can be counted by, and the digest of the rest."""
    if export.is_json:
        found = cut_json_export(export.body, export.signal)
        resources = {part.resource for part in found}
        records_count = sum(len(part.payloads) for part in found)
        is_plain = all(part.is_plain for part in found)
    else:
        parts = cut_export(export.body)
        resources = {part.resource for part in parts}
        records_count = sum(part.records_count for part in parts)
        # What else stands beside metrics is refused when they are cut.
        is_plain = records_count > 0 or all(part.is_plain for part in parts)
    pieces = [] if is_plain else [_whole(export.body)]
    if records_count:
        counters = cut_otlp_metrics(export.body, is_json=export.is_json)
        pieces.append(Piece(counters.payload, 1, Framing.WHOLE, COUNTER_FORMATS[export.is_json]))
    if not pieces:
        return []
    return [CutPart(resources.pop() if len(resources) == 1 else None, pieces)]


def _with_whole(export: OtlpExport, parts: list[CutPart], are_plain: list[bool]) -> list[CutPart]:
    """The parts; before the first that lost something by the cut, the whole body besides."""
    for part, is_plain in zip(parts, are_plain, strict=True):
        if not is_plain:
            part.pieces.insert(0, _whole(export.body))
            break
    return parts


def _whole(body: bytes) -> Piece:
    return Piece(body, 1, Framing.WHOLE, PayloadFormat.OTLP_FRAME)
